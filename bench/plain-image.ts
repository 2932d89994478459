import { run } from "../src/sys/process.ts";
import type { Bench } from "./bench.ts";

/** Pulls an image into the Podman without AtomFS, where nothing else is then. @returns its id */
export async function pullPlain(bench: Bench, source: string): Promise<string> {
  const { place, signal } = bench;
  await place.emptyPlainPodman();
  await run(["podman", "pull", "--quiet", source], { env: place.plainEnv, signal });
  const { stdout } = await run(["podman", "images", "--quiet", "--no-trunc"], {
    env: place.plainEnv,
    signal,
  });
  return stdout.toString().trim().replace("sha256:", "");
}
