/**
 * npm run demo: the main job end to end on real software. Every figure and verdict of the closing table comes from the
 * steps themselves; a promise that isn't kept ends the demo with an error.
 */
import { AtomfsError, EXIT_CODES } from "../../src/core/errors.ts";
import { abortOnSignals } from "../../src/sys/interruption.ts";
import { Demo } from "./demo.ts";
import { requireMachine } from "./machine.ts";
import { closingTable } from "./report.ts";
import { Story } from "./story.ts";
import { AT_CREATE, STORAGE } from "./ways.ts";
import { openWorkplace } from "./workplace.ts";

const USAGE = `npm run demo [-- OPTIONS]
  --storage   Podman's images are AtomFS's (an additional image store), the runtime is runc;
              without it they are in Podman's ordinary storage, and the runtime crio-lxc puts the fix there
  --json      one JSON document with all figures and verdicts instead of the story
`;
const OPTIONS = new Set(["--json", "--storage"]);

/** @throws AtomfsError "usage" */
function checkUsage(args: readonly string[]): void {
  const unknown = args.filter((each) => !OPTIONS.has(each));
  const hints = [`it knows ${[...OPTIONS].join(" and ")}: npm run demo -- --storage`];
  if (unknown.length > 0)
    throw new AtomfsError("usage", `The demo does not know ${unknown.join(" ")}`, { hints });
  // npm keeps options before "--" for itself and says nothing.
  if (process.env["npm_config_storage"] !== undefined && !args.includes("--storage"))
    throw new AtomfsError("usage", "npm kept --storage for itself", { hints });
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  const json = args.includes("--json");
  const way = args.includes("--storage") ? STORAGE : AT_CREATE;
  const interruption = abortOnSignals();
  const story = new Story(json);
  try {
    if (args.includes("--help") || args.includes("-h")) {
      process.stdout.write(USAGE);
      return;
    }
    checkUsage(args);
    requireMachine(way);
    await using workplace = await openWorkplace(undefined, way.name);
    const report = await new Demo(story, interruption, workplace, way).run();
    story.write(`\n${closingTable(report)}`);
    if (json) process.stdout.write(`${JSON.stringify({ passed: true, ...report }, null, 2)}\n`);
  } catch (error) {
    // A clean-up that failed matters more than why it began.
    const shown = interruption.aborted && !(error instanceof SuppressedError) ? interruption.reason : error;
    const known = shown instanceof AtomfsError ? shown : undefined;
    const message = messageOf(shown);
    if (json)
      process.stdout.write(`${JSON.stringify({ passed: false, error: message, steps: story.steps })}\n`);
    process.stderr.write(`demo: ${message}\n`);
    for (const hint of known?.hints ?? []) process.stderr.write(`demo: hint: ${hint}\n`);
    process.exitCode = known?.exitCode ?? EXIT_CODES.failed;
  }
}

function messageOf(error: unknown): string {
  if (error instanceof SuppressedError)
    return `${messageOf(error.suppressed)}; and cleaning up failed: ${messageOf(error.error)}`;
  return error instanceof Error ? error.message : String(error);
}

await main();
