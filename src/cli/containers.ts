import type { Command } from "commander";
import { AtomfsError, EXIT_CODES } from "../core/errors.ts";
import type { EngineContainer } from "../engines/engine.ts";
import { inspectRoot, MoleculeTrees, type RootState } from "../fixing/container-root.ts";
import type { Store } from "../store/store.ts";
import { type Context, openPodman, openStore } from "./context.ts";
import { shortId, table } from "./output.ts";

type Row = EngineContainer & {
  readonly root: RootState["status"] | "stopped" | "not-ours";
  readonly molecule: string | undefined;
};

export function registerContainers(program: Command, context: () => Context): void {
  program
    .command("containers")
    .description("list the engines' containers and which molecule they run on")
    .option("--outdated", "only those whose root is not their image's current molecule")
    .action((options: { outdated?: boolean }) => runContainers(context(), options.outdated === true));
  program
    .command("restart")
    .description("restart containers through their engine, so that they get the current molecule")
    .option("--outdated", "all containers whose root is outdated")
    .argument("[container...]", "names or ids")
    .action((names: string[], options: { outdated?: boolean }) =>
      runRestart(context(), names, options.outdated === true),
    );
}

function rowsOf(store: Store, containers: readonly EngineContainer[]): Row[] {
  const trees = new MoleculeTrees(store);
  return containers.map((container) => {
    const { imageId, pid } = container;
    if (imageId === undefined || !store.state.images.has(imageId))
      return { ...container, root: "not-ours", molecule: undefined };
    if (pid === undefined) return { ...container, root: "stopped", molecule: undefined };
    const { status, molecule } = stateOf(store, trees, container, pid);
    return { ...container, root: status, molecule };
  });
}

/** A container that ends meanwhile has no root to look at. */
function stateOf(store: Store, trees: MoleculeTrees, container: EngineContainer, pid: number): RootState {
  try {
    return inspectRoot(store, trees, container.imageId as NonNullable<typeof container.imageId>, pid);
  } catch (error) {
    if (error instanceof AtomfsError && error.kind === "not-found")
      return { status: "unknown", molecule: undefined, shadowed: [] };
    throw error;
  }
}

async function listRows(context: Context, store: Store): Promise<Row[]> {
  const podman = await openPodman(context, { mustWork: true });
  return podman === undefined ? [] : rowsOf(store, await podman.listContainers({ signal: context.signal }));
}

async function runContainers(context: Context, onlyOutdated: boolean): Promise<void> {
  using store = openStore(context);
  const rows = (await listRows(context, store)).filter(
    (row) => !onlyOutdated || row.root === "outdated" || row.root === "unknown",
  );
  context.output.answer(rows, (all) =>
    table(
      ["CONTAINER", "ID", "IMAGE", "STATE", "ROOT", "MOLECULE"],
      all.map((row) => [
        row.name,
        shortId(row.id),
        row.imageName,
        row.state,
        row.root,
        row.molecule === undefined ? "-" : shortId(row.molecule),
      ]),
    ),
  );
}

async function runRestart(context: Context, names: readonly string[], outdated: boolean): Promise<void> {
  if (!outdated && names.length === 0) {
    throw new AtomfsError("usage", "Which containers?", { hints: ["atomfs restart --outdated, or names"] });
  }
  using store = openStore(context);
  const podman = await openPodman(context, { mustWork: true });
  if (podman === undefined)
    throw new AtomfsError("unsupported", "There is no engine to restart containers with");
  const rows = rowsOf(store, await podman.listContainers({ signal: context.signal }));
  const named = new Set(names.map((name) => findContainer(rows, name)));
  const chosen = rows.filter(
    (row) =>
      named.has(row) || (outdated && (row.root === "outdated" || row.root === "unknown") && !row.isInfra),
  );
  const results: { name: string; id: string; milliseconds: number; error: string | undefined }[] = [];
  for (const { id, name } of chosen) {
    context.signal.throwIfAborted();
    context.output.progress(`restarting ${name}`);
    const start = performance.now();
    const error = await restartOne(podman, id);
    results.push({ name, id, milliseconds: performance.now() - start, error });
  }
  if (results.some((each) => each.error !== undefined)) context.setExitCode(EXIT_CODES.blocked);
  context.output.answer(results, (all) =>
    all.length === 0
      ? "No container is outdated."
      : table(
          ["CONTAINER", "ID", "TIME", "RESULT"],
          all.map((each) => [
            each.name,
            shortId(each.id),
            `${(each.milliseconds / 1000).toFixed(2)} s`,
            each.error ?? "restarted",
          ]),
        ),
  );
}

/** A container by its name, else by its id or a prefix that no other has. */
function findContainer(rows: readonly Row[], name: string): Row {
  const byName = rows.find((row) => row.name === name);
  if (byName !== undefined) return byName;
  const byId = /^[0-9a-f]{3,64}$/.test(name) ? rows.filter((row) => row.id.startsWith(name)) : [];
  const [only, another] = byId;
  if (only === undefined) throw new AtomfsError("not-found", `There is no container "${name}"`);
  if (another !== undefined) throw new AtomfsError("usage", `Several containers' ids begin with "${name}"`);
  return only;
}

/** One that can't be restarted is reported and doesn't stop the others. */
async function restartOne(
  podman: NonNullable<Awaited<ReturnType<typeof openPodman>>>,
  id: string,
): Promise<string | undefined> {
  try {
    await podman.remountingRestart(id);
    return undefined;
  } catch (error) {
    if (!(error instanceof AtomfsError) || error.kind === "interrupted") throw error;
    return [error.message, ...error.hints].join("; ");
  }
}
