import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import type { Inode } from "../core/tree.ts";
import { objectsOf } from "../formats/erofs/reader.ts";
import { readFileBounded } from "../sys/files.ts";
import { MOLECULE_MAX_BYTES } from "./molecule-file.ts";
import type { Store } from "./store.ts";

const PLAN_MAX_BYTES = 256 * 1024 * 1024;

/** Everything in the store that something needs. */
export type Reachable = {
  readonly images: ReadonlySet<Sha256>;
  readonly atoms: ReadonlySet<Sha256>;
  readonly molecules: ReadonlySet<VerityDigest>;
  readonly objects: ReadonlySet<VerityDigest>;
  /** Names of files. */
  readonly plans: ReadonlySet<string>;
};

/** What of a fix plan's file says which parts of the store it needs. */
type PlanNeeds = {
  readonly sequence: number;
  readonly rules: readonly { readonly replacements: readonly { readonly atom: Sha256 }[] }[];
  readonly images: readonly { readonly molecule: VerityDigest }[];
};

/** Plans that could still be applied, those made at the journal's newest record, by file name. */
function validPlans(store: Store): Map<string, PlanNeeds> {
  const valid = new Map<string, PlanNeeds>();
  for (const name of readdirSync(store.layout.plans)) {
    const plan = readPlan(join(store.layout.plans, name));
    if (plan?.sequence === store.state.sequence) valid.set(name, plan);
  }
  return valid;
}

/** undefined for what is no plan. */
function readPlan(path: string): PlanNeeds | undefined {
  try {
    const plan = JSON.parse(
      readFileBounded(path, PLAN_MAX_BYTES).toString("utf8"),
    ) as Partial<PlanNeeds> | null;
    const { sequence, rules, images } = plan ?? {};
    if (sequence === undefined || !Array.isArray(rules) || !Array.isArray(images)) return undefined;
    return rules.every((rule) => Array.isArray(rule?.replacements)) ? { sequence, rules, images } : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof AtomfsError) return undefined;
    throw error;
  }
}

const NONE: ReadonlySet<Sha256> = new Set();

/**
 * Molecules and atoms that the journal or a plan that could still be applied names.
 * @param without images that count as removed; then no plan could be applied any more
 */
export function namedThings(store: Store, without: ReadonlySet<Sha256> = NONE): Omit<Reachable, "objects"> {
  const { state } = store;
  const valid = without.size > 0 ? new Map<string, PlanNeeds>() : validPlans(store);
  const plans = [...valid.values()];
  const images = [...state.images.values()].filter((image) => !without.has(image.config));
  const atoms = new Set<Sha256>(images.flatMap((image) => image.atoms));
  for (const rule of [...state.fixes.values(), ...plans.flatMap((plan) => plan.rules)]) {
    for (const replacement of rule.replacements) atoms.add(replacement.atom);
  }
  const generations = images.flatMap((image) => state.generations.get(image.config) ?? []);
  const molecules = new Set<VerityDigest>(generations.map((each) => each.molecule));
  for (const plan of plans) for (const image of plan.images) molecules.add(image.molecule);
  return {
    images: new Set(images.map((image) => image.config)),
    atoms,
    molecules,
    plans: new Set(valid.keys()),
  };
}

/**
 * @param inUse molecules that a lease or a live mount needs, on top of what the journal names
 * @param without images that count as removed
 */
export function findReachable(
  store: Store,
  inUse: ReadonlySet<VerityDigest>,
  without: ReadonlySet<Sha256> = NONE,
): Reachable {
  const named = namedThings(store, without);
  const molecules = new Set([...named.molecules, ...[...inUse].filter((each) => store.hasMolecule(each))]);
  const objects = new Set<VerityDigest>();
  const note = (inode: Inode): void => {
    if (inode.type === "file" && inode.content.kind === "object") objects.add(inode.content.digest);
  };
  for (const id of named.atoms) {
    const atom = store.readAtom(id);
    for (const { inode } of [...atom.entries, ...atom.control]) note(inode);
  }
  for (const molecule of molecules) {
    for (const digest of objectsOf(readFileBounded(store.layout.molecule(molecule), MOLECULE_MAX_BYTES)))
      objects.add(digest);
  }
  return { ...named, molecules, objects };
}
