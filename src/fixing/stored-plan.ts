import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import type { Store } from "../store/store.ts";
import { writeAtomic } from "../sys/files.ts";
import type { FixPlan } from "./plan.ts";

type StoredPlan = Omit<FixPlan, "standing"> & Partial<Pick<FixPlan, "standing">>;

function planPath(store: Store, id: string): string {
  return join(store.layout.plans, `${id}.json`);
}

/** For `readPlan`, until the journal moves on. */
export function writePlan(store: Store, plan: FixPlan): void {
  const bytes = Buffer.from(`${JSON.stringify(plan)}\n`);
  writeAtomic(planPath(store, plan.id), bytes, { mode: 0o600, temporaryDirectory: store.layout.tmp });
}

/** @throws AtomfsError "not-found" */
export function readPlan(store: Store, id: string): FixPlan {
  if (!/^[0-9a-f]{12}$/.test(id)) throw new AtomfsError("usage", `"${id}" is not a plan's id`);
  try {
    // Plans of earlier versions say nothing of rules for images to come.
    const plan = JSON.parse(readFileSync(planPath(store, id), "utf8")) as StoredPlan;
    return { ...plan, standing: plan.standing ?? [] };
  } catch (cause) {
    throw new AtomfsError("not-found", `There is no plan ${id}`, {
      cause,
      hints: ["`atomfs fix plan PACKAGE` makes one"],
    });
  }
}
