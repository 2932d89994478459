import type { EventReason, Observation } from "../engines/kubernetes/events.ts";
import { hindranceText } from "../engines/kubernetes/hindrances.ts";
import { currentGeneration, type State } from "../store/state.ts";
import type { Row } from "./container-rows.ts";
import { shortId } from "./output.ts";

/** What events are to tell of the running containers of pods: sentences that stay the same as long as things do. */
export function observe(state: State, rows: readonly Row[]): Observation[] {
  return rows.flatMap((row): Observation[] => {
    const { kubernetesPod: pod, name } = row;
    if (pod === undefined || row.state !== "running") return [];
    const container = name.split("/").at(-1) ?? name;
    return problemsOf(state, row).map(([reason, text]) => ({
      pod,
      container,
      reason,
      message: `Container ${container}: ${text}`,
    }));
  });
}

function problemsOf(state: State, row: Row): readonly (readonly [EventReason, string])[] {
  const { root, molecule, imageId, findings, atCreate, hindrance } = row;
  const found: (readonly [EventReason, string])[] = [];
  const current = imageId === undefined ? undefined : currentGeneration(state, imageId);
  const cure =
    hindrance === undefined
      ? "restart its owner: atomfs restart --outdated --cluster"
      : `a restart does not help: ${hindranceText(hindrance)}`;
  if (root === "outdated" && current !== undefined) {
    const runs = molecule === undefined ? "another molecule" : `molecule ${shortId(molecule)}`;
    const fixes = current.fixes.map((id) => state.fixes.get(id)?.title ?? id);
    const lacks = fixes.length === 0 ? "" : ` (${fixes.join(", ")})`;
    found.push([
      "AtomfsOutdated",
      `runs on ${runs}, its image is at molecule ${shortId(current.molecule)}${lacks}; ${cure}`,
    ]);
  }
  // What helps comes first: long messages are cut.
  if (root === "shadowed")
    found.push([
      "AtomfsShadowed",
      `has own copies of files that a fix replaces; ${cure}: ${findings.join("; ")}`,
    ]);
  if (root === "unknown")
    found.push(["AtomfsUnverified", `which molecule it runs on could not be told; ${cure}`]);
  if (atCreate?.why === "error")
    found.push([
      "AtomfsFailedAtCreate",
      `AtomFS failed when it was created, so it runs on the engine's root, without fixes: ${atCreate.error ?? "no reason is known"}`,
    ]);
  return found;
}
