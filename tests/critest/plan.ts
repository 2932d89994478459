/** What a machine with CRI-O does with critest, as data; the guest reads it from its work disk. */

export const RUNTIMES = ["runc", "crio-lxc"] as const;
export type Runtime = (typeof RUNTIMES)[number];

export type CritestRun = {
  readonly runtime: Runtime;
  readonly groups: readonly { readonly name: string; readonly focus: string }[];
  /** Decides the order of the specs. */
  readonly seed: number;
};

/** On the work disk, where the guest mounts it. */
export const CRITEST = "/work/critest";
/** Where the guest leaves what is worth keeping. */
export const RESULTS = "/results";
/** ginkgo's report of one group. */
export function reportFile(group: string): string {
  return `critest-${group}.json`;
}
export const FACTS = "critest-facts.json";

/** What the run was made with. */
export type CritestFacts = {
  readonly crio: string;
  readonly runtime: string;
  readonly kernel: string;
  /** Images that AtomFS had at the end, each with the fix: imported at the first start of a container. None with runc. */
  readonly fixedImages: number;
  /** What was there after critest and was not before it: mounts, state directories, processes. */
  readonly left: readonly string[];
};
