/** One long suite of `npm run conformance`. */
export type Part = {
  readonly name: string;
  readonly about: string;
  readonly argv: readonly [string, ...string[]];
  readonly env?: Readonly<Record<string, string>>;
};

/** A verb's system calls at which crio-lxc is killed; times the verbs of the test that is several hundred kills. */
const CRASH_POINTS = "40";
const STORE_KILLS = "100";
const STORM_PODS = "1000";

/** Each ends with a line of counts, and is one that can be cut and taken up again, or short enough to be run anew. */
export const PARTS: readonly Part[] = [
  {
    name: "critest",
    about:
      "all of cri-tools' critest 1.36.0 in a virtual machine, CRI-O with crio-lxc and AtomFS beside runc",
    argv: ["npm", "run", "--silent", "test:critest", "--", "--resume"],
  },
  {
    name: "runtime-tools",
    about: "all of opencontainers/runtime-tools' validation, crio-lxc beside runc",
    argv: ["npm", "run", "--silent", "test:validation"],
  },
  {
    name: "crash-points",
    about: "crio-lxc killed at system calls of each verb, and the store's commands at random",
    argv: [
      "npm",
      "test",
      "--silent",
      "--",
      "tests/privileged/crio-lxc-crash.test.ts",
      "tests/privileged/crash.test.ts",
    ],
    env: { CRASH_POINTS, ATOMFS_KILLS: STORE_KILLS },
  },
  {
    name: "vm",
    about: "the privileged tests and the demo on Debian's own 6.1 and 6.12 (each part: vm-results.md)",
    argv: ["npm", "run", "--silent", "test:vm", "--", "--resume"],
  },
  {
    name: "kubernetes",
    about: "the demo's story and what pods ask for, on a real Kubernetes, as assertions",
    argv: ["npm", "run", "--silent", "test:k8s"],
  },
  {
    name: "kill-storm",
    about: `${STORM_PODS} pods come and go on a real Kubernetes while kubelet, CRI-O, crio-lxc and atomfs are killed`,
    argv: ["npm", "run", "--silent", "test:k8s", "--", "storm", "--pods", STORM_PODS],
  },
];
