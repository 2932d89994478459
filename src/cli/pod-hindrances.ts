import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { defaultRuntimeHandler } from "../engines/cri/default-runtime.ts";
import type { EngineContainer } from "../engines/engine.ts";
import type { Hindrance } from "../engines/kubernetes/hindrances.ts";
import { publishedImages } from "../engines/podman/image-store.ts";
import { sourceOfRoot } from "../engines/podman/image-store-root.ts";
import { SETTINGS_PATH } from "../engines/setup/files.ts";
import type { RootState } from "../fixing/container-root.ts";
import { DEFAULT_STATE_DIRECTORY } from "../runtime/argv.ts";
import { readAtCreatePolicy } from "../runtime/at-create.ts";
import type { AtCreatePolicy } from "../runtime/at-create-policy.ts";
import { currentGeneration } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { findMount, type Mount, readMountinfo } from "../sys/mountinfo.ts";
import { environment } from "./context.ts";

/*
 * Would a new container of a pod have what this one lacks? Kubernetes is asked for one only if so: else a restart would come again and
 * again.
 */

export const CRIO_LXC = "crio-lxc";

export type CureFacts = {
  /** crio-lxc has made this container, or would make a new one. */
  readonly isUnderCrioLxc: boolean;
  /** crio-lxc made it, and AtomFS had nothing to do with its root. */
  readonly wasLeftAlone: boolean;
  readonly source: ReturnType<typeof sourceOfRoot>;
  /** The image can be seen by the engine in AtomFS's image store. */
  readonly isPublished: boolean;
  /** Undefined if the file cannot be used. */
  readonly outdatedPolicy: AtCreatePolicy["outdated"] | undefined;
  /** The image's current molecule has fixes; else the engine's own root is as good. */
  readonly hasFixes: boolean;
  readonly root: Pick<RootState, "status" | "shadowed" | "onVolumes">;
};

/** @returns undefined if a new container would have its image's current molecule, as far as this can be told */
export function hindranceOf(facts: CureFacts): Hindrance | undefined {
  const { isUnderCrioLxc, outdatedPolicy, hasFixes, source, root } = facts;
  if (isUnderCrioLxc && outdatedPolicy === undefined) return "policy-bad";
  if (hasFixes && isUnderCrioLxc && outdatedPolicy === "refuse") return "policy-refuse";
  const isFromStore = source === "image-store" || (source === undefined && facts.isPublished);
  if (hasFixes && !isFromStore) {
    if (!isUnderCrioLxc) return "runtime";
    if (facts.wasLeftAlone && source === "elsewhere") return "engine-root";
    if (outdatedPolicy === "warn") return "policy-warn";
  }
  const { status, shadowed, onVolumes } = root;
  return status !== "outdated" && onVolumes.length > 0 && onVolumes.length === shadowed.length
    ? "volume"
    : undefined;
}

/** What of the facts is the node's, read once. */
export class NodeHindrances {
  readonly #store: Store;
  readonly #policy: AtCreatePolicy | undefined = readPolicy();
  readonly #defaultHandler: string | undefined = defaultRuntimeHandler();
  /** Undefined if the image store cannot be read: then nothing is held against a container. */
  readonly #published: ReadonlySet<string> | undefined;

  constructor(store: Store) {
    this.#store = store;
    this.#published = publishedIn(store);
  }

  of(container: EngineContainer, { imageId, pid, root, wasDecided }: Looked): Hindrance | undefined {
    const { id, runtimeHandler } = container;
    const handler = runtimeHandler === "" ? this.#defaultHandler : runtimeHandler;
    const isCrioLxcs = existsSync(join(DEFAULT_STATE_DIRECTORY, id));
    const mount = rootMountOf(pid);
    return hindranceOf({
      isUnderCrioLxc: isCrioLxcs || handler === CRIO_LXC,
      wasLeftAlone: isCrioLxcs && !wasDecided,
      source: mount === undefined ? undefined : sourceOfRoot(mount),
      isPublished: this.#published?.has(imageId) ?? true,
      outdatedPolicy: this.#policy?.outdated,
      hasFixes: (currentGeneration(this.#store.state, imageId)?.fixes.length ?? 0) > 0,
      root,
    });
  }
}

type Looked = {
  readonly imageId: Sha256;
  /** Of the container's first process. */
  readonly pid: number;
  readonly root: CureFacts["root"];
  /** crio-lxc has noted what it did about the root. */
  readonly wasDecided: boolean;
};

function publishedIn(store: Store): ReadonlySet<string> | undefined {
  try {
    return new Set(publishedImages(store.layout.imageStore).map(({ config }) => config));
  } catch (error) {
    if (error instanceof AtomfsError) return undefined;
    throw error;
  }
}

/** Undefined where crio-lxc could not use it either. */
function readPolicy(): AtCreatePolicy | undefined {
  try {
    return readAtCreatePolicy(environment("ATOMFS_CONFIG") ?? SETTINGS_PATH);
  } catch {
    return undefined;
  }
}

/** Undefined for a process that has ended. */
function rootMountOf(pid: number): Mount | undefined {
  try {
    return findMount(readMountinfo(pid), "/");
  } catch (error) {
    if (error instanceof AtomfsError || (error instanceof Error && "code" in error)) return undefined;
    throw error;
  }
}
