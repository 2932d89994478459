/**
 * npm run bench [-- [--quick] [--json FILE] [case...]]: AtomFS beside its peers, in one run on one machine. Nothing is asserted
 * about time; docs/bench.md says what each case measures.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { buildAtomfs } from "../scripts/demo/commands.ts";
import { buildDemoImages, VULNERABLE_PACKAGE } from "../scripts/demo/images.ts";
import { cacheDirectory } from "../scripts/demo/rebuild.ts";
import { AtomfsError, EXIT_CODES } from "../src/core/errors.ts";
import { abortOnSignals } from "../src/sys/interruption.ts";
import { Bench } from "./bench.ts";
import { atCreateCase } from "./cases/at-create.ts";
import { composeCase } from "./cases/compose.ts";
import { fixCase } from "./cases/fix.ts";
import { importCase } from "./cases/import.ts";
import { mountCase } from "./cases/mount.ts";
import { podsCase } from "./cases/pods.ts";
import { runtimeCase } from "./cases/runtime.ts";
import { startCase } from "./cases/start.ts";
import { verifyCase } from "./cases/verify.ts";
import { currentLoad, describeEnvironment, environmentText } from "./environment.ts";
import { openBenchPlace } from "./place.ts";
import { Results } from "./results.ts";

type Case = { readonly run: (bench: Bench) => Promise<void>; readonly needsMainStore: boolean };

const CASES: Readonly<Record<string, Case>> = {
  import: { run: importCase, needsMainStore: false },
  compose: { run: composeCase, needsMainStore: true },
  mount: { run: mountCase, needsMainStore: false },
  fix: { run: fixCase, needsMainStore: true },
  verify: { run: verifyCase, needsMainStore: true },
  start: { run: startCase, needsMainStore: true },
  "at-create": { run: atCreateCase, needsMainStore: false },
  runtime: { run: runtimeCase, needsMainStore: false },
  pods: { run: podsCase, needsMainStore: false },
};

type Options = {
  readonly isQuick: boolean;
  readonly json: string | undefined;
  readonly names: readonly string[];
};

function readOptions(args: readonly string[]): Options {
  const wrong = (message: string): AtomfsError =>
    new AtomfsError("usage", message, {
      hints: [`npm run bench -- [--quick] [--json FILE] [${Object.keys(CASES).join("|")}]...`],
    });
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { quick: { type: "boolean" }, json: { type: "string" } },
      allowPositionals: true,
    });
    const unknown = positionals.find((name) => !Object.hasOwn(CASES, name));
    if (unknown !== undefined) throw wrong(`There is no case "${unknown}"`);
    const names = positionals.length === 0 ? Object.keys(CASES) : positionals;
    return { isQuick: values.quick === true, json: values.json, names };
  } catch (error) {
    if (error instanceof AtomfsError) throw error;
    throw wrong(error instanceof Error ? error.message : String(error));
  }
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

/** The demo's two images with the library, fixed; what the fix downloads stays in this store's cache. */
async function fillMainStore(bench: Bench): Promise<void> {
  say("filling the main store");
  for (const name of ["web", "feed"] as const)
    await bench.atomfs(bench.place.root, ["import", bench.images[name].source, "--name", `${name}:1.0`]);
  await bench.atomfs(bench.place.root, ["fix", VULNERABLE_PACKAGE, "--yes"]);
}

/** A case that fails ends the benchmark as a failure, but not the other cases. */
async function unlessInterrupted(name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof AtomfsError) || error.kind === "interrupted") throw error;
    say(`case ${name} failed: ${error.message}`);
    process.exitCode = EXIT_CODES.failed;
  }
}

async function measure(options: Options, signal: AbortSignal): Promise<void> {
  await buildAtomfs(signal);
  const images = await buildDemoImages({ cacheDir: cacheDirectory(), log: say, signal });
  await using place = await openBenchPlace();
  const environment = await describeEnvironment(place.directory);
  say(environmentText(environment));
  const results = new Results();
  const bench = new Bench({ place, images, results, signal, isQuick: options.isQuick, say });
  const cases = Object.entries(CASES).filter(([name]) => options.names.includes(name));
  if (cases.some(([, { needsMainStore }]) => needsMainStore)) await fillMainStore(bench);
  for (const [name, { run }] of cases) {
    say(`measuring ${name}`);
    await unlessInterrupted(name, () => run(bench));
  }
  const loadAtEnd = currentLoad();
  process.stdout.write(
    `${environmentText(environment)}\nload at the end ${loadAtEnd.toFixed(2)}\n\n${results.text()}\n`,
  );
  if (options.json === undefined) return;
  const raw = { environment, loadAtEnd, isQuick: options.isQuick, rows: results.rows };
  writeFileSync(options.json, `${JSON.stringify(raw, null, 2)}\n`);
}

async function main(): Promise<void> {
  const interruption = abortOnSignals();
  try {
    await measure(readOptions(process.argv.slice(2)), interruption);
  } catch (error) {
    const shown = interruption.aborted ? interruption.reason : error;
    const known = shown instanceof AtomfsError ? shown : undefined;
    say(shown instanceof Error ? shown.message : String(shown));
    for (const hint of known?.hints ?? []) say(`hint: ${hint}`);
    process.exitCode = known?.exitCode ?? EXIT_CODES.failed;
  }
}

await main();
