import { readSync } from "node:fs";
import { type Fd, syscallFd } from "./fd.ts";
import { AT_FDCWD, cString, hasCode, type Path, rawSyscall, showPath, syscall, syscallError } from "./ffi.ts";

/** include/uapi/linux/mount.h, fcntl.h. */
const FSCONFIG = { setFlag: 0, setString: 1, setFd: 5, create: 6 } as const;
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const OPEN_TREE_CLONE = 1;
const O_CLOEXEC = 0o2000000;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
const MS_PRIVATE = 1 << 18;
const MS_SLAVE = 1 << 19;

/** For fsmount and mount_setattr. */
export const MOUNT_ATTR = {
  rdonly: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  noatime: 0x10,
  nodiratime: 0x80,
  idmap: 0x100000,
} as const;

export const MS_RDONLY = 1;

/** A filesystem being configured (fsopen(2)). What the kernel says about a refusal becomes part of the error. */
export class FilesystemContext implements Disposable {
  readonly #fd: Fd;
  readonly #type: string;

  /** @throws SyscallError "unsupported" (ENODEV) if the kernel does not have the filesystem type */
  constructor(type: string) {
    this.#type = type;
    this.#fd = syscallFd("fsopen", `open the filesystem type ${type}`, cString(type), FSOPEN_CLOEXEC);
  }

  /** The kernel refuses values of more than 255 bytes. */
  setString(key: string, value: Path): void {
    this.#configure(FSCONFIG.setString, key, cString(value), 0);
  }

  setFlag(key: string): void {
    this.#configure(FSCONFIG.setFlag, key, null, 0);
  }

  setFd(key: string, fd: Fd): void {
    this.#configure(FSCONFIG.setFd, key, null, fd.number);
  }

  /** Makes the filesystem and a mount of it that is attached nowhere. @param attributes bits of MOUNT_ATTR */
  create(attributes: number): Fd {
    this.#configure(FSCONFIG.create, undefined, null, 0);
    return syscallFd(
      "fsmount",
      `make a mount of ${this.#type}`,
      this.#fd.number,
      FSMOUNT_CLOEXEC,
      attributes,
    );
  }

  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }

  #configure(command: number, key: string | undefined, value: Buffer | null, auxiliary: number): void {
    const name = key === undefined ? null : cString(key);
    const result = rawSyscall("fsconfig", this.#fd.number, command, name, value, auxiliary);
    if (result >= 0) return;
    const shown = value === null ? "" : `=${showPath(value.subarray(0, -1))}`;
    const doing = key === undefined ? `make ${this.#type}` : `set ${this.#type} option ${key}${shown}`;
    throw syscallError(-result, doing, this.#kernelLog());
  }

  /** One message a read, "e text" for errors; ENODATA when there are no more. */
  #kernelLog(): string {
    const messages: string[] = [];
    const buffer = Buffer.alloc(1024);
    for (let n = 0; n < 16; n++) {
      try {
        const size = readSync(this.#fd.number, buffer);
        if (size === 0) break;
        messages.push(showPath(buffer.subarray(0, size).toString("utf8").trim()).replace(/^[eiw] /, ""));
      } catch (error) {
        if (!hasCode(error, "ENODATA")) messages.push("the kernel's message could not be read");
        break;
      }
    }
    return messages.join("; ");
  }
}

/** Attaches a detached mount. The last name of `target` is not followed if it is a symlink. */
export function attachMount(mount: Fd, target: string): void {
  syscall(
    "move_mount",
    `mount on ${showPath(target)}`,
    mount.number,
    cString(""),
    AT_FDCWD,
    cString(target),
    MOVE_MOUNT_F_EMPTY_PATH,
  );
}

/** A detached copy of the one mount that holds `path`, rooted there: what a bind mount would show. */
export function cloneMount(path: string): Fd {
  return syscallFd(
    "open_tree",
    `clone the mount at ${showPath(path)}`,
    AT_FDCWD,
    cString(path),
    OPEN_TREE_CLONE | O_CLOEXEC,
  );
}

