import type { Sha256 } from "../core/digest.ts";

export type ContainerState = "created" | "running" | "paused" | "exited" | "other";

/** What AtomFS needs to know of an engine's container. */
export type EngineContainer = {
  /** 64 hex digits. */
  readonly id: string;
  readonly name: string;
  /** The image's config digest; undefined for a container that was made of a directory. */
  readonly imageId: Sha256 | undefined;
  readonly imageName: string;
  readonly state: ContainerState;
  /** Of the container's first process, in the namespace of the engine; undefined if it doesn't run. */
  readonly pid: number | undefined;
  /** RFC 3339; undefined if it never ran. */
  readonly startedAt: string | undefined;
  /** "no", "always", "on-failure", "unless-stopped", or what a newer engine says. */
  readonly restartPolicy: string;
  /** The engine removes it when it stops: it cannot be started again. */
  readonly removedAtStop: boolean;
  /** The pod's id. */
  readonly pod: string | undefined;
  /** Only keeps a pod's namespaces open. */
  readonly isInfra: boolean;
  /** The systemd unit that starts and stops it; the engine's own stop would make systemd act. */
  readonly systemdUnit: string | undefined;
};

export type EngineImage = {
  readonly imageId: Sha256;
  readonly names: readonly string[];
  readonly manifestDigest: string | undefined;
  /** It comes from an additional image store, such as AtomFS's own. */
  readonly readOnly: boolean;
};
