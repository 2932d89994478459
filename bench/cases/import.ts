import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import type { Bench } from "../bench.ts";
import type { Measured } from "../meter.ts";
import { diskBytes } from "../place.ts";
import type { Sample } from "../results.ts";

const EMPTY = "Import of web into an empty store";
const SECOND = "Import of feed beside web";
const AGAIN = "Import of web once more";
const OURS = "atomfs import";
const DURABLE = ", then sync";

const ROUNDS = 5;

/**
 * What a tool takes to make an image ready to run. AtomFS ends with everything on the disk and its molecule mounted; the others
 * leave that to the kernel, so each has a second row with a sync of the filesystem after it.
 */
export async function importCase(bench: Bench): Promise<void> {
  await bench.interleave(ROUNDS, [() => atomfs(bench), () => umoci(bench), () => podman(bench)]);
}

async function atomfs(bench: Bench): Promise<void> {
  const { images, place } = bench;
  const root = place.newStore("import");
  const one = (group: string, image: "web" | "feed"): Promise<void> =>
    record(bench, group, OURS, root, () =>
      bench.atomfs(root, ["import", images[image].source, "--name", `${image}:1.0`]),
    );
  await one(EMPTY, "web");
  await one(SECOND, "feed");
  await one(AGAIN, "web");
}

async function umoci(bench: Bench): Promise<void> {
  const room = bench.place.newPath("umoci");
  await run(["mkdir", room]);
  for (const [group, name] of [
    [EMPTY, "web"],
    [SECOND, "feed"],
  ] as const) {
    const { layout, tag } = bench.images[name];
    await record(bench, group, "umoci unpack", room, () =>
      bench.command(["umoci", "unpack", "--image", `${layout}:${tag}`, join(room, name)], process.env),
    );
  }
}

async function podman(bench: Bench): Promise<void> {
  const { images, place } = bench;
  await place.emptyPlainPodman();
  // Podman makes its databases at its first call.
  await run(["podman", "info"], { env: place.plainEnv, signal: bench.signal });
  const one = (group: string, image: "web" | "feed"): Promise<void> =>
    record(bench, group, "podman pull", join(place.directory, "plain-podman"), () =>
      bench.command(["podman", "pull", "--quiet", images[image].source], place.plainEnv),
    );
  await one(EMPTY, "web");
  await one(SECOND, "feed");
  await one(AGAIN, "web");
  await place.emptyPlainPodman();
}

async function record(
  bench: Bench,
  group: string,
  what: string,
  directory: string,
  command: () => Promise<Measured>,
): Promise<void> {
  const before = what === OURS && group === EMPTY ? 0 : await diskBytes(directory);
  // What earlier runs wrote must not be written during this one.
  await run(["sync"], { signal: bench.signal });
  const { sample } = await command();
  const synced = await bench.command(["sync", "--file-system", directory], process.env);
  const measured: Sample = { ...sample, diskBytes: (await diskBytes(directory)) - before };
  const against = what === OURS ? {} : { against: OURS };
  bench.results.add(group, what, measured, against);
  const againstDurable = what === OURS ? {} : { against: `${OURS}${DURABLE}` };
  bench.results.add(group, `${what}${DURABLE}`, { ms: sample.ms + synced.sample.ms }, againstDurable);
}