/** As cloneMount, following symlinks; `recursive` also copies the mounts below. */
export function cloneMountTree(path: Path, recursive: boolean): Fd {
  return syscallFd(
    "open_tree",
    `clone the mount at ${showPath(path)}`,
    AT_FDCWD,
    cString(path),
    OPEN_TREE_CLONE | O_CLOEXEC | (recursive ? AT_RECURSIVE : 0),
  );
}

/** Bits of MOUNT_ATTR; of the access time modes only one may be set, and its mask must be cleared. */
export function setMountAttributes(
  mount: Fd,
  change: { readonly set: number; readonly clear: number; readonly recursive: boolean },
): void {
  if (change.set === 0 && change.clear === 0) return;
  const attributes = Buffer.alloc(32);
  attributes.writeBigUInt64LE(BigInt(change.set), 0);
  attributes.writeBigUInt64LE(BigInt(change.clear), 8);
  syscall(
    "mount_setattr",
    "change a mount's attributes",
    mount.number,
    cString(""),
    AT_EMPTY_PATH | (change.recursive ? AT_RECURSIVE : 0),
    attributes,
    attributes.length,
  );
}

/** What is mounted in this tree reaches no other; what is mounted where it comes from arrives. */
export function makeMountsSlave(tree: Fd): void {
  const attributes = Buffer.alloc(32);
  attributes.writeBigUInt64LE(BigInt(MS_SLAVE), 16);
  syscall(
    "mount_setattr",
    "change a tree's propagation",
    tree.number,
    cString(""),
    AT_EMPTY_PATH | AT_RECURSIVE,
    attributes,
    attributes.length,
  );
}

/**
 * @param change.set bits of MOUNT_ATTR
 * @param change.idmap a user namespace (`/proc/PID/ns/user`); only for a detached mount of a filesystem that can
 */
export function changeMount(
  mount: Fd,
  change: {
    readonly set?: number;
    readonly private?: boolean;
    readonly idmap?: Fd;
    /** All mounts below it, too. */
    readonly recursive?: boolean;
  },
): void {
  const attributes = Buffer.alloc(32);
  const idmap = change.idmap === undefined ? 0 : MOUNT_ATTR.idmap;
  attributes.writeBigUInt64LE(BigInt((change.set ?? 0) | idmap), 0);
  attributes.writeBigUInt64LE(BigInt(change.private === true ? MS_PRIVATE : 0), 16);
  attributes.writeBigUInt64LE(BigInt(change.idmap?.number ?? 0), 24);
  syscall(
    "mount_setattr",
    "change a mount's attributes",
    mount.number,
    cString(""),
    AT_EMPTY_PATH | (change.recursive === true ? AT_RECURSIVE : 0),
    attributes,
    attributes.length,
  );
}

/** Bytes of options: the kernel copies a page and cuts what is longer without a word. */
export const MAX_MOUNT_DATA = 4095;

/** mount(2) of old, for kernels that take a layer only by its path. @param data at most MAX_MOUNT_DATA bytes */
export function mountByOptions(
  type: string,
  source: string,
  target: string,
  flags: number,
  data: Buffer,
): void {
  const doing = `mount ${type} on ${showPath(target)} with ${showPath(data)}`;
  if (data.length > MAX_MOUNT_DATA) throw syscallError(7, doing, `the options have ${data.length} bytes`);
  syscall("mount", doing, cString(source), cString(target), cString(type), flags, cString(data));
}

/**
 * Takes the topmost mount off `target`.
 * @param options.detach also if it is in use: it goes when its last user does
 */
export function unmountAt(target: string, options: { readonly detach: boolean }): void {
  syscall(
    "umount2",
    `unmount ${showPath(target)}`,
    cString(target),
    UMOUNT_NOFOLLOW | (options.detach ? MNT_DETACH : 0),
  );
}
