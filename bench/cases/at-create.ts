import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileExecutable } from "../../scripts/compile.ts";
import { REPOSITORY } from "../../scripts/demo/commands.ts";
import { AtomfsError } from "../../src/core/errors.ts";
import { run } from "../../src/sys/process.ts";
import type { Bench } from "../bench.ts";

const GROUP = "What AtomFS adds to the start of a container whose image has no fix";
const ROUNDS = 60;
/** Containers of the engine's storage: one, a full node of Kubernetes' default (110 pods, their infra containers too), many. */
const CONTAINERS = [1, 220, 1000] as const;

type Annotations = Readonly<Record<string, string>>;

/**
 * The step of crio-lxc's create, in a new process each time, with and without a store. The engine's storage is what
 * containers/storage writes, with its overlay mounted: nothing but the number of its containers matters to the step.
 */
export async function atCreateCase(bench: Bench): Promise<void> {
  const probe = bench.place.newPath("at-create-probe");
  await compileExecutable(join(REPOSITORY, "bench/at-create-probe.ts"), probe);
  const none = "without a store";
  const store = bench.place.newPath("at-create-store");
  const places = await Promise.all(CONTAINERS.map((count) => makeStorage(bench, count)));
  mkdirSync(join(store, "current"), { recursive: true });
  for (const { image } of places)
    writeFileSync(join(store, "current", image), `${"0".repeat(64)} 1 0\n`, { mode: 0o600 });
  try {
    const [first] = places;
    if (first === undefined) throw new TypeError("There are no storages");
    await bench.interleave(ROUNDS, [
      async () => {
        const { ms } = await measure(bench, probe, first.bundle, "/nonexistent", {});
        bench.results.add(GROUP, none, { ms });
      },
      ...places.map(({ count, bundle, image }) => async () => {
        const wanted = { "io.atomfs.root": "engine", "io.atomfs.why": "no-fix", "io.atomfs.image": image };
        const { ms } = await measure(bench, probe, bundle, store, wanted);
        const what = `with a store; the engine has ${count} container${count === 1 ? "" : "s"}`;
        bench.results.add(GROUP, what, { ms });
      }),
    ]);
  } finally {
    for (const { rootfs } of places) await run(["umount", rootfs]);
  }
}

async function measure(
  bench: Bench,
  probe: string,
  bundle: string,
  store: string,
  wanted: Annotations,
): Promise<{ readonly ms: number }> {
  const env = {
    ...process.env,
    ATOMFS_ROOT: store,
    ATOMFS_CONFIG: "/nonexistent",
    // As native/crio-lxc.c starts it.
    BUN_JSC_useBaselineJIT: "0",
  };
  const { stdout } = await run([probe, bundle], { env, signal: bench.signal });
  const { ms, annotations } = JSON.parse(stdout.toString()) as { ms: number; annotations: Annotations };
  if (Bun.deepEquals(annotations, wanted)) return { ms };
  throw new AtomfsError("failed", `The step at create did something else: ${JSON.stringify(annotations)}`);
}

type Storage = {
  readonly count: number;
  readonly bundle: string;
  readonly rootfs: string;
  readonly image: string;
};

async function makeStorage(bench: Bench, count: number): Promise<Storage> {
  const graph = bench.place.newPath("at-create-graph");
  const name = (what: string): string => createHash("sha256").update(`${what} ${count}`).digest("hex");
  const image = name("image");
  const containers = Array.from({ length: count }, (_, index) => containerEntry(name, image, index));
  // Found last, so that all is read.
  const own = containers[count - 1];
  if (own === undefined) throw new TypeError("A storage has a container");
  const layer = join(graph, "overlay", own.layer);
  const [diff, work, rootfs] = ["diff", "work", "merged"].map((each) => join(layer, each)) as [
    string,
    string,
    string,
  ];
  const lower = join(graph, "overlay", name("lower"), "diff");
  for (const path of [diff, work, rootfs, lower]) mkdirSync(path, { recursive: true });
  writeFileSync(join(layer, "lower"), `${lower}\n`);
  const bundle = join(graph, "overlay-containers", own.id, "userdata");
  mkdirSync(bundle, { recursive: true });
  writeFileSync(join(graph, "overlay-containers/containers.json"), JSON.stringify(containers));
  const options = `lowerdir=${lower},upperdir=${diff},workdir=${work}`;
  await run(["mount", "-t", "overlay", "overlay", "-o", options, rootfs]);
  const config = { ociVersion: "1.0.2", root: { path: rootfs }, process: { args: ["true"], cwd: "/" } };
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
  return { count, bundle, rootfs, image };
}

/** As Podman 4.3 writes one. */
function containerEntry(
  name: (what: string) => string,
  image: string,
  index: number,
): { readonly id: string; readonly layer: string } & Readonly<Record<string, unknown>> {
  const metadata = {
    "image-name": "docker.io/library/image:tag",
    "image-id": image,
    name: `k8s_name_pod-${index}_namespace_uid_0`,
    "created-at": 1795468800,
  };
  return {
    id: name(`id ${index}`),
    names: [metadata.name],
    image,
    layer: name(`layer ${index}`),
    metadata: JSON.stringify(metadata),
    created: "2026-11-23T20:51:57.574Z",
    flags: { MountLabel: "", ProcessLabel: "" },
  };
}
