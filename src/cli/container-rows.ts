import type { Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import type { EngineContainer } from "../engines/engine.ts";
import { containerFindings } from "../fixing/container-findings.ts";
import { inspectRoot, MoleculeTrees, type RootState } from "../fixing/container-root.ts";
import { DEFAULT_STATE_DIRECTORY } from "../runtime/argv.ts";
import { type AtCreateOutcome, readOutcome } from "../runtime/at-create-outcome.ts";
import type { Store } from "../store/store.ts";
import { type Context, listContainers } from "./context.ts";

/** A container of an engine, and what its root is. */
export type Row = EngineContainer & {
  readonly root: RootState["status"] | "stopped" | "not-ours";
  readonly molecule: string | undefined;
  /** What of the root is not as it should be, one sentence each. */
  readonly findings: readonly string[];
  /** What crio-lxc did at create; undefined for a container of another runtime. */
  readonly atCreate: AtCreateOutcome | undefined;
};

const NOTHING = { molecule: undefined, findings: [] } as const;

export function rowsOf(store: Store, containers: readonly EngineContainer[]): Row[] {
  const trees = new MoleculeTrees(store);
  return containers.map((container) => {
    const { imageId, pid } = container;
    const atCreate = readOutcome(DEFAULT_STATE_DIRECTORY, container.id);
    if (imageId === undefined || !store.state.images.has(imageId))
      return { ...container, ...NOTHING, root: "not-ours", atCreate };
    if (pid === undefined) return { ...container, ...NOTHING, root: "stopped", atCreate };
    return { ...container, ...look(store, trees, imageId, pid), atCreate };
  });
}

/** A container that ends meanwhile has no root to look at. */
function look(
  store: Store,
  trees: MoleculeTrees,
  image: Sha256,
  pid: number,
): Pick<Row, "root" | "molecule" | "findings"> {
  try {
    const state = inspectRoot(store, trees, image, pid);
    const findings = containerFindings(store, trees, state, pid);
    return { root: state.status, molecule: state.molecule, findings };
  } catch (error) {
    if (!(error instanceof AtomfsError) || error.kind === "interrupted") throw error;
    if (error.kind === "not-found") return { ...NOTHING, root: "unknown" };
    return { molecule: undefined, root: "unknown", findings: [`its root cannot be told: ${error.message}`] };
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
