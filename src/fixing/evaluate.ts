import { debIdentity, packageKey } from "../atoms/dpkg-database.ts";
import { joinAtoms } from "../atoms/join.ts";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import type { ContentSink, ReadObject, Tree } from "../core/tree.ts";
import { verityDigest } from "../core/verity.ts";
import type { Atom, DebIdentity } from "../formats/atom/atom.ts";
import { writeErofs } from "../formats/erofs/writer.ts";
import { COMPOSER_VERSION, compose } from "../molecules/compose.ts";
import { matchFixes } from "../molecules/fix-matching.ts";
import type { ObjectStaging } from "../store/objects.ts";
import type { FixRule, ImageRecord } from "../store/records.ts";
import { storedMolecule } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { type CheckResult, runChecks } from "./checks.ts";
import { ElfIndex } from "./elf-index.ts";

/** What an image becomes under a set of rules. */
export type Evaluation = {
  readonly image: ImageRecord;
  readonly molecule: VerityDigest;
  /** Ids of the rules that the molecule holds, ascending. */
  readonly fixes: readonly string[];
  /** Packages that differ from the image: what they were, what they are. */
  readonly changes: readonly { readonly from: DebIdentity; readonly to: DebIdentity; readonly fix: string }[];
  readonly results: readonly CheckResult[];
};

/** Reads atoms and ELF files once for many images; a fix touches all of them. */
export class Evaluator implements Disposable {
  readonly #store: Store;
  readonly #staging: ObjectStaging;
  readonly #elves: ElfIndex;
  readonly #atoms = new Map<Sha256, Atom>();
  readonly #molecules = new Map<VerityDigest, Uint8Array>();
  readonly #readObject: ReadObject;

  constructor(store: Store) {
    this.#store = store;
    this.#staging = store.beginObjects();
    this.#readObject = (digest) => this.#staging.read(digest);
    this.#elves = new ElfIndex(store.catalog, this.#readObject);
  }

  /** Objects, then molecules of what was evaluated become durable; only then may the journal name them. */
  publish(): void {
    this.#staging.publish();
    for (const erofs of this.#molecules.values()) this.#store.putMolecule(erofs);
    this.#molecules.clear();
  }

  /** Takes a package file's atom into the store. @returns its id */
  async addDeb(read: (sink: ContentSink) => Promise<Atom>): Promise<Sha256> {
    const atom = await read(this.#staging);
    // The atom names objects, so they become durable before it.
    this.#staging.publish();
    const id = this.#store.putAtom(atom);
    this.#atoms.set(id, atom);
    return id;
  }

  /**
   * Composes and checks the image under the rules. Nothing is decided here: the caller says whether the molecule
   * becomes the image's current one.
   */
  evaluate(image: ImageRecord, names: readonly string[], rules: Iterable<FixRule>): Evaluation {
    const packages = this.#store.catalog.packagesOfImage(image.config);
    const { fixes, replacements } = matchFixes(rules, image, names, packages);
    const atoms = image.atoms.map((id) => this.#atom(id));
    if (replacements.length === 0)
      return { image, molecule: this.#unfixed(image, atoms), fixes, changes: [], results: [] };
    const debs = replacements.map((each) => this.#atom(each.atom));
    const context = {
      readObject: this.#readObject,
      putBytes: (bytes: Uint8Array) => this.#staging.putBytes(bytes),
      elfOf: this.#elves.elfOf,
    };
    const composition = compose(atoms, debs, context);
    const { database } = composition;
    if (database === undefined) throw new TypeError("compose() accepted an image without a package database");
    const results = runChecks({
      composition,
      database,
      replacements: debs,
      architecture: image.architecture,
      env: image.env,
      elves: this.#elves,
      readObject: this.#readObject,
    });
    const changes = replacements.flatMap((each, index) => {
      const to = debs[index]?.origin;
      const old = database.installed.get(packageKey({ name: each.package, architecture: each.architecture }));
      if (to?.kind !== "deb" || old === undefined) return [];
      return [{ from: debIdentity(old.record), to: to.package, fix: each.fix }];
    });
    return {
      image,
      molecule: this.#store.putMolecule(writeErofs(composition.tree)),
      fixes,
      changes,
      results,
    };
  }

  /** The stored molecule of the image alone, or a new one for an image that has none yet. */
  #unfixed(image: ImageRecord, atoms: readonly Atom[]): VerityDigest {
    const stored = storedMolecule(this.#store.state, image.config, [], COMPOSER_VERSION);
    if (stored !== undefined && this.#store.hasMolecule(stored)) return stored;
    return this.#hold(joinAtoms(atoms));
  }

  #hold(tree: Tree): VerityDigest {
    const erofs = writeErofs(tree);
    const digest = verityDigest(erofs);
    this.#molecules.set(digest, erofs);
    return digest;
  }

  #atom(id: Sha256): Atom {
    const known = this.#atoms.get(id);
    if (known !== undefined) return known;
    const atom = this.#store.readAtom(id);
    this.#atoms.set(id, atom);
    return atom;
  }

  /**
   * The largest part of the rules, taken in the order of their ids, that no check blocks: what an image gets that
   * arrives after the rules. A rule that doesn't fit leaves the image without it, with the reason as a finding.
   */
  settle(image: ImageRecord, names: readonly string[], rules: readonly FixRule[]): Settled {
    const all = this.evaluate(image, names, rules);
    if (!isBlocked(all)) return { evaluation: all, refused: [] };
    const kept: FixRule[] = [];
    const refused: { fix: string; results: readonly CheckResult[] }[] = [];
    let evaluation = this.evaluate(image, names, []);
    for (const rule of [...rules].sort((a, b) => (a.id < b.id ? -1 : 1))) {
      const tried = this.evaluate(image, names, [...kept, rule]);
      if (isBlocked(tried)) refused.push({ fix: rule.id, results: tried.results });
      else {
        kept.push(rule);
        evaluation = tried;
      }
    }
    return { evaluation, refused };
  }

  [Symbol.dispose](): void {
    this.#staging[Symbol.dispose]();
  }
}

export type Settled = {
  readonly evaluation: Evaluation;
  readonly refused: readonly { readonly fix: string; readonly results: readonly CheckResult[] }[];
};

export function isBlocked(evaluation: Evaluation): boolean {
  return evaluation.results.some((result) => result.verdict === "block");
}
