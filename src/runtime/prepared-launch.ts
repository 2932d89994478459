import type { RuntimeConfig } from "../formats/oci/runtime-config/types.ts";
import type { Fd } from "../sys/fd.ts";
import type { ForegroundConsole } from "./foreground-console.ts";
import type { CreateOptions } from "./invocation.ts";
import type { LateDescriptor } from "./launcher.ts";
import type { HostHooks } from "./plan.ts";
import type { Session } from "./session.ts";

/** Where a container's processes are. */
export type PreparedCgroups = {
  /** Below the root of every hierarchy. */
  readonly path: string;
  /** The container's own directory in every hierarchy. */
  readonly directories: readonly string[];
  /** Directories that liblxc makes for itself; removed as soon as its monitor has ended. */
  readonly ofMonitor: readonly string[];
  /** "crio-ID.scope", if systemd makes one around them. */
  readonly systemdUnit: string | undefined;
  readonly beforeLaunch: () => void;
  /** Init is there and waits. @returns warnings */
  readonly whileWaiting: () => readonly string[];
};

/** Everything that a container is made of, decided. Nothing of it is on the machine yet. */
export type PreparedLaunch = {
  readonly lxcConfig: string;
  /** The launch program, encoded. */
  readonly program: Uint8Array;
  /** Path of the player's executable. */
  readonly player: string;
  /** In the order of the program's indices, with something else in the places of the late ones. */
  readonly openDescriptors: (stack: DisposableStack) => readonly Fd[];
  /** What there is to open only when init waits. */
  readonly openLateDescriptors: (stack: DisposableStack) => readonly LateDescriptor[];
  /** As the plan's. */
  readonly inUserNamespace: boolean;
  readonly rootfs: string;
  readonly ociVersion: string;
  readonly hasProcess: boolean;
  readonly annotations: Readonly<Record<string, string>>;
  readonly cgroups: PreparedCgroups;
  readonly hooks: HostHooks;
  readonly warnings: readonly string[];
};

export type Preparation = (
  session: Session,
  request: {
    readonly options: CreateOptions;
    readonly bundle: string;
    /** The state directory. */
    readonly directory: string;
    readonly config: RuntimeConfig;
    /** For a terminal without --console-socket: of a container in the foreground. */
    readonly openConsole: (() => ForegroundConsole) | undefined;
  },
) => PreparedLaunch;
