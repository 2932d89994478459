import { existsSync } from "node:fs";
import { join } from "node:path";
import { PLACE } from "../../scripts/k8s/place.ts";
import { moleculeOfMount } from "../../src/mounts/spec.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";
import { patience } from "../support/slowness.ts";
import { leftOvers } from "./left-overs.ts";

const DEMO = join(import.meta.dir, "../../scripts/k8s/main.ts");
/** Building the programs takes its time on the first run. */
const START_MS = 45 * 60_000;
const END_MS = 120_000;
/** The exploit is not what is tested here: a shorter one, which is still a slow one. */
const ATTRIBUTES = "100000";

export const MOMENTS = ["its API server starts", "pods are restarted"] as const;
export type Moment = (typeof MOMENTS)[number];

/** How far the demo has come when it is interrupted, by what is there. */
const HAS_COME: Readonly<Record<Moment, () => boolean>> = {
  "its API server starts": () => existsSync(join(PLACE, "log/kube-apiserver.log")),
  // Pods of both nodes run, the first of them on a molecule, and others are being made.
  "pods are restarted": () =>
    readMountinfo().some(
      (mount) => mount.target.startsWith(`${PLACE}/`) && moleculeOfMount(mount) !== undefined,
    ),
};

/** Starts the demo, interrupts it, and says what is left then. */
export async function interruptedDemoLeaves(moment: Moment, signal: AbortSignal): Promise<readonly string[]> {
  const child = Bun.spawn([process.execPath, DEMO], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    signal,
    detached: true,
    env: { ...process.env, ATOMFS_DEMO_ATTRIBUTES: ATTRIBUTES },
  });
  const said = new Response(child.stdout).text();
  const hasCome = HAS_COME[moment];
  const end = performance.now() + patience(START_MS);
  while (!hasCome() && child.exitCode === null && performance.now() < end) await Bun.sleep(100);
  if (!hasCome()) {
    child.kill("SIGKILL");
    return [`the demo, which did not come so far: ${(await said).slice(-500)}`];
  }
  // As a terminal does: everything that the demo runs in its process group gets it, too.
  process.kill(-child.pid, "SIGINT");
  const limit = setTimeout(() => child.kill("SIGKILL"), patience(END_MS));
  const code = await child.exited;
  clearTimeout(limit);
  return [...(code === 130 ? [] : [`exit code ${code}`]), ...leftOvers()];
}
