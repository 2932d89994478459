import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import type { Inode } from "../core/tree.ts";
import { objectsOf } from "../formats/erofs/reader.ts";
import { readFileBounded } from "../sys/files.ts";
import type { Store } from "./store.ts";

const MOLECULE_MAX_BYTES = 1 << 30;

/** Everything in the store that something needs. */
export type Reachable = {
  readonly images: ReadonlySet<Sha256>;
  readonly atoms: ReadonlySet<Sha256>;
  readonly molecules: ReadonlySet<VerityDigest>;
  readonly objects: ReadonlySet<VerityDigest>;
};

type ValidPlan = {
  readonly rules: readonly { replacements: readonly { atom: Sha256 }[] }[];
  readonly images: readonly { molecule: VerityDigest }[];
};

/** Plans that could still be applied: those made at the journal's newest record. */
function validPlans(store: Store): ValidPlan[] {
  return readdirSync(store.layout.plans)
    .filter((name) => name.endsWith(".json"))
    .map(
      (name) =>
        JSON.parse(readFileSync(join(store.layout.plans, name), "utf8")) as ValidPlan & { sequence: number },
    )
    .filter((plan) => plan.sequence === store.state.sequence);
}

/** Molecules and atoms that the journal or a plan that could still be applied names. */
export function namedThings(store: Store): Pick<Reachable, "images" | "atoms" | "molecules"> {
  const { state } = store;
  const plans = validPlans(store);
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
