import { Command, CommanderError } from "commander";
import { registerContainers } from "./cli/containers.ts";
import { type Context, type GlobalOptions, makeContext } from "./cli/context.ts";
import { registerFix } from "./cli/fix.ts";
import { registerImages } from "./cli/images.ts";
import { registerImport } from "./cli/import.ts";
import { registerMaintenance } from "./cli/maintenance.ts";
import { Output } from "./cli/output.ts";
import { AtomfsError, EXIT_CODES } from "./core/errors.ts";

const VERSION = "0.1.0";

/** One abort for everything: signals unwind through `using`, so no mount, lock or temporary file is left. */
const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => interruption.abort(new AtomfsError("interrupted", `Stopped by ${signal}`)));
}

function buildProgram(): Command {
  const program = new Command("atomfs")
    .description("Fix a system library once, in every container image that has it")
    .version(VERSION)
    .option("--root <directory>", "the store (default: $ATOMFS_ROOT or /var/lib/atomfs)")
    .option("--json", "answer as JSON; new fields may appear")
    .enablePositionalOptions()
    .showHelpAfterError()
    .exitOverride();
  let made: Context | undefined;
  const context = (): Context => {
    made ??= makeContext(program.opts<GlobalOptions>(), interruption.signal);
    return made;
  };
  for (const register of [
    registerImport,
    registerImages,
    registerFix,
    registerContainers,
    registerMaintenance,
  ]) {
    register(program, context);
  }
  return program;
}

async function main(): Promise<void> {
  const program = buildProgram();
  try {
    await program.parseAsync(process.argv);
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : EXIT_CODES.usage;
      return;
    }
    const shown = interruption.signal.aborted ? interruption.signal.reason : error;
    new Output(program.opts<GlobalOptions>().json === true).error(shown);
    process.exitCode = shown instanceof AtomfsError ? shown.exitCode : EXIT_CODES.failed;
  }
}

await main();
