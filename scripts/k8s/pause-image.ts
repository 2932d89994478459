import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import { pushImage } from "./control-plane.ts";
import { PLACE } from "./place.ts";

/** A process that does nothing, for pods that share their processes. */
const PAUSE_SECONDS = "2147483647";

/** @returns the name that engines take */
export async function pushPauseImage(signal: AbortSignal): Promise<string> {
  return pushImage(await makePauseImage(signal), "pause:1", signal);
}

async function makePauseImage(signal: AbortSignal): Promise<string> {
  const root = join(PLACE, "pause-root");
  const layout = join(PLACE, "pause-layout");
  await mkdir(join(root, "bin"), { recursive: true });
  await cp("/bin/busybox", join(root, "bin/sleep"));
  const umoci = (...args: readonly string[]): Promise<unknown> => run(["umoci", ...args], { signal });
  const image = `${layout}:1`;
  await umoci("init", "--layout", layout);
  await umoci("new", "--image", image);
  await umoci("insert", "--image", image, join(root, "bin"), "/bin");
  await umoci("config", "--image", image, "--config.entrypoint=/bin/sleep", `--config.cmd=${PAUSE_SECONDS}`);
  return `oci:${image}`;
}
