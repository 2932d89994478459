import { createHash } from "node:crypto";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { inScope, isNewer, optOut } from "../molecules/fix-matching.ts";
import type { PackageRow } from "../store/catalog.ts";
import type { FixRule, ImageRecord, Scope } from "../store/records.ts";
import { currentGeneration, namesOf } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import type { CheckResult } from "./checks.ts";
import { readDebAtom } from "./deb-atom.ts";
import { type Evaluation, Evaluator, isBlocked } from "./evaluate.ts";
import { packageFindings } from "./package-findings.ts";
import type { Candidate, Repositories } from "./repository.ts";
import { makeRule } from "./rule.ts";
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

/** What `fix apply` will do, exactly. Valid only while the store's journal is at `sequence`. */
export type FixPlan = {
  readonly id: string;
  readonly sequence: number;
  readonly command: string;
  readonly rules: readonly FixRule[];
  readonly images: readonly PlannedImage[];
  /** What went wrong beside the fix: repositories that could not be asked. */
  readonly notes: readonly string[];
  readonly downloadedBytes: number;
  readonly timings: {
    readonly repositoriesMs: number;
    readonly downloadMs: number;
    readonly composeMs: number;
  };
};

export type FixRequest = {
  readonly package: string;
  /** undefined: the newest that the repositories have. */
  readonly version?: string;
  readonly scope: Scope;
  readonly command: string;
};

export type PlanContext = {
  readonly store: Store;
  readonly openRepositories: (codename: string, architecture: string) => Promise<Repositories>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string) => void;
};

/** Finds the images, gets the packages, composes and checks. Changes nothing that a container could see. */
export async function planFix(request: FixRequest, context: PlanContext): Promise<FixPlan> {
  const { store } = context;
  const rows = affectedRows(store, request.package);
  const timings = { repositoriesMs: 0, downloadMs: 0, composeMs: 0 };
  const totals = { bytes: 0, notes: [] as string[] };
  const rules: FixRule[] = [];
  using evaluator = new Evaluator(store);
  for (const group of groupByRelease(store, rows)) {
    const rule = await ruleFor(group, request, context, evaluator, timings, totals);
    if (rule !== undefined) rules.push(rule);
  }
  const start = performance.now();
  context.onProgress?.("composing and checking");
  const images = [...Map.groupBy(rows, (row) => row.config)].map(([config, ofImage]) => {
    const asked = new Set(ofImage.map((row) => row.name));
    return planImage(store, evaluator, imageOf(store, config), rules, asked);
  });
  evaluator.publish();
  timings.composeMs = performance.now() - start;
  const body = { sequence: store.state.sequence, command: request.command, rules, images };
  const id = createHash("sha256").update(JSON.stringify(body)).digest("hex").slice(0, 12);
  const plan = { id, ...body, notes: totals.notes, downloadedBytes: totals.bytes, timings };
  writePlan(store, plan);
  return plan;
}

function affectedRows(store: Store, name: string): PackageRow[] {
  const named = store.catalog.packagesNamed(name);
  const rows = named.length > 0 ? named : store.catalog.packagesOfSource(name);
  if (rows.length === 0) {
    throw new AtomfsError("not-found", `No image in the store has a package "${name}"`, {
      hints: ["`atomfs images` lists the images, `atomfs inspect IMAGE` their packages"],
    });
  }
  return rows;
}

function imageOf(store: Store, config: Sha256): ImageRecord {
  const image = store.state.images.get(config);
  if (image === undefined)
    throw new AtomfsError("bad-data", "The catalog is out of date", {
      hints: ["run `atomfs fsck --rebuild-catalog`"],
    });
  return image;
}

/** Images of one distribution release and architecture: one set of packages fits all of them. */
type ReleaseGroup = {
  readonly distribution: ImageRecord["distribution"];
  readonly architecture: string;
  readonly sources: ReadonlySet<string>;
  /** Every installed package of these sources, in any image of the group. */
  readonly installed: readonly PackageRow[];
};

