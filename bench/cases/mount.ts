import { mkdirSync } from "node:fs";
import { AtomfsError } from "../../src/core/errors.ts";
import { mountMolecule, unmountMolecule } from "../../src/mounts/molecule-mounts.ts";
import { findImage } from "../../src/store/state.ts";
import { Store } from "../../src/store/store.ts";
import { run } from "../../src/sys/process.ts";
import type { Bench } from "../bench.ts";
import { pullPlain } from "../plain-image.ts";

const GROUP = "Mount of web";
const OURS = "atomfs deploy (one image, nothing mounted)";
const INSIDE = "  mountMolecule alone, in this process";
const ROUNDS = 25;

/** One molecule from nothing mounted to mounted, and what the others' commands take for the same image. */
export async function mountCase(bench: Bench): Promise<void> {
  const { place, results, signal } = bench;
  const root = place.newStore("mount");
  await bench.atomfs(root, ["import", bench.images.web.source, "--name", "web:1.0"]);
  const pulled = await pullPlain(bench, bench.images.web.source);
  const layers = await layerDirectories(bench, pulled);
  const target = place.newPath("overlay");
  mkdirSync(target);

  const version = async (): Promise<void> => {
    results.add(
      GROUP,
      "  start of the program alone (atomfs --version)",
      (await bench.atomfs(root, ["--version"])).sample,
    );
  };
  const deploy = async (): Promise<void> => {
    await bench.atomfs(root, ["unmount"]);
    results.add(GROUP, OURS, (await bench.atomfs(root, ["deploy"])).sample);
  };
  const inside = async (): Promise<void> => {
    using store = Store.open(root);
    const molecule = store.currentMolecule(findImage(store.state, "web:1.0").config);
    unmountMolecule(store.layout, molecule);
    results.add(GROUP, INSIDE, await bench.timed(() => void mountMolecule(store.layout, molecule)));
  };
  const overlay = async (): Promise<void> => {
    const options = `ro,lowerdir=${layers.join(":")}`;
    const argv = ["mount", "-t", "overlay", "overlay", "-o", options, target] as const;
    results.add(
      GROUP,
      `mount -t overlay, ${layers.length} unpacked layers`,
      (await bench.command(argv, process.env)).sample,
      {
        against: OURS,
      },
    );
    await run(["umount", target]);
  };
  const podman = async (): Promise<void> => {
    const { sample } = await bench.command(["podman", "image", "mount", pulled], place.plainEnv);
    results.add(GROUP, "podman image mount", sample, { against: OURS });
    await run(["podman", "image", "unmount", pulled], { env: place.plainEnv, signal });
  };
  await bench.interleave(ROUNDS, [deploy, version, inside, overlay, podman]);
}

/** Where Podman's overlay storage has the layers of an image, topmost first. */
async function layerDirectories(bench: Bench, image: string): Promise<string[]> {
  const { stdout } = await run(
    ["podman", "image", "inspect", "--format", "{{json .GraphDriver.Data}}", image],
    {
      env: bench.place.plainEnv,
      signal: bench.signal,
    },
  );
  const { UpperDir, LowerDir } = JSON.parse(stdout.toString()) as { UpperDir?: string; LowerDir?: string };
  if (UpperDir === undefined || LowerDir === undefined)
    throw new AtomfsError("failed", "Podman does not say where the layers are");
  return [UpperDir, ...LowerDir.split(":")];
}
