import { readFileSync } from "node:fs";
import type { MountCapabilities } from "../../src/mounts/spec.ts";

type KernelCapabilities = Omit<MountCapabilities, "verity">;

const ALL = { singleColon: true, secondLevel: true } as const;

/**
 * What kernels can, written down by hand after trying it: the probe is compared with it, and tests that a kernel cannot run
 * are skipped by it, so that a probe that finds too little does not hide them.
 */
const KNOWN: readonly (readonly [release: RegExp, capabilities: KernelCapabilities])[] = [
  [/^6\.1\./, { ...ALL, erofs: "loop", layers: "path", dataOnly: "none" }],
  [/^6\.12\./, { ...ALL, erofs: "file", layers: "path", dataOnly: "metacopy" }],
  [/^6\.18\./, { ...ALL, erofs: "file", layers: "fd", dataOnly: "plain" }],
];

export const KERNEL: string = readFileSync("/proc/sys/kernel/osrelease", "latin1").trim();

/** undefined on a kernel that nobody has tried. */
export function knownCapabilities(): KernelCapabilities | undefined {
  return KNOWN.find(([release]) => release.test(KERNEL))?.[1];
}

/** Why a kernel cannot mount as these capabilities say; undefined if it can. */
export function whyNot(wanted: MountCapabilities, kernel: KernelCapabilities): string | undefined {
  const { erofs, layers, dataOnly } = wanted;
  if (layers === "fd" && kernel.layers !== "fd") return `Linux ${KERNEL} has no overlay of descriptors`;
  if (erofs === "none") return undefined;
  if (erofs === "file" && kernel.erofs !== "file") return `Linux ${KERNEL} has no EROFS of files`;
  if (dataOnly === "plain" && kernel.dataOnly !== "plain")
    return `Linux ${KERNEL} has no data-only layers without metacopy`;
  if (dataOnly === "metacopy" && kernel.dataOnly === "none") return `Linux ${KERNEL} has no data-only layers`;
  return undefined;
}
