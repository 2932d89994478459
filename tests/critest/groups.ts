import type { Spec } from "./report.ts";

/** critest's specs in parts, so that a long run can be interrupted between them and resumed. */
export type Group = {
  readonly name: string;
  /** A regular expression for the specs' whole names, as ginkgo takes it. */
  readonly focus: string;
  /** Is it in the slice that every change is checked with? What a runtime decides, and no other test of ours asks. */
  readonly slice: boolean;
};

const group = (name: string, focus: string, slice = false): Group => ({ name, focus, slice });

export const GROUPS: readonly Group[] = [
  group("apparmor", "AppArmor runtime", true),
  group("mounts", "Container Mount (Propagation|Readonly)", true),
  group("user-namespaces", "Security Context UserNamespaces", true),
  group("seccomp", "Security Context SeccompProfilePath", true),
  group("oom", "Container OOM", true),
  group("no-new-privileges", "Security Context NoNewPrivs", true),
  group("groups", "Security Context SupplementalGroupsPolicy"),
  group("namespaces", "Security Context NamespaceOption"),
  group("streaming", "Streaming runtime"),
  group("volumes-and-log", "Container runtime should support (log|adding volume)"),
  group("sandboxes", "PodSandbox runtime"),
  group("containers", "Container runtime should support basic operations"),
  group("idempotence", "Idempotence"),
  group("images", "Image (Manager|Consistency|Identifier)"),
  group("multiple", "Multiple Containers"),
  group("networking", "Networking runtime"),
  group("info", "Runtime info"),
  group("security-context", "Security Context bucket"),
];

/** They measure, and are left out as cri-tools' own CI does. */
export function isBenchmark(spec: Spec): boolean {
  return spec.name.includes("benchmark");
}

/** Specs that no group has run: with all groups done there must be none. */
export function forgottenSpecs(specs: readonly Spec[]): string[] {
  return specs.filter((spec) => isLeftOut(spec) && !isBenchmark(spec)).map(({ name }) => name);
}

/** By the focus, not by itself. */
export function isLeftOut({ state, message }: Spec): boolean {
  return state === "skipped" && message === "";
}

/** One report of all groups' reports: each spec as the group saw it that ran it. */
export function mergeSpecs(reports: readonly (readonly Spec[])[]): Spec[] {
  const merged = new Map<string, Spec>();
  for (const spec of reports.flat()) {
    const known = merged.get(spec.name);
    if (known === undefined || isLeftOut(known)) merged.set(spec.name, spec);
  }
  return [...merged.values()];
}
