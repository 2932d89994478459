import { createHash } from "node:crypto";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { inScope, optOut } from "../molecules/fix-matching.ts";
import type { FixRule, ImageRecord } from "../store/records.ts";
import { currentGeneration, namesOf } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import type { CheckResult } from "./checks.ts";
import { type Evaluation, Evaluator, isBlocked } from "./evaluate.ts";
import { type FixRequest, imageOf, type PlanContext, RuleMaker } from "./fix-rules.ts";
import { packageFindings } from "./package-findings.ts";
import { writePlan } from "./stored-plan.ts";

export type PlannedChange = {
  readonly package: string;
  readonly architecture: string;
  readonly from: string;
  readonly to: string;
};

export type PlannedImage = {
  readonly config: Sha256;
  readonly names: readonly string[];
  /** "apply": gets the molecule. The others keep what they have, for the reasons given. */
  readonly verdict: "apply" | "blocked" | "held" | "not-affected";
  readonly changes: readonly PlannedChange[];
  readonly from: VerityDigest;
  readonly molecule: VerityDigest;
  /** Ids of all rules that the molecule holds, not only of the planned ones. */
  readonly fixes: readonly string[];
  readonly results: readonly CheckResult[];
  readonly reason: string;
};

export type StandingRule = {
  /** Id of the rule. */
  readonly fix: string;
  /** false: the store has it already. */
  readonly isNew: boolean;
  /** Has an image the fix, or gets it by this plan? */
  readonly isUsed: boolean;
  /** For people: which images it is for. */
  readonly note: string;
};

/** What `fix apply` will do, exactly. Valid only while the store's journal is at `sequence`. */
export type FixPlan = {
  readonly id: string;
  readonly sequence: number;
  readonly command: string;
  readonly rules: readonly FixRule[];
  readonly images: readonly PlannedImage[];
  /** Those of the rules that are kept for images to come, whether or not one here uses them. */
  readonly standing: readonly StandingRule[];
  /** What went wrong beside the fix: repositories that could not be asked. */
  readonly notes: readonly string[];
  readonly downloadedBytes: number;
  readonly timings: {
    readonly repositoriesMs: number;
    readonly downloadMs: number;
    readonly composeMs: number;
  };
};

/** Finds the images, gets the packages, composes and checks. Changes nothing that a container could see. */
export async function planFix(request: FixRequest, context: PlanContext): Promise<FixPlan> {
  const { store } = context;
  using evaluator = new Evaluator(store);
  const maker = new RuleMaker(request, context, evaluator);
  const { rules, rows } = await maker.find();
  const start = performance.now();
  context.onProgress?.("composing and checking");
  const images = [...Map.groupBy(rows, (row) => row.config)].map(([config, ofImage]) => {
    const asked = new Set(ofImage.map((row) => row.name));
    return planImage(store, evaluator, imageOf(store, config), rules, asked);
  });
  evaluator.publish();
  const timings = { ...maker.timings, composeMs: performance.now() - start };
  const body = { sequence: store.state.sequence, command: request.command, rules, images };
  const id = createHash("sha256").update(JSON.stringify(body)).digest("hex").slice(0, 12);
  const standing =
    request.release === undefined ? [] : rules.map((rule) => standingRule(store, rule, images));
  const { notes, downloadedBytes } = maker;
  const plan = { id, ...body, standing, notes, downloadedBytes, timings };
  writePlan(store, plan);
  return plan;
}

function standingRule(store: Store, { id }: FixRule, images: readonly PlannedImage[]): StandingRule {
  const isUsed = images.some(({ fixes }) => fixes.includes(id));
  const beginning = isUsed
    ? "it also"
    : `no image here ${images.length === 0 ? "has it yet" : "uses it now"}: it`;
  return {
    fix: id,
    isNew: !store.state.fixes.has(id),
    isUsed,
    note: `${beginning} applies to images that are imported later`,
  };
}

function planImage(
  store: Store,
  evaluator: Evaluator,
  image: ImageRecord,
  rules: readonly FixRule[],
  asked: ReadonlySet<string>,
): PlannedImage {
  const names = namesOf(store.state, image.config);
  const current = currentGeneration(store.state, image.config);
  const from = store.currentMolecule(image.config);
  const base = { config: image.config, names, from, changes: [], results: [], fixes: current?.fixes ?? [] };
  const keep = (verdict: "held" | "not-affected", reason: string): PlannedImage => ({
    ...base,
    verdict,
    molecule: from,
    reason,
  });
  const label = optOut(image);
  if (label !== undefined) return keep("held", `the image's label ${label} forbids it`);
  if (rules.length > 0 && rules.every((rule) => !inScope(rule.scope, names)))
    return keep("held", "excluded by the fix's scope");
  // Rules that the image did not take when they came are not tried again by a fix of something else.
  const active = [...store.state.fixes.values()].filter((rule) => current?.fixes.includes(rule.id));
  const evaluation = evaluator.evaluate(image, names, [...active, ...rules]);
  const changes = evaluation.changes
    .filter((each) => rules.some((rule) => rule.id === each.fix))
    .map(plannedChange);
  if (changes.length === 0) {
    const doubts = packageFindings(store, image, { only: packagesOf(rules, asked), rules });
    const [first] = doubts;
    if (first === undefined) return keep("not-affected", "it has this version or a newer one already");
    const results = doubts.map(({ reason }) => ({ check: "database", verdict: "block", reason }) as const);
    return { ...base, verdict: "blocked", molecule: from, results, reason: first.reason };
  }
  const { molecule, fixes, results } = evaluation;
  if (molecule === from) return keep("not-affected", "it has this fix already");
  const hold = results.find((each) => each.check === "hold");
  if (hold !== undefined) return keep("held", hold.reason);
  if (isBlocked(evaluation)) {
    const reason = results.filter((each) => each.verdict === "block").map((each) => each.reason)[0] ?? "";
    return { ...base, verdict: "blocked", changes, molecule: from, results, reason };
  }
  return { ...base, verdict: "apply", changes, molecule, fixes, results, reason: "" };
}

function packagesOf(rules: readonly FixRule[], asked: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...asked, ...rules.flatMap((rule) => rule.replacements.map((each) => each.package))]);
}

function plannedChange({ from, to }: Evaluation["changes"][number]): PlannedChange {
  return { package: to.name, architecture: to.architecture, from: from.version, to: to.version };
}
