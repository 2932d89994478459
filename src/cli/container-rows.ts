import type { Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import type { EngineContainer } from "../engines/engine.ts";
import type { Hindrance } from "../engines/kubernetes/hindrances.ts";
import { containerFindings } from "../fixing/container-findings.ts";
import { inspectRoot, MoleculeTrees, type RootState } from "../fixing/container-root.ts";
import { DEFAULT_STATE_DIRECTORY } from "../runtime/argv.ts";
import { type AtCreateOutcome, readOutcome } from "../runtime/at-create-outcome.ts";
import type { Store } from "../store/store.ts";
import { type Context, listContainers } from "./context.ts";
import { NodeHindrances } from "./pod-hindrances.ts";

/** A container of an engine, and what its root is. */
export type Row = EngineContainer & {
  readonly root: RootState["status"] | "stopped" | "not-ours";
  readonly molecule: string | undefined;
  /** What of the root is not as it should be, one sentence each. */
  readonly findings: readonly string[];
  /** What crio-lxc did at create; undefined for a container of another runtime. */
  readonly atCreate: AtCreateOutcome | undefined;
  /** Of a pod's container that lacks something: why a new container would lack it, too. */
  readonly hindrance: Hindrance | undefined;
};

const NOTHING = { molecule: undefined, findings: [], hindrance: undefined } as const;

/**
 * Does it lack files of its image's current molecule, or may it, in a way that a restart is for? Podman's restarts keep a container's
 * writable layer, new containers of pods have a new one.
 */
export function isForRestart({ root, kubernetesPod }: Pick<Row, "root" | "kubernetesPod">): boolean {
  return root === "outdated" || root === "unknown" || (root === "shadowed" && kubernetesPod !== undefined);
}

export function rowsOf(store: Store, containers: readonly EngineContainer[]): Row[] {
  const trees = new MoleculeTrees(store);
  let node: NodeHindrances | undefined;
  return containers.map((container) => {
    const { imageId, pid } = container;
    const atCreate = readOutcome(DEFAULT_STATE_DIRECTORY, container.id);
    if (imageId === undefined || !store.state.images.has(imageId))
      return { ...container, ...NOTHING, root: "not-ours", atCreate };
    if (pid === undefined) return { ...container, ...NOTHING, root: "stopped", atCreate };
    const { state, ...found } = look(store, trees, imageId, pid);
    const row = { ...container, ...NOTHING, ...found, root: state?.status ?? "unknown", atCreate };
    if (container.kubernetesPod === undefined || state === undefined || !isForRestart(row)) return row;
    node ??= new NodeHindrances(store);
    const hindrance = node.of(container, { imageId, pid, root: state, wasDecided: atCreate !== undefined });
    return { ...row, hindrance };
  });
}

type Look = Pick<Row, "molecule" | "findings"> & { readonly state: RootState | undefined };

/** A container that ends meanwhile has no root to look at. */
function look(store: Store, trees: MoleculeTrees, image: Sha256, pid: number): Look {
  try {
    const state = inspectRoot(store, trees, image, pid);
    const findings = containerFindings(store, trees, state, pid);
    return { state, molecule: state.molecule, findings };
  } catch (error) {
    if (!(error instanceof AtomfsError) || error.kind === "interrupted") throw error;
    if (error.kind === "not-found") return { state: undefined, molecule: undefined, findings: [] };
    return {
      state: { status: "unknown", molecule: undefined, shadowed: [], onVolumes: [] },
      molecule: undefined,
      findings: [`its root cannot be told: ${error.message}`],
    };
  }
}

/** What can be said of containers without a store: only what crio-lxc did. */
export function rowsWithoutStore(containers: readonly EngineContainer[]): Row[] {
  return containers.map((container) => {
    const atCreate = readOutcome(DEFAULT_STATE_DIRECTORY, container.id);
    const root = atCreate === undefined ? "not-ours" : container.pid === undefined ? "stopped" : "unknown";
    return { ...container, ...NOTHING, root, atCreate };
  });
}

export async function listRows(context: Context, store: Store): Promise<Row[]> {
  return rowsOf(store, await listContainers(context, { mustWork: true }));
}
