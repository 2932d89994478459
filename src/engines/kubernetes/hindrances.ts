import { shownWord } from "./report.ts";

/*
 * Why a restart would not bring a pod's container its image's current molecule: one word for the node's report, a sentence
 * for people.
 */

/** Stable words; docs/kubernetes.md says what each means. */
export const HINDRANCES = {
  runtime:
    "its runtime is not crio-lxc, so a new container has no fix either: set runtimeClassName to a RuntimeClass with the handler crio-lxc",
  "engine-root":
    "crio-lxc can put no molecule under a root that the engine does not make by containers/storage, as CRI-O does",
  "policy-warn":
    'the node\'s policy outdated = "warn" starts containers without their fixes: set outdated = "replace" in its atomfs.toml',
  "policy-refuse":
    'the node\'s policy outdated = "refuse" would not let a new container start: set outdated = "replace" in its atomfs.toml',
  "policy-bad":
    "the node's atomfs.toml is wrong (`atomfs doctor` there), and no new container would start: correct it",
  volume:
    "a volume covers files that a fix replaces, and will cover a new container's, too: change the volume or what is in it",
} as const;

export type Hindrance = keyof typeof HINDRANCES;

/** @param word of a report: a newer atomfs may know more words */
export function hindranceText(word: string): string {
  const known = Object.entries(HINDRANCES).find(([key]) => key === word);
  return (
    known?.[1] ??
    `its node says that a restart does not help, for a reason that this atomfs does not know ("${shownWord(word)}")`
  );
}
