import { AtomfsError } from "../../src/core/errors.ts";

/* What ginkgo's JSON report says, and what two of them say of each other. */

export type SpecState = "passed" | "failed" | "skipped";

export type Spec = {
  readonly name: string;
  readonly state: SpecState;
  readonly seconds: number;
  /** Why it failed or was skipped; "" for one that a focus leaves out. */
  readonly message: string;
};

type GinkgoSpec = {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeText: string;
  readonly LeafNodeType: string;
  readonly State: string;
  readonly RunTime: number;
  readonly Failure?: { readonly Message: string };
};

/** @throws AtomfsError "bad-data" for what is no report of ginkgo 2 */
export function parseReport(text: string): Spec[] {
  const suites: unknown = JSON.parse(text);
  const [suite] = Array.isArray(suites) ? (suites as readonly { readonly SpecReports?: unknown }[]) : [];
  if (!Array.isArray(suite?.SpecReports)) throw new AtomfsError("bad-data", "This is no report of ginkgo");
  return (suite.SpecReports as readonly GinkgoSpec[])
    .filter(({ LeafNodeType }) => LeafNodeType === "It")
    .map((spec) => ({
      name: [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText]
        .map((part) => part.replace("[k8s.io] ", ""))
        .join(" / "),
      state: stateOf(spec.State),
      seconds: spec.RunTime / 1e9,
      message: (spec.Failure?.Message ?? "").replace(/\s+/g, " ").trim(),
    }));
}

/** Whatever is neither passed nor left out has failed: ginkgo also has "panicked", "timedout", "aborted"... */
function stateOf(state: string): SpecState {
  if (state === "passed") return "passed";
  return state === "skipped" || state === "pending" ? "skipped" : "failed";
}

/** By the focus, not by itself. */
export function isLeftOut({ state, message }: Spec): boolean {
  return state === "skipped" && message === "";
}

export type SpecComparison = {
  /** That crio-lxc passes, and runc too as far as it was asked. */
  readonly passed: readonly string[];
  /** That runc passes, or was not asked, and crio-lxc does not pass: one sentence each. */
  readonly failed: readonly string[];
  /** That neither passes, with what runc's run said. */
  readonly skipped: readonly string[];
  /** That crio-lxc passes and runc does not. */
  readonly better: readonly string[];
};

/** What runc passes, crio-lxc must pass: a spec that it skips or does not have is not passed. @param runc undefined: all of them */
export function compareSpecs(runc: readonly Spec[] | undefined, ours: readonly Spec[]): SpecComparison {
  const mine = new Map(ours.map((spec) => [spec.name, spec]));
  const control = runc ?? ours.map((spec): Spec => ({ ...spec, state: "passed" }));
  const passed: string[] = [];
  const failed: string[] = [];
  const skipped: string[] = [];
  const better: string[] = [];
  for (const { name, state, message } of control) {
    const own = mine.get(name);
    if (state === "passed" && own?.state !== "passed")
      failed.push(`${name}: ${own?.state ?? "absent"}: ${own?.message ?? ""}`);
    else if (state === "passed") passed.push(name);
    else if (own?.state === "passed") better.push(name);
    else skipped.push(`${name} [runc: ${state}: ${message}]`);
  }
  return { passed: [...passed, ...better], failed, skipped, better };
}
