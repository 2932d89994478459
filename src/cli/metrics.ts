import { statfsSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import type { Command } from "commander";
import { AtomfsError, EXIT_CODES } from "../core/errors.ts";
import { CriEngine } from "../engines/cri/containers.ts";
import { formatExposition } from "../formats/prometheus/exposition.ts";
import { VERSION } from "../runtime/version.ts";
import { readEngineImages } from "../store/engine-images.ts";
import { readGcRecord } from "../store/gc-record.ts";
import { measureStore } from "../store/usage.ts";
import { hasCode } from "../sys/ffi.ts";
import { writeAtomic } from "../sys/files.ts";
import { listRows } from "./container-rows.ts";
import { type Context, openStore } from "./context.ts";
import { metricFamilies } from "./metric-families.ts";

type MetricsOptions = { readonly output?: string; readonly usage: boolean };

export function registerMetrics(program: Command, context: () => Context): void {
  program
    .command("metrics")
    .description("say in Prometheus' text format what is in the store and what runs")
    .option(
      "--output <file>",
      "write them there, whole or not at all, for node_exporter's textfile collector",
    )
    .option("--no-usage", "leave out the store's size, for which every atom and molecule is read")
    .action((options: MetricsOptions) => runMetrics(context(), options));
}

async function runMetrics(context: Context, options: MetricsOptions): Promise<void> {
  using store = openStore(context);
  const collectors: Record<string, boolean> = {};
  const collect = async <T>(name: string, part: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      const found = await part();
      collectors[name] = true;
      return found;
    } catch (error) {
      // What fails is told by the metrics themselves, so that the rest is still seen.
      if (!(error instanceof AtomfsError) || error.kind === "interrupted") throw error;
      collectors[name] = false;
      context.setExitCode(EXIT_CODES.blocked);
      context.output.say(`note: no metrics of ${name}: ${error.message}`);
      return undefined;
    }
  };
  const rows = await collect("containers", () => listRows(context, store));
  const usage = options.usage ? await collect("usage", () => measureStore(store)) : undefined;
  const { bavail, bsize } = statfsSync(store.layout.root);
  const families = metricFamilies({
    version: VERSION,
    state: store.state,
    engineImages: readEngineImages(store.layout),
    lastGc: readGcRecord(store.layout),
    available: bavail * bsize,
    engines: CriEngine.isConfigured() ? ["cri"] : [],
    rows,
    usage,
    collectors,
  });
  const text = formatExposition(families);
  if (options.output === undefined) {
    context.output.answer(families, () => text.trimEnd());
    return;
  }
  const file = resolve(options.output);
  writeMetrics(file, text);
  context.output.answer({ file, bytes: Buffer.byteLength(text) }, () => `written to ${file}`);
}

/** Others read the file at any moment. */
function writeMetrics(file: string, text: string): void {
  if (!basename(file).endsWith(".prom")) {
    throw new AtomfsError("usage", `Cannot write metrics to ${file}: node_exporter reads files *.prom only`);
  }
  try {
    writeAtomic(file, Buffer.from(text), { mode: 0o644 });
  } catch (cause) {
    if (!hasCode(cause, "ENOENT", "ENOTDIR")) throw cause;
    throw new AtomfsError("not-found", `Cannot write metrics to ${file}: there is no ${dirname(file)}`, {
      cause,
    });
  }
}
