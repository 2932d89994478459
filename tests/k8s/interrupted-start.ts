import { existsSync } from "node:fs";
import { join } from "node:path";
import { PLACE } from "../../scripts/k8s/place.ts";
import { patience } from "../support/slowness.ts";
import { leftOvers } from "./left-overs.ts";

const DEMO = join(import.meta.dir, "../../scripts/k8s/main.ts");
/** Building the programs takes its time on the first run. */
const START_MS = 45 * 60_000;
const END_MS = 120_000;

/** Starts the demo, interrupts it when its API server runs, and says what is left then. */
export async function interruptedStartLeaves(signal: AbortSignal): Promise<readonly string[]> {
  const child = Bun.spawn([process.execPath, DEMO], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
    signal,
    detached: true,
  });
  const isUp = (): boolean => existsSync(join(PLACE, "log/kube-apiserver.log"));
  const end = performance.now() + patience(START_MS);
  while (!isUp() && child.exitCode === null && performance.now() < end) await Bun.sleep(100);
  if (!isUp()) {
    child.kill("SIGKILL");
    return ["the demo, which did not start"];
  }
  child.kill("SIGINT");
  const limit = setTimeout(() => child.kill("SIGKILL"), patience(END_MS));
  const code = await child.exited;
  clearTimeout(limit);
  return [...(code === 130 ? [] : [`exit code ${code}`]), ...leftOvers()];
}
