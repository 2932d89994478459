import { cpSync, existsSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { VULNERABLE_PACKAGE } from "../scripts/demo/images.ts";
import { processesOf, removeStore } from "../scripts/demo/workplace.ts";
import { LoneCrio } from "../scripts/k8s/lone-crio.ts";
import { nodeCgroups, PLACE } from "../scripts/k8s/place.ts";
import { RUNC, RUNC_DROP_IN } from "../scripts/k8s/runc-drop-in.ts";
import { AtomfsError } from "../src/core/errors.ts";
import type { Bench } from "./bench.ts";

export type Contender = {
  /** Short: a part of names and of control groups. */
  readonly key: string;
  readonly title: string;
  readonly handler?: string;
  /** crio-lxc's policy. */
  readonly policy: readonly string[];
};

export const WITH_FIX: Contender = { key: "fix", title: "crio-lxc, with the fix (at create)", policy: [] };
export const WITHOUT_FIX: Contender = {
  key: "plain",
  title: "crio-lxc, the engine's own root",
  policy: ['outdated = "warn"'],
};
export const RUNC_PLAIN: Contender = {
  key: "runc",
  title: "runc, the engine's own root",
  handler: "runc",
  policy: [],
};

/** A node's CRI-O with both runtimes, `web` in it and in AtomFS's store, fixed, and `feed` in CRI-O alone. */
export class PodNode {
  readonly crio: LoneCrio;
  readonly web: string;
  readonly feed: string;

  private constructor(crio: LoneCrio, web: string, feed: string) {
    this.crio = crio;
    this.web = web;
    this.feed = feed;
  }

  static async start(bench: Bench): Promise<PodNode & AsyncDisposable> {
    const { signal, say, images } = bench;
    if (!existsSync(RUNC)) throw new AtomfsError("unsupported", `There is no ${RUNC} to compare with`);
    const crio = await LoneCrio.start({ log: say, signal, dropIns: { "50-runc.conf": RUNC_DROP_IN } });
    try {
      const web = await crio.pull(images.web.source, "demo/web:1.0");
      const feed = await crio.pull(images.feed.source, "demo/feed:1.0");
      await crio.answer("import", "--graph-root", crio.graphRoot, `containers-storage:${web}`);
      await crio.answer("fix", VULNERABLE_PACKAGE, "--yes");
      const dispose = (): PromiseLike<void> => crio[Symbol.asyncDispose]();
      return Object.assign(new PodNode(crio, web, feed), { [Symbol.asyncDispose]: dispose });
    } catch (error) {
      await crio[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The store as it is now, to be put back as often as wanted. @returns what puts it back */
  keepStore(): () => void {
    const { storeRoot } = this.crio;
    const kept = `${storeRoot}.kept`;
    renameSync(storeRoot, kept);
    const restore = (): void => {
      removeStore(storeRoot);
      cpSync(kept, storeRoot, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    };
    restore();
    return restore;
  }
}

export type PodMemory = {
  /** Proportional set sizes: a page that several processes have counts in parts. */
  readonly processes: number;
  /** What the kernel has for them, as their control group counts it. */
  readonly kernel: number;
};

/** What the pods of a contender have in memory: the containers' processes, and conmon's, which are in no group of theirs. In bytes. */
export function memoryOf(cgroup: string): PodMemory {
  const [directory] = nodeCgroups("n1")
    .map((node) => join(node, cgroup))
    .filter((path) => existsSync(join(path, "memory.stat")));
  if (directory === undefined) throw new AtomfsError("failed", "The pods have no control group for memory");
  const processes = proportionalSizes(directory) + conmonSize(cgroup);
  return { processes, kernel: kernelMemory(directory) };
}

/** conmon is told the container's name, as "k8s_c_POD_default_POD_0"; pods are named by their contender. */
function conmonSize(contender: string): number {
  const isOurs = (pid: number): boolean => {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return (
      words[0]?.endsWith("conmon") === true && words.some((word) => word.startsWith(`k8s_c_${contender}-`))
    );
  };
  return processesOf(PLACE)
    .filter(isOurs)
    .reduce((sum, pid) => sum + proportionalSize(pid), 0);
}

function proportionalSize(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+([0-9]+) kB$/m.exec(rollup)?.[1] ?? 0) * 1024;
}

function proportionalSizes(directory: string): number {
  const pids = readFileSync(join(directory, "cgroup.procs"), "utf8").split("\n").filter(Boolean);
  const own = pids.map(Number).map(proportionalSize);
  const below = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const all = [...own, ...below.map(({ name }) => proportionalSizes(join(directory, name)))];
  return all.reduce((sum, each) => sum + each, 0);
}

function kernelMemory(directory: string): number {
  const ofV1 = join(directory, "memory.kmem.usage_in_bytes");
  if (existsSync(ofV1)) return Number(readFileSync(ofV1, "utf8"));
  const stat = readFileSync(join(directory, "memory.stat"), "utf8");
  return Number(/^kernel ([0-9]+)$/m.exec(stat)?.[1] ?? 0);
}
