import type { Command } from "commander";
import type { Sha256 } from "../core/digest.ts";
import { AtomfsError, EXIT_CODES } from "../core/errors.ts";
import type { Engine, EngineContainer } from "../engines/engine.ts";
import { containerFindings } from "../fixing/container-findings.ts";
import { inspectRoot, MoleculeTrees, type RootState } from "../fixing/container-root.ts";
import { DEFAULT_STATE_DIRECTORY } from "../runtime/argv.ts";
import { type AtCreateOutcome, readOutcome } from "../runtime/at-create-outcome.ts";
import type { Store } from "../store/store.ts";
import { type Context, listContainers, openEngines, openStore } from "./context.ts";
import { shortId, table } from "./output.ts";

type Row = EngineContainer & {
  readonly root: RootState["status"] | "stopped" | "not-ours";
  readonly molecule: string | undefined;
  /** What of the root is not as it should be, one sentence each. */
  readonly findings: readonly string[];
  /** What crio-lxc did at create; undefined for a container of another runtime. */
  readonly atCreate: AtCreateOutcome | undefined;
};

const NOTHING = { molecule: undefined, findings: [] } as const;
const FINDINGS_SHOWN = 5;

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
    if (error instanceof AtomfsError && error.kind === "not-found") return { ...NOTHING, root: "unknown" };
    throw error;
  }
}

async function listRows(context: Context, store: Store): Promise<Row[]> {
  return rowsOf(store, await listContainers(context, { mustWork: true }));
}

async function runContainers(context: Context, onlyOutdated: boolean): Promise<void> {
  using store = openStore(context);
  const rows = (await listRows(context, store)).filter(
    (row) => !onlyOutdated || row.root === "outdated" || row.root === "unknown",
  );
  context.output.answer(rows, (all) =>
    [
      table(
        ["CONTAINER", "ID", "IMAGE", "STATE", "ROOT", "MOLECULE", "AT CREATE"],
        all.map((row) => [
          row.name,
          shortId(row.id),
          row.imageName,
          row.state,
          row.root,
          row.molecule === undefined ? "-" : shortId(row.molecule),
          row.atCreate === undefined ? "-" : atCreateText(row.atCreate),
        ]),
      ),
      ...all.flatMap(findingLines),
    ].join("\n"),
  );
}

/** "molecule 0123456789ab: fix" or "engine: unknown-image (unknown=run)". */
function atCreateText({ root, molecule, why, policy, outdated, error }: AtCreateOutcome): string {
  const on = molecule === undefined ? root : `${root} ${shortId(molecule)}`;
  const decided = policy === undefined || why === "fix" ? "" : ` (${policy})`;
  const lacks = outdated === undefined ? "" : `, lacks molecule ${shortId(outdated)}`;
  return `${on}: ${why}${decided}${lacks}${error === undefined ? "" : `: ${error}`}`;
}

function findingLines({ name, findings, atCreate }: Row): string[] {
  const all = [...new Set([...findings, ...(atCreate?.findings ?? [])])];
  const more = all.length - FINDINGS_SHOWN;
  return [
    ...all.slice(0, FINDINGS_SHOWN).map((text) => `finding: ${name}: ${text}`),
    ...(more > 0 ? [`finding: ${name}: ${more} more, see --json`] : []),
  ];
}

async function runRestart(context: Context, names: readonly string[], outdated: boolean): Promise<void> {
  if (!outdated && names.length === 0) {
    throw new AtomfsError("usage", "Which containers?", { hints: ["atomfs restart --outdated, or names"] });
  }
  using store = openStore(context);
  const engines = await openEngines(context, { mustWork: true });
  if (engines.length === 0)
    throw new AtomfsError("unsupported", "There is no engine to restart containers with");
  const lists = await Promise.all(engines.map((each) => each.listContainers({ signal: context.signal })));
  const rows = rowsOf(store, lists.flat());
  const named = new Set(names.map((name) => findContainer(rows, name)));
  const chosen = rows.filter(
    (row) =>
      named.has(row) || (outdated && (row.root === "outdated" || row.root === "unknown") && !row.isInfra),
  );
  const results: { name: string; id: string; milliseconds: number; error: string | undefined }[] = [];
  for (const row of chosen) {
    const { id, name } = row;
    context.signal.throwIfAborted();
    context.output.progress(`restarting ${name}`);
    const start = performance.now();
    const error = await restartOne(engines, row);
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
  engines: readonly Engine[],
  container: EngineContainer,
): Promise<string | undefined> {
  try {
    await engines.find(({ name }) => name === container.engine)?.restart(container);
    return undefined;
  } catch (error) {
    if (!(error instanceof AtomfsError) || error.kind === "interrupted") throw error;
    return [error.message, ...error.hints].join("; ");
  }
}
