import type { Command } from "commander";
import { AtomfsError, EXIT_CODES } from "../core/errors.ts";
import type { Engine, EngineContainer } from "../engines/engine.ts";
import { hindranceText } from "../engines/kubernetes/hindrances.ts";
import type { AtCreateOutcome } from "../runtime/at-create-outcome.ts";
import type { Store } from "../store/store.ts";
import { runClusterList, runClusterRestart } from "./cluster.ts";
import { isForRestart, listRows, type Row, rowsOf, rowsWithoutStore } from "./container-rows.ts";
import { type Context, failWith, listContainers, openEngines, openStore } from "./context.ts";
import { shortId, table } from "./output.ts";
import { parseDuration } from "./quantities.ts";

type ListOptions = { readonly outdated?: boolean; readonly cluster?: boolean; readonly kubeconfig?: string };
type RestartOptions = ListOptions & { readonly print?: boolean; readonly wait?: number };

const FINDINGS_SHOWN = 5;

export function registerContainers(program: Command, context: () => Context): void {
  program
    .command("containers")
    .description("list the engines' containers and which molecule they run on")
    .option("--outdated", "only those that lack files of their image's current molecule, or may lack some")
    .option("--cluster", "what the nodes of the cluster report as outdated, by owner")
    .option("--kubeconfig <file>", "with --cluster; default: kubectl's own")
    .action((options: ListOptions) =>
      options.cluster === true
        ? runClusterList(context(), options)
        : runContainers(context(), options.outdated === true),
    );
  program
    .command("restart")
    .description("restart containers through their engine, so that they get the current molecule")
    .option("--outdated", "all containers whose root is outdated or could not be told")
    .option("--cluster", "with --outdated: all nodes' outdated and shadowed pods, through Kubernetes")
    .option("--kubeconfig <file>", "with --cluster; default: kubectl's own")
    .option("--print", "with --cluster: print the commands, and do nothing")
    .option(
      "--wait <time>",
      "with --cluster: wait so long for rollouts and evictions, and try refused evictions again",
      parseDuration,
    )
    .argument("[container...]", "names or ids")
    .action((names: string[], options: RestartOptions) => runRestartVerb(context(), names, options));
}

/** Also without a store, or with one that cannot be read: then what runs matters most. The command fails afterwards. */
async function runContainers(context: Context, onlyOutdated: boolean): Promise<void> {
  const { rows: all, failure } = await rowsOfContext(context);
  const rows = all.filter((row) => !onlyOutdated || isForRestart(row));
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
  failWith(failure);
}

async function rowsOfContext(
  context: Context,
): Promise<{ readonly rows: Row[]; readonly failure?: unknown }> {
  let store: Store;
  try {
    store = openStore(context);
  } catch (failure) {
    if (failure instanceof AtomfsError && failure.kind === "unsupported") throw failure;
    return { rows: rowsWithoutStore(await listContainers(context, { mustWork: true })), failure };
  }
  using opened = store;
  return { rows: await listRows(context, opened) };
}

/** "molecule 0123456789ab: fix" or "engine: unknown-image (unknown=run)". */
function atCreateText({ root, molecule, why, policy, outdated, error }: AtCreateOutcome): string {
  const on = molecule === undefined ? root : `${root} ${shortId(molecule)}`;
  const decided = policy === undefined || why === "fix" ? "" : ` (${policy})`;
  const lacks = outdated === undefined ? "" : `, lacks molecule ${shortId(outdated)}`;
  return `${on}: ${why}${decided}${lacks}${error === undefined ? "" : `: ${error}`}`;
}

function findingLines({ name, findings, atCreate, hindrance }: Row): string[] {
  const noCure = hindrance === undefined ? [] : [`a restart does not help: ${hindranceText(hindrance)}`];
  const all = [...new Set([...noCure, ...findings, ...(atCreate?.findings ?? [])])];
  const more = all.length - FINDINGS_SHOWN;
  return [
    ...all.slice(0, FINDINGS_SHOWN).map((text) => `finding: ${name}: ${text}`),
    ...(more > 0 ? [`finding: ${name}: ${more} more, see --json`] : []),
  ];
}

async function runRestartVerb(
  context: Context,
  names: readonly string[],
  options: RestartOptions,
): Promise<void> {
  const { cluster, outdated, print, kubeconfig, wait } = options;
  if (cluster !== true) {
    if (print === true || kubeconfig !== undefined || wait !== undefined)
      throw new AtomfsError("usage", "--print, --wait and --kubeconfig go with --cluster");
    return runRestart(context, names, outdated === true);
  }
  if (outdated !== true || names.length > 0) {
    throw new AtomfsError("usage", "--cluster restarts what the nodes report as outdated, nothing by name", {
      hints: ["atomfs restart --outdated --cluster"],
    });
  }
  return runClusterRestart(context, options);
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
  const chosen = rows.filter((row) => named.has(row) || (outdated && isForRestart(row) && !row.isInfra));
  const results: { name: string; id: string; milliseconds: number; error: string | undefined }[] = [];
  for (const row of chosen) {
    const { id, name } = row;
    context.signal.throwIfAborted();
    context.output.progress(`restarting ${name}`);
    const start = performance.now();
    const error =
      row.hindrance === undefined
        ? await restartOne(engines, row)
        : `a restart does not help: ${hindranceText(row.hindrance)}`;
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
