/**
 * npm run demo: the main job end to end on real software. Every figure and verdict of the closing table comes from the
 * steps themselves; a promise that isn't kept ends the demo with an error.
 */
import { AtomfsError, EXIT_CODES } from "../../src/core/errors.ts";
import { Demo } from "./demo.ts";
import { requireMachine } from "./machine.ts";
import { closingTable } from "./report.ts";
import { Story } from "./story.ts";
import { openWorkplace } from "./workplace.ts";

async function main(): Promise<void> {
  const json = process.argv.includes("--json");
  const unknown = process.argv.slice(2).filter((each) => each !== "--json");
  const interruption = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => interruption.abort(new AtomfsError("interrupted", `Stopped by ${signal}`)));
  }
  const story = new Story(json);
  try {
    if (unknown.length > 0)
      throw new AtomfsError("usage", `The demo does not know ${unknown.join(" ")}`, {
        hints: ["it knows --json"],
      });
    requireMachine();
    await using workplace = await openWorkplace();
    const report = await new Demo(story, interruption.signal, workplace).run();
    story.write(`\n${closingTable(report)}`);
    if (json) process.stdout.write(`${JSON.stringify({ passed: true, ...report }, null, 2)}\n`);
  } catch (error) {
    // A clean-up that failed matters more than why it began.
    const shown =
      interruption.signal.aborted && !(error instanceof SuppressedError) ? interruption.signal.reason : error;
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
