import type { ByteString } from "../core/bytestring.ts";

/**
 * The launch program: what the player does inside the container's namespaces, one whole operation after the other. It is
 * decided by the planner and holds no policy: no defaults, no fallbacks, no "if the host has". docs/formats/launch-program.md
 * has the bytes. Paths are absolute in the container and are resolved by the player where they are used, inside the root
 * (openat2, RESOLVE_IN_ROOT), never before.
 */
export type Operation = {
  readonly does: Action;
  /** What a failure means. "ignore-absent": ENOENT and ENOTDIR of the operation's own path are no failure. */
  readonly onError: "fail" | "ignore-absent" | "warn";
};

/** Index into the descriptors that the launcher hands to the player, in the order of the plan's `descriptors`. */
export type DescriptorIndex = number;

/** Bits of mount_setattr(2). */
export type MountAttributes = { readonly set: number; readonly clear: number; readonly recursive: boolean };

export type Capabilities = {
  readonly bounding: bigint;
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
  readonly ambient: bigint;
};

export type Action =
  /** Tells the launcher that the program is here and waits for its word: hooks of the host, or a place in a cgroup. */
  | { readonly kind: "await-launcher" }
  /**
   * `exec` only: joins these namespaces (CLONE_NEW* bits) of a process and goes on in a child, which is in its PID namespace,
   * has the player's own parent, and whose host PID is told to the launcher. Only namespaces that differ from the player's.
   */
  | { readonly kind: "join-namespaces"; readonly pidfd: DescriptorIndex; readonly namespaces: number }
  /** setns(2) into one namespace, of a type (a CLONE_NEW* bit) that takes no child to be entered. */
  | { readonly kind: "enter-namespace"; readonly namespace: DescriptorIndex; readonly type: number }
  // Before the container counts as created.
  | { readonly kind: "make-directory"; readonly path: ByteString; readonly mode: number }
  /**
   * Attaches a detached mount (open_tree clone) that the launcher opened; makes the target if it is absent, and directories on
   * the way to it. "as-mount": a directory if the mount's root is one, else an empty file; the planner cannot know which.
   */
  | {
      readonly kind: "attach-mount";
      readonly mount: DescriptorIndex;
      readonly path: ByteString;
      readonly create: "dir" | "file" | "none" | "as-mount";
    }
  /**
   * A new filesystem (fsopen) mounted at a path: proc, sysfs, tmpfs, devpts, mqueue, cgroup2 ... The directory is made if it is
   * absent.
   */
  | {
      readonly kind: "mount-filesystem";
      readonly type: ByteString;
      readonly source: ByteString;
      /** fsconfig: a string each; an empty value is a flag. */
      readonly options: readonly (readonly [key: ByteString, value: ByteString])[];
      readonly attributes: number;
      readonly path: ByteString;
      /** tmpcopyup: what the path held before is copied into the new filesystem. */
      readonly copyUp: boolean;
      /**
       * If the directory was there before, the new filesystem's root gets its mode: what runc does for a tmpfs without `mode=`,
       * whose own default, 1777, would let everyone write to a /run that was 0755. Absent: no.
       */
      readonly keepMode?: boolean;
    }
  | { readonly kind: "set-mount-attributes"; readonly path: ByteString; readonly attributes: MountAttributes }
  | {
      readonly kind: "set-propagation";
      readonly path: ByteString;
      readonly propagation: "private" | "shared" | "slave" | "unbindable";
      readonly recursive: boolean;
    }
  | {
      readonly kind: "make-node";
      readonly path: ByteString;
      readonly type: "char" | "block" | "fifo";
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
      readonly uid: number;
      readonly gid: number;
    }
  /** No symlink is followed on the way, as for make-node. The same link already there is no failure. */
  | { readonly kind: "make-symlink"; readonly path: ByteString; readonly target: ByteString }
  /** A file is covered by /dev/null (checked to be char 1:3), a directory by one shared empty read-only tmpfs. */
  | { readonly kind: "mask-path"; readonly path: ByteString }
  | { readonly kind: "make-path-readonly"; readonly path: ByteString }
  /** Written through a private procfs; the key has "/" for "." already: "net/ipv4/ip_forward". */
  | { readonly kind: "write-sysctl"; readonly key: ByteString; readonly value: ByteString }
  | { readonly kind: "set-hostname"; readonly name: ByteString }
  | { readonly kind: "set-domainname"; readonly name: ByteString }
  /** A pseudoterminal of the container's own devpts: its master goes to the socket, its slave to /dev/console and stdio. */
  | {
      readonly kind: "open-console";
      readonly socket: DescriptorIndex;
      readonly rows: number;
      readonly columns: number;
      readonly bindConsole: boolean;
    }
  /**
   * The root becomes that of `tree`, a mount tree of the runtime, and the container's own root, with all of its mounts, is at
   * `container` in it: what a hook sees that runs after the mounts and before pivot_root. The working directory is the
   * container's root, as in runc. Neither it nor what it is put on may be shared.
   */
  | { readonly kind: "enter-runtime-tree"; readonly tree: DescriptorIndex; readonly container: ByteString }
  /** The container's root is the root again, and nothing is left of the other tree. */
  | { readonly kind: "leave-runtime-tree" }
  | { readonly kind: "make-root-readonly" }
  /** Where the program joins a user namespace: before. */
  | { readonly kind: "set-oom-score"; readonly value: number }
  /**
   * Joins the session keyring of this name, of the user namespace that the player is in, or makes it: no key of who called the
   * runtime is there. `searchable`: by its name other processes of its user find it. ENOSYS, a kernel without keyrings, counts as
   * absent.
   */
  | { readonly kind: "set-session-keyring"; readonly name: ByteString; readonly searchable: boolean }
  /**
   * Fails, with the text and the exit code of `execute`, if this user could not execute the program: so that a missing one is
   * an error of `create`, as in other runtimes. Changes nothing.
   */
  | {
      readonly kind: "find-executable";
      readonly name: ByteString;
      /** The value of PATH. */
      readonly searchPath: ByteString;
      readonly uid: number;
      readonly gid: number;
      /** Capabilities that the program will have. */
      readonly effective: bigint;
      readonly groups: readonly number[];
    }
  // The barrier: the launcher is told "ready"; the program goes on when `start` says so, and ends if all ends are closed.
  | { readonly kind: "await-start" }
  // At start.
  /** Runs a hook inside the container, as what the player is by then, with `state` (JSON) on its stdin; `timeoutMs` 0: none. */
  | {
      readonly kind: "run-hook";
      readonly path: ByteString;
      readonly args: readonly ByteString[];
      readonly env: readonly ByteString[];
      readonly state: Uint8Array;
      readonly timeoutMs: number;
      /** For its error: "startContainer hook #0". */
      readonly name: ByteString;
    }
  | { readonly kind: "set-rlimit"; readonly resource: number; readonly soft: bigint; readonly hard: bigint }
  | { readonly kind: "set-umask"; readonly mask: number }
  | { readonly kind: "set-personality"; readonly value: number }
  | { readonly kind: "set-groups"; readonly groups: readonly number[] }
  /** Bounding set, then user and group with capabilities kept, then the other four sets. */
  | {
      readonly kind: "set-identity";
      readonly uid: number;
      readonly gid: number;
      readonly capabilities: Capabilities | undefined;
    }
  /** chdir, made if absent and `create`; checked to be inside the root. */
  | { readonly kind: "change-directory"; readonly path: ByteString; readonly create: boolean }
  | { readonly kind: "set-no-new-privileges" }
  | { readonly kind: "load-seccomp"; readonly filter: Uint8Array; readonly flags: number }
  | { readonly kind: "set-exec-label"; readonly lsm: "apparmor" | "selinux"; readonly label: ByteString }
  /** Finds the program by PATH of `env` and executes it with stdio and `descriptors`, which become 3, 4, ...; all others are closed. */
  | {
      readonly kind: "execute";
      readonly args: readonly ByteString[];
      readonly env: readonly ByteString[];
      readonly descriptors: readonly DescriptorIndex[];
    };

/** A whole program. `exec` into a running container is the same player with another program. */
export type LaunchProgram = { readonly operations: readonly Operation[] };
