import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { REPOSITORY } from "../scripts/demo/commands.ts";
import { AtomfsError } from "../src/core/errors.ts";
import { run } from "../src/sys/process.ts";

const PEERS = ["podman", "umoci", "buildah", "runc", "mount"] as const;

/** Where and on what the numbers were taken. */
export type Environment = {
  readonly date: string;
  /** Of this checkout; "+" behind it: with changes. "unknown" outside of a git checkout. */
  readonly commit: string;
  readonly kernel: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Where the stores are. */
  readonly filesystem: string;
  /** Average of the last minute, before the first run. More than 1 means that others used the machine. */
  readonly load: number;
  readonly bun: string;
  readonly peers: Readonly<Record<string, string>>;
};

/** Processes that ran or waited for the disk, on average over the last minute. */
export function currentLoad(): number {
  return loadavg()[0] ?? 0;
}

export async function describeEnvironment(directory: string): Promise<Environment> {
  const processors = cpus();
  const { stdout: filesystem } = await run(["stat", "--file-system", "--format=%T", directory]);
  return {
    date: new Date().toISOString(),
    commit: await commit(),
    kernel: release(),
    cpu: processors[0]?.model ?? "unknown",
    cores: processors.length,
    memoryBytes: totalmem(),
    filesystem: filesystem.toString().trim(),
    load: currentLoad(),
    bun: Bun.version,
    peers: await packageVersions(),
  };
}

export function environmentText(environment: Environment): string {
  const { date, commit, kernel, cores, cpu, memoryBytes, filesystem, load, bun, peers } = environment;
  return [
    `${date}, commit ${commit}`,
    `Linux ${kernel}, ${cores} x ${cpu}, ${(memoryBytes / 1e9).toFixed(0)} GB, ${filesystem}; load at the start ${load.toFixed(2)}${load > 1 ? " (NOT QUIET)" : ""}`,
    `bun ${bun}, ${Object.entries(peers)
      .map((peer) => peer.join(" "))
      .join(", ")}`,
  ].join("\n");
}

async function commit(): Promise<string> {
  const git = async (...args: string[]): Promise<string> =>
    (await run(["git", "-C", REPOSITORY, ...args])).stdout.toString().trim();
  try {
    const isDirty = (await git("status", "--porcelain", "--untracked-files=no")) !== "";
    return `${await git("rev-parse", "--short=12", "HEAD")}${isDirty ? "+" : ""}`;
  } catch (error) {
    if (error instanceof AtomfsError) return "unknown";
    throw error;
  }
}

/** From dpkg's own records, which each of them has the same way. */
async function packageVersions(): Promise<Record<string, string>> {
  const installed = new Map<string, string>();
  for (const stanza of readFileSync("/var/lib/dpkg/status", "utf8").split("\n\n")) {
    const name = /^Package: (.*)$/m.exec(stanza)?.[1];
    const version = /^Version: (.*)$/m.exec(stanza)?.[1];
    if (name !== undefined && version !== undefined) installed.set(name, version);
  }
  return Object.fromEntries(PEERS.map((name) => [name, installed.get(name) ?? "not installed"]));
}
