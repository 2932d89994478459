import { AtomfsError } from "../../src/core/errors.ts";

export const PARTS = {
  interrupt: "Ctrl-C while a cluster starts, and while its pods are restarted",
  story: "the story of demo:k8s",
  sets: "outdated pods of StatefulSets and DaemonSets are made anew",
  images: "images by digest, private images, and what kubelet removes",
  joined: "a node that joins after the fix",
  pods: "what pods may ask for",
  evict: "outdated pods of a ReplicaSet are evicted",
  reboot: "a node is rebooted",
  crio: "a node's CRI-O alone, without Kubernetes",
  storm: "pods come and go while kubelet, CRI-O, crio-lxc and atomfs are killed",
} as const;
export type Part = keyof typeof PARTS;

export type Options = {
  readonly parts: readonly Part[];
  /** Of the storm: how many pods come and go. */
  readonly pods: number;
  /** Of the storm: who is killed when. */
  readonly seed: number;
};

/** A slice that fits into a quarter of an hour with everything else, on a loaded machine, too. */
const DEFAULTS = { pods: 100, seed: 20261124 } as const;

/** @throws AtomfsError "usage" */
export function parseOptions(words: readonly string[]): Options {
  const parts: Part[] = [];
  const numbers: { pods: number; seed: number } = { ...DEFAULTS };
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i] ?? "";
    if (word === "--pods" || word === "--seed") {
      i += 1;
      numbers[word === "--pods" ? "pods" : "seed"] = wholeNumber(word, words[i] ?? "");
    } else if (isPart(word)) parts.push(word);
    else throw new AtomfsError("usage", `There is no part "${word}"`);
  }
  const all = Object.keys(PARTS).filter(isPart);
  return { parts: parts.length === 0 ? all : parts, ...numbers };
}

function isPart(word: string): word is Part {
  return Object.hasOwn(PARTS, word);
}

function wholeNumber(option: string, text: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) throw new AtomfsError("usage", `${option} wants a number, not "${text}"`);
  return Number(text);
}
