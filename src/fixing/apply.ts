import type { Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { COMPOSER_VERSION } from "../molecules/compose.ts";
import type { FixRule, Operation } from "../store/records.ts";
import { currentGeneration, namesOf, storedMolecule } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { type Evaluation, Evaluator } from "./evaluate.ts";
import { generationOf } from "./import-image.ts";
import type { FixPlan } from "./plan.ts";

/**
 * Does exactly what the plan says, in one transaction, or refuses.
 * @throws AtomfsError "stale" if the journal has moved on since, or a molecule of the plan is gone
 */
export function applyFix(store: Store, plan: FixPlan, now: Date): void {
  using _lock = store.lock();
  if (store.state.sequence !== plan.sequence) {
    throw new AtomfsError("stale", `The store has changed since plan ${plan.id} was made`, {
      hints: [`make it again: ${plan.command.replace(/ fix apply .*/, " fix plan")}`],
    });
  }
  const operations: Operation[] = [];
  const applied = plan.images.filter((image) => image.verdict === "apply");
  const kept = new Set([
    ...applied.flatMap((image) => image.fixes),
    ...plan.standing.map((each) => each.fix),
  ]);
  for (const rule of plan.rules) {
    if (kept.has(rule.id) && !store.state.fixes.has(rule.id)) operations.push({ op: "fix-added", fix: rule });
  }
  for (const planned of applied) {
    if (!store.hasMolecule(planned.molecule)) {
      throw new AtomfsError("stale", `Molecule ${planned.molecule.slice(0, 12)} of plan ${plan.id} is gone`);
    }
    const image = store.state.images.get(planned.config);
    if (image === undefined) throw new AtomfsError("stale", `Image ${planned.config.slice(0, 12)} is gone`);
    const evaluation = { image, molecule: planned.molecule, fixes: planned.fixes, changes: [], results: [] };
    operations.push(
      ...generationOf(store, evaluation, `fix ${plan.rules.map((rule) => rule.title).join(", ")}`),
    );
  }
  store.transact(plan.command, now, operations);
}

export type Reverted = { readonly rule: FixRule; readonly evaluations: readonly Evaluation[] };

/**
 * Takes a rule out of the set. Each image that had it gets the stored molecule of itself and the remaining fixes, the
 * same bytes as before; where there is none, it is composed. Rules that the reverted one stood above come to life again.
 * @throws AtomfsError "not-found"
 */
export function revertFix(store: Store, id: string, command: string, now: Date): Reverted {
  // Before the store's lock: gc takes its own and the store's in this order.
  using evaluator = new Evaluator(store);
  using _lock = store.lock();
  const rule = store.state.fixes.get(id);
  if (rule === undefined)
    throw new AtomfsError("not-found", `There is no fix ${id}`, { hints: ["`atomfs fix list`"] });
  const operations: Operation[] = [{ op: "fix-removed", id }];
  const evaluations: Evaluation[] = [];
  for (const image of store.state.images.values()) {
    const current = currentGeneration(store.state, image.config);
    if (current === undefined || !current.fixes.includes(id)) continue;
    const evaluation = withoutRule(store, evaluator, image.config, id);
    evaluations.push(evaluation);
    operations.push(...generationOf(store, evaluation, `revert ${rule.title}`));
  }
  evaluator.publish();
  store.transact(command, now, operations);
  return { rule, evaluations };
}

function withoutRule(store: Store, evaluator: Evaluator, config: Sha256, id: string): Evaluation {
  const image = store.state.images.get(config);
  if (image === undefined) throw new TypeError("An image with generations is gone");
  const remaining = [...store.state.fixes.values()].filter((rule) => rule.id !== id);
  const { evaluation } = evaluator.settle(image, namesOf(store.state, config), remaining);
  const stored = storedMolecule(store.state, config, evaluation.fixes, COMPOSER_VERSION);
  return stored !== undefined && store.hasMolecule(stored) ? { ...evaluation, molecule: stored } : evaluation;
}
