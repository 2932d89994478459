import { startManyContainers } from "../../scripts/k8s/many-containers.ts";
import { AtomfsError } from "../../src/core/errors.ts";
import type { Bench } from "../bench.ts";
import {
  type Contender,
  memoryOf,
  type PodMemory,
  PodNode,
  RUNC_PLAIN,
  WITH_FIX,
  WITHOUT_FIX,
} from "../pod-node.ts";

const PODS = 50;
const TOGETHER = { pods: 20, containers: 200, rounds: 2 } as const;
const FIRST_STARTS = 3;

const GROUP = {
  start: "A pod's start under CRI-O: RunPodSandbox (with CNI), CreateContainer, StartContainer",
  create: "  CreateContainer of it",
  memory: `${PODS} pods: what each has in memory (PSS of conmon and the container)`,
  together: `${TOGETHER.containers} containers in ${TOGETHER.pods} pods, created and started at once`,
  first: "The first start of an image that AtomFS does not know",
} as const;

/** Pods as kubelet makes them, through crictl, with both runtimes in one CRI-O. */
export async function podsCase(bench: Bench): Promise<void> {
  await using node = await PodNode.start(bench);
  await oneAfterTheOther(bench, node);
  await together(bench, node);
  await firstStarts(bench, node);
}

async function oneAfterTheOther(bench: Bench, node: PodNode): Promise<void> {
  const { crio, web } = node;
  const contenders = [WITH_FIX, WITHOUT_FIX, RUNC_PLAIN];
  const sandboxes: string[] = [];
  let number = 0;
  const start = async (contender: Contender, isMeasured: boolean): Promise<void> => {
    crio.policy(...contender.policy);
    const name = `${contender.key}-${number++}`;
    const options = { name, image: web, hasNetwork: true, cgroup: contender.key, ...handlerOf(contender) };
    const begin = performance.now();
    const sandbox = await crio.makeSandbox(options);
    sandboxes.push(sandbox);
    const made = performance.now();
    const container = await crio.createContainer(sandbox, options);
    const created = performance.now();
    await crio.crictl("start", container);
    const end = performance.now();
    if (!isMeasured) return;
    add(bench, GROUP.start, contender, end - begin);
    add(bench, GROUP.create, contender, created - made);
  };
  // The first of each reads what the later ones find in memory.
  for (const contender of contenders) await start(contender, false);
  const before = new Map(contenders.map((each) => [each, memoryOf(each.key)]));
  await bench.interleave(
    PODS,
    contenders.map((each) => () => start(each, true)),
  );
  const pods = bench.isQuick ? 2 : PODS;
  for (const contender of contenders) {
    const after = memoryOf(contender.key);
    const each = (of: keyof PodMemory): number => (after[of] - (before.get(contender)?.[of] ?? 0)) / pods;
    const row = { processes: contender.title, kernel: `  ${contender.title}: the kernel's` };
    for (const of of ["processes", "kernel"] as const)
      bench.results.add(GROUP.memory, row[of], { ms: Number.NaN, residentBytes: each(of) });
  }
  await crio.removePods(...sandboxes);
}

/** @throws AtomfsError "failed" if a single one does not start */
async function together(bench: Bench, node: PodNode): Promise<void> {
  const { crio, web } = node;
  const { pods, containers } = bench.isQuick ? { pods: 2, containers: 10 } : TOGETHER;
  let round = 0;
  const all = async (contender: Contender): Promise<void> => {
    crio.policy(...contender.policy);
    const options = { name: `many-${contender.key}-${round++}`, image: web, ...handlerOf(contender) };
    const { ms, running, failures, remove } = await startManyContainers(crio, options, { pods, containers });
    bench.say(`${contender.title}: ${running} run, ${failures.length} failed`);
    if (running !== containers)
      throw new AtomfsError("failed", `${running} of ${containers} containers run: ${failures[0]}`);
    add(bench, GROUP.together, contender, ms);
    await remove();
  };
  await bench.interleave(
    TOGETHER.rounds,
    [WITH_FIX, WITHOUT_FIX, RUNC_PLAIN].map((each) => () => all(each)),
  );
}

async function firstStarts(bench: Bench, node: PodNode): Promise<void> {
  const { crio, feed } = node;
  const restore = node.keepStore();
  const title = { first: "crio-lxc, unknown = import: with the fix", second: "  the second start" };
  let number = 0;
  const start = async (policy: readonly string[], handler?: string) => {
    crio.policy(...policy);
    const name = `first-${number++}`;
    const options = { name, image: feed, hasNetwork: true, ...(handler === undefined ? {} : { handler }) };
    const begin = performance.now();
    const pod = await crio.runPod(options);
    return { ms: performance.now() - begin, ...pod };
  };
  for (let round = 0; round < (bench.isQuick ? 1 : FIRST_STARTS); round++) {
    restore();
    const first = await start(['unknown = "import"']);
    const { why, "import-ms": importMs } = await crio.atCreate(first.container);
    if (why !== "fix") throw new AtomfsError("failed", `The first start has no fix: ${why}`);
    const second = await start(['unknown = "import"']);
    const runc = await start([], "runc");
    bench.results.add(GROUP.first, title.first, { ms: first.ms });
    bench.results.add(GROUP.first, "  the import of it", { ms: Number(importMs) });
    bench.results.add(GROUP.first, title.second, { ms: second.ms }, { against: title.first });
    bench.results.add(GROUP.first, RUNC_PLAIN.title, { ms: runc.ms }, { against: title.first });
    await crio.removePods(first.sandbox, second.sandbox, runc.sandbox);
  }
}

function handlerOf({ handler }: Contender): { readonly handler?: string } {
  return handler === undefined ? {} : { handler };
}

function add(bench: Bench, group: string, { title }: Contender, ms: number): void {
  bench.results.add(group, title, { ms }, title === WITH_FIX.title ? {} : { against: WITH_FIX.title });
}
