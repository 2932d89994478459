import type { Sha256 } from "../core/digest.ts";

export type ContainerState = "created" | "running" | "paused" | "exited" | "other";

/** What AtomFS asks of an engine, whichever it is. */
export type Engine = {
  readonly name: "podman" | "cri";
  /** One sentence that says why the engine cannot be used, or undefined if it can. */
  describeUnavailable(): Promise<string | undefined>;
  /** All containers, stopped ones too. @throws AtomfsError "failed" */
  listContainers(options?: { readonly signal?: AbortSignal }): Promise<EngineContainer[]>;
  /** So that the container's root is mounted anew. @throws AtomfsError "blocked" if it is somebody else's to do that */
  restart(container: EngineContainer): Promise<void>;
};

export type KubernetesPod = { readonly namespace: string; readonly name: string; readonly uid: string };

/** What AtomFS needs to know of an engine's container. */
export type EngineContainer = {
  readonly engine: Engine["name"];
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
  /** "no", "always", "on-failure", "unless-stopped", "kubelet", or what a newer engine says. */
  readonly restartPolicy: string;
  /** The engine removes it when it stops: it cannot be started again. */
  readonly removedAtStop: boolean;
  /** The pod's id. */
  readonly pod: string | undefined;
  /** Only keeps a pod's namespaces open. */
  readonly isInfra: boolean;
  /** The systemd unit that starts and stops it; the engine's own stop would make systemd act. */
  readonly systemdUnit: string | undefined;
  /** Under kubelet. */
  readonly kubernetesPod: KubernetesPod | undefined;
  /** Of its pod's RuntimeClass; empty for the engine's default runtime, undefined if nobody says. */
  readonly runtimeHandler: string | undefined;
};

export type EngineImage = {
  readonly imageId: Sha256;
  readonly names: readonly string[];
  readonly manifestDigest: string | undefined;
  /** It comes from an additional image store, such as AtomFS's own. */
  readonly readOnly: boolean;
};
