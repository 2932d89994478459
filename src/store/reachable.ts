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
};

/** What of a fix plan's file says which parts of the store it needs. */
type PlanNeeds = {
  readonly sequence: number;
  readonly rules: readonly { readonly replacements: readonly { readonly atom: Sha256 }[] }[];
  readonly images: readonly { readonly molecule: VerityDigest }[];
};

/** Plans that could still be applied, those made at the journal's newest record, by file name. */
export function validPlans(store: Store): Map<string, PlanNeeds> {
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

/** Molecules and atoms that the journal or a plan that could still be applied names. */
export function namedThings(store: Store): Pick<Reachable, "images" | "atoms" | "molecules"> {
  const { state } = store;
  const plans = [...validPlans(store).values()];
  const atoms = new Set<Sha256>([...state.images.values()].flatMap((image) => image.atoms));
  for (const rule of [...state.fixes.values(), ...plans.flatMap((plan) => plan.rules)]) {
    for (const replacement of rule.replacements) atoms.add(replacement.atom);
  }
  const molecules = new Set<VerityDigest>(
    [...state.generations.values()].flat().map((each) => each.molecule),
  );
  for (const plan of plans) for (const image of plan.images) molecules.add(image.molecule);
  return { images: new Set(state.images.keys()), atoms, molecules };
}

/** @param inUse molecules that a lease or a live mount needs, on top of what the journal names */
export function findReachable(store: Store, inUse: ReadonlySet<VerityDigest>): Reachable {
  const named = namedThings(store);
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
  return { images: named.images, atoms: named.atoms, molecules, objects };
}
