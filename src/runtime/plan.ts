import type { ByteString } from "../core/bytestring.ts";
import type { HookConfig, IdMapping, NamespaceConfig } from "../formats/oci/runtime-config/types.ts";
import type { CgroupPlan } from "./cgroup-plan.ts";
import type { LaunchProgram, MountAttributes } from "./operations.ts";

/** Everything that creating a container takes, decided; the launcher does it, without a choice of its own. */
export type LaunchPlan = {
  /** Lines of the LXC configuration, in order. `lxc.init.cmd` is the launcher's. */
  readonly lxcConfig: readonly (readonly [key: string, value: string])[];
  readonly program: LaunchProgram;
  /** In the order of the player's descriptor indexes. */
  readonly descriptors: readonly DescriptorRequest[];
  readonly cgroups: CgroupPlan;
  /** v2: whose the container's control group becomes, as the host's id; undefined: it stays as liblxc makes it. */
  readonly cgroupOwner: number | undefined;
  readonly hooks: HostHooks;
  /** Namespaces that exist: the launcher checks that each path is a namespace of this type (NS_GET_NSTYPE). */
  readonly join: readonly { readonly type: NamespaceConfig["type"]; readonly path: string }[];
  /** Init's root is no root of the host: the way to what liblxc mounts the root on must be open to it. */
  readonly inUserNamespace: boolean;
  /** For the log, as those of `cgroups` are. */
  readonly warnings: readonly string[];
  readonly state: StateSnapshot;
};

/** An id-mapped mount: files of `containerId` on disk are `hostId`'s to the host, and so the container's. */
export type MountIdMap = {
  readonly uids: readonly IdMapping[];
  readonly gids: readonly IdMapping[];
  /** Of the mounts below it, too. */
  readonly recursive: boolean;
};

/** What the launcher opens for the player: before it starts liblxc, or, where that is said, when init waits for it. */
export type DescriptorRequest =
  /**
   * open_tree(OPEN_TREE_CLONE) of a path of the host, symlinks followed, `recursive` with AT_RECURSIVE; then mount_setattr with
   * `attributes` on the clone, and with a user namespace of these maps. Never the source itself.
   */
  | {
      readonly kind: "bind-source";
      readonly path: ByteString;
      readonly recursive: boolean;
      readonly attributes: MountAttributes;
      readonly idMap?: MountIdMap;
    }
  /** The same of the container's own directory in a cgroup hierarchy, which liblxc makes: when init waits. */
  | {
      readonly kind: "cgroup-directory";
      readonly path: ByteString;
      readonly recursive: false;
      readonly attributes: MountAttributes;
    }
  /** All that the runtime itself sees, for hooks: `bind-source` of "/", and nothing mounted in it reaches the host. When init waits. */
  | { readonly kind: "runtime-tree" }
  /**
   * The same of a device node, for a container that may not make one: of `path` if that is this device on the host, else of a
   * node that the launcher makes where nobody else can see it.
   */
  | {
      readonly kind: "device-node";
      readonly path: ByteString;
      readonly type: "char" | "block";
      readonly major: number;
      readonly minor: number;
    }
  /** A new mount of a filesystem whose source or options name paths of the host, as those of overlay do. */
  | {
      readonly kind: "filesystem";
      readonly type: string;
      readonly source: string;
      readonly options: readonly (readonly [key: string, value: string])[];
      readonly attributes: MountAttributes;
    }
  /** A namespace's file. */
  | { readonly kind: "namespace"; readonly path: string }
  /** A stream connection to the socket of `--console-socket`. */
  | { readonly kind: "console-socket" }
  /** What the runtime itself was given under this number (`--preserve-fds`), for the container's program. */
  | { readonly kind: "inherited"; readonly number: number };

/** Hooks that run in the runtime's namespaces, in this order, with the state on stdin. */
export type HostHooks = {
  /** At create, before the program's mounts. */
  readonly prestart: readonly HookConfig[];
  readonly createRuntime: readonly HookConfig[];
  readonly poststart: readonly HookConfig[];
  readonly poststop: readonly HookConfig[];
};

/** What later verbs need, whatever happens to config.json meanwhile. */
export type StateSnapshot = {
  readonly id: string;
  readonly ociVersion: string;
  readonly bundle: string;
  readonly rootfs: string;
  readonly annotations: ReadonlyMap<string, string>;
  /** False: `start` is an error. */
  readonly hasProcess: boolean;
  readonly terminal: boolean;
  /** False: `kill --all` is needed to end what is left. */
  readonly ownPidNamespace: boolean;
  readonly systemdCgroup: boolean;
};
