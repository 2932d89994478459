/** What virtual machines run, as data, and what their results say. */

/** Of the guest's loopback, for its apt sources. */
export const ARCHIVE_PORT = 8480;
/** The emulation is about 15 times slower than the machine it runs on; most limits have room of their own. */
export const SLOWNESS = 10;

export type KernelName = "6.1" | "6.12";

export type VirtualJob = {
  /** Also the name of its files. */
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  /** "suites" ends with a line of counts; "command" is one test by its exit code. */
  readonly kind: "suites" | "command";
};

export type VirtualMachine = {
  readonly name: string;
  readonly kernel: KernelName;
  /** Has the root disk the feature that fs-verity needs? */
  readonly verity: boolean;
  readonly jobs: readonly VirtualJob[];
  /** Minutes until it is ended by force. */
  readonly limit: number;
};

/** What a guest says of itself, to see that the tests ran where they should. */
export type MachineFacts = {
  readonly kernel: string;
  readonly init: string;
  readonly cgroupVersions: readonly string[];
  readonly apparmor: boolean;
  readonly verity: boolean;
  /** Effective, hexadecimal. */
  readonly capabilities: string;
};

export type Counts = {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly skippedNames: readonly string[];
  readonly failedNames: readonly string[];
};

/** A job on one machine, as people name it: "6.1:launcher". */
export function partName(machine: VirtualMachine, job: VirtualJob): string {
  return `${machine.name}:${job.name}`;
}

export function partNames(machines: readonly VirtualMachine[]): string[] {
  return machines.flatMap((machine) => machine.jobs.map((job) => partName(machine, job)));
}

export function jobFiles(job: VirtualJob): { readonly log: string; readonly end: string } {
  return { log: `${job.name}.log`, end: `${job.name}.json` };
}

/** Where the guest is not what the plan says. */
export function wrongFacts(machine: VirtualMachine, facts: MachineFacts): string[] {
  const wrong: string[] = [];
  if (!facts.kernel.startsWith(`${machine.kernel}.`)) wrong.push(`the kernel is ${facts.kernel}`);
  if (facts.init !== "systemd") wrong.push(`PID 1 is ${facts.init}`);
  if (facts.cgroupVersions.join() !== "cgroup2") wrong.push(`cgroups are ${facts.cgroupVersions.join(", ")}`);
  if (!facts.apparmor) wrong.push("AppArmor is off");
  if (facts.verity !== machine.verity) wrong.push(`the disk has ${facts.verity ? "" : "no "}fs-verity`);
  // CAP_SYS_RESOURCE and all others: what the development machine lacks.
  if (!/^0*1ffffffffff$/.test(facts.capabilities)) wrong.push(`capabilities are ${facts.capabilities}`);
  return wrong;
}

const COUNTS = /^(\d+) passed, (\d+) failed, (\d+) skipped$/;

/** What tests/run.ts wrote: its last line, and the names below "Skipped:" and "Failed:". undefined if it did not get that far. */
export function readCounts(output: string): Counts | undefined {
  const lines = output.trimEnd().split("\n");
  const match = COUNTS.exec(lines.at(-1) ?? "");
  if (match === null) return undefined;
  const namesBelow = (heading: string): string[] => {
    const from = lines.lastIndexOf(heading) + 1;
    if (from === 0) return [];
    const rest = lines.slice(from);
    const length = rest.findIndex((line) => !line.startsWith("  "));
    return rest.slice(0, length).map((line) => line.trim());
  };
  return {
    passed: Number(match[1]),
    failed: Number(match[2]),
    skipped: Number(match[3]),
    skippedNames: namesBelow("Skipped:"),
    failedNames: namesBelow("Failed:"),
  };
}