function groupByRelease(store: Store, rows: readonly PackageRow[]): ReleaseGroup[] {
  const groups = new Map<string, { image: ImageRecord; rows: PackageRow[] }>();
  for (const row of rows) {
    const image = imageOf(store, row.config);
    const key = `${image.distribution.id} ${image.distribution.codename} ${image.architecture}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { image, rows: [row] });
    else group.rows.push(row);
  }
  return [...groups.values()].map(({ image, rows: members }) => {
    const sources = new Set(members.map((row) => row.source));
    const configs = new Set(members.map((row) => row.config));
    const installed = [...sources]
      .flatMap((source) => store.catalog.packagesOfSource(source))
      .filter((row) => configs.has(row.config));
    return { distribution: image.distribution, architecture: image.architecture, sources, installed };
  });
}

/** The rule that brings a group to the wanted version; undefined if nothing in it is older. */
async function ruleFor(
  group: ReleaseGroup,
  request: FixRequest,
  context: PlanContext,
  evaluator: Evaluator,
  timings: { repositoriesMs: number; downloadMs: number },
  totals: { bytes: number; notes: string[] },
): Promise<FixRule | undefined> {
  const { distribution, architecture } = group;
  if (distribution.id !== "debian" || distribution.codename === "") {
    throw new AtomfsError(
      "unsupported",
      `Cannot fix images of "${distribution.id} ${distribution.codename}": only Debian releases`,
    );
  }
  let start = performance.now();
  context.onProgress?.(`checking the repositories of ${distribution.codename}`);
  const repositories = await context.openRepositories(distribution.codename, architecture);
  totals.notes.push(...repositories.notes);
  const candidates = chooseCandidates(group, request, repositories);
  timings.repositoriesMs += performance.now() - start;
  if (candidates.length === 0) return undefined;
  start = performance.now();
  const replacements: FixRule["replacements"][number][] = [];
  for (const candidate of candidates) {
    context.onProgress?.(`fetching ${candidate.package} ${candidate.version}`);
    const path = await repositories.fetch(candidate);
    totals.bytes += candidate.size;
    const atom = await evaluator.addDeb((sink) => readDebAtom(path, sink, context.signal));
    const identity = {
      package: candidate.package,
      architecture: candidate.architecture,
      version: candidate.version,
    };
    replacements.push({ ...identity, atom });
  }
  timings.downloadMs += performance.now() - start;
  const provenance = [...new Set(candidates.map((each) => each.origin))].join(", ");
  const title = `${request.package} ${candidates.find((each) => each.package === request.package)?.version ?? candidates[0]?.version}`;
  const { id, codename } = distribution;
  return makeRule({
    title,
    distribution: { id, codename },
    architecture,
    scope: request.scope,
    replacements,
    provenance,
  });
}

/**
 * One candidate for every installed binary package of the sources, all of the same source version: binaries of one
 * source are made for each other. Those that no image has in an older version are left out.
 */
function chooseCandidates(group: ReleaseGroup, request: FixRequest, repositories: Repositories): Candidate[] {
  const names = [...new Set(group.installed.map((row) => row.name))];
  const available = repositories.candidates(names);
  const lead = group.installed.some((row) => row.name === request.package)
    ? request.package
    : (group.installed[0]?.name ?? request.package);
  const architectures = new Set(group.installed.map((row) => row.architecture));
  const offered = (available.get(lead) ?? []).filter((each) => architectures.has(each.architecture));
  const chosen =
    request.version === undefined ? offered[0] : offered.find((each) => each.version === request.version);
  if (chosen === undefined) throw noCandidate(group, request, offered);
  return names.flatMap((name) => {
    const sibling = (available.get(name) ?? []).find(
      (each) =>
        each.source.name === chosen.source.name &&
        each.source.version === chosen.source.version &&
        architectures.has(each.architecture),
    );
    if (sibling === undefined) return [];
    const isOlderSomewhere = group.installed.some(
      (row) => row.name === name && isNewer(sibling.version, row.version),
    );
    return isOlderSomewhere ? [sibling] : [];
  });
}

function noCandidate(group: ReleaseGroup, request: FixRequest, offered: readonly Candidate[]): AtomfsError {
  const release = `${group.distribution.codename} ${group.architecture}`;
  const wanted = request.version === undefined ? request.package : `${request.package}=${request.version}`;
  const versions = offered.map((each) => each.version).join(", ");
  return new AtomfsError("not-found", `The repositories of ${release} do not have ${wanted}`, {
    hints:
      versions === ""
        ? ["do this machine's apt sources have the security suite?"]
        : [`they have ${versions}`],
  });
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
