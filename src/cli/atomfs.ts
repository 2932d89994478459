import { Command, CommanderError, Option } from "commander";
import { EXIT_CODES } from "../core/errors.ts";
import { VERSION } from "../runtime/version.ts";
import { abortOnSignals } from "../sys/interruption.ts";
import { registerContainers } from "./containers.ts";
import { type Context, type GlobalOptions, makeContext } from "./context.ts";
import { registerDf } from "./df.ts";
import { registerDoctor } from "./doctor/verb.ts";
import { describeFailure } from "./failure.ts";
import { registerFix } from "./fix.ts";
import { registerGc } from "./gc.ts";
import { registerImages } from "./images.ts";
import { registerImport } from "./import.ts";
import { registerMaintenance } from "./maintenance.ts";
import { registerMetrics } from "./metrics.ts";
import { Output } from "./output.ts";
import { registerReport } from "./report.ts";
import { registerSetup } from "./setup.ts";

const interruption = abortOnSignals();

function buildProgram(wantsJson: boolean): Command {
  const program = new Command("atomfs")
    .description("Fix a system library once, in every container image that has it")
    .version(VERSION)
    .option("--root <directory>", "the store (default: $ATOMFS_ROOT or /var/lib/atomfs)")
    .option("--json", "answer as JSON; new fields may appear")
    .enablePositionalOptions()
    .showHelpAfterError("atomfs: hint: `atomfs help`, or `atomfs help COMMAND`")
    .configureOutput({
      outputError: (text, write) => {
        if (!wantsJson) write(text.replace(/^error: /, "atomfs: "));
      },
    })
    .exitOverride();
  let made: Context | undefined;
  let options: GlobalOptions = {};
  program.hook("preAction", (_, command) => {
    options = globalOptions(command);
  });
  const context = (): Context => {
    made ??= makeContext(options, interruption);
    return made;
  };
  for (const register of [
    registerImport,
    registerImages,
    registerFix,
    registerContainers,
    registerReport,
    registerMetrics,
    registerMaintenance,
    registerGc,
    registerDf,
    registerSetup,
    registerDoctor,
  ]) {
    register(program, context);
  }
  for (const command of program.commands) takeGlobalOptions(command);
  return program;
}

/** `atomfs images --json` is `atomfs --json images`. */
function takeGlobalOptions(command: Command): void {
  command.addOption(new Option("--root <directory>").hideHelp()).addOption(new Option("--json").hideHelp());
  for (const each of command.commands) takeGlobalOptions(each);
}

/** What was said last counts. */
function globalOptions(command: Command): GlobalOptions {
  const before = command.parent === null ? {} : globalOptions(command.parent);
  const { root, json } = command.opts<GlobalOptions>();
  return { ...before, ...(root === undefined ? {} : { root }), ...(json === undefined ? {} : { json }) };
}

/** The whole command `atomfs`; sets the exit code. */
export async function runAtomfs(): Promise<void> {
  // Also for what goes wrong before the options are understood.
  const wantsJson = process.argv.includes("--json");
  try {
    await buildProgram(wantsJson).parseAsync(process.argv);
  } catch (error) {
    if (error instanceof CommanderError && (!wantsJson || error.exitCode === 0)) {
      process.exitCode = error.exitCode === 0 ? 0 : EXIT_CODES.usage;
      return;
    }
    const failure = describeFailure(interruption.aborted ? interruption.reason : error);
    new Output(wantsJson).error(failure, error);
    process.exitCode = failure.exitCode;
  }
}
