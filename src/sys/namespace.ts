import { constants, openSync, type Stats, statSync } from "node:fs";
import { AtomfsError } from "../core/errors.ts";
import { Fd } from "./fd.ts";
import { hasCode, rawSyscall, showPath } from "./ffi.ts";

/** include/uapi/linux/nsfs.h, sched.h. */
const NS_GET_NSTYPE = 0xb703;
const CLONE_FLAGS = {
  time: 0x80,
  mount: 0x20000,
  cgroup: 0x2000000,
  uts: 0x4000000,
  ipc: 0x8000000,
  user: 0x10000000,
  pid: 0x20000000,
  network: 0x40000000,
} as const;

export type NamespaceName = keyof typeof CLONE_FLAGS;

/** Names in /proc/PID/ns. */
export const NAMESPACE_FILES: { readonly [name in NamespaceName]: string } = {
  time: "time",
  mount: "mnt",
  cgroup: "cgroup",
  uts: "uts",
  ipc: "ipc",
  user: "user",
  pid: "pid",
  network: "net",
};

/** Is the namespace at the path the one that this process is in? */
export function isOwnNamespace(path: string, type: NamespaceName): boolean {
  const [own, other] = [`/proc/self/ns/${NAMESPACE_FILES[type]}`, path].map((file) =>
    statSync(file, { bigint: true }),
  );
  return own?.ino === other?.ino && own?.dev === other?.dev;
}

/** @throws AtomfsError "bad-data" unless there is a namespace of this type at the path; Node's error if there is nothing */
export function checkNamespace(path: string, type: NamespaceName): void {
  using fd = new Fd(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  if (rawSyscall("ioctl", fd.number, NS_GET_NSTYPE, 0) === CLONE_FLAGS[type]) return;
  throw new AtomfsError("bad-data", `${showPath(path)} is no ${type} namespace`);
}

/** True for the namespace of this process, or of the first one that can be seen: what changes there changes for all. */
export function isHostNamespace(path: string, type: NamespaceName): boolean {
  const { ino, dev } = statSync(path);
  return ["self", "1"].some((pid) => {
    const host = namespaceOfProcess(pid, type);
    return host?.ino === ino && host.dev === dev;
  });
}

/** Undefined where a sandbox shows a PID 1 that is not ours to look at. */
function namespaceOfProcess(pid: string, type: NamespaceName): Stats | undefined {
  try {
    return statSync(`/proc/${pid}/ns/${NAMESPACE_FILES[type]}`);
  } catch (error) {
    if (hasCode(error, "EACCES", "EPERM", "ENOENT")) return undefined;
    throw error;
  }
}
