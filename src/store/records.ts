import type { Sha256, VerityDigest } from "../core/digest.ts";

/** Implements docs/formats/journal.md: what a transaction can say. The journal is the truth; all else is made from it. */

/** One package that a fix puts in the place of older ones. */
export type Replacement = {
  /** Binary package name; with `architecture` it says which installed package is meant. */
  readonly package: string;
  readonly architecture: string;
  /** The version that the atom brings. Installed versions lower than this one are replaced. */
  readonly version: string;
  readonly atom: Sha256;
};

/** Which images a fix may touch, by their names. Part of a fix's identity. */
export type Scope = {
  /** Globs; empty means every image. */
  readonly images: readonly string[];
  readonly exclude: readonly string[];
};

export type FixRule = {
  /** First 12 hex digits of the SHA-256 of the rule without its id and note: equal rules are one rule. */
  readonly id: string;
  readonly title: string;
  readonly distribution: { readonly id: string; readonly codename: string };
  readonly architecture: string;
  readonly scope: Scope;
  readonly replacements: readonly Replacement[];
  /** Where the packages came from, for people: "Debian bookworm-security". */
  readonly provenance: string;
};

/** An image as it was imported. `config` names it: the engines' image id. */
export type ImageRecord = {
  readonly config: Sha256;
  readonly manifest: Sha256;
  /** In order: layer atoms first, then packages by name. */
  readonly atoms: readonly Sha256[];
  readonly distribution: { readonly id: string; readonly codename: string; readonly version: string };
  readonly architecture: string;
  /** "oci:/srv/images:web" or the like. */
  readonly source: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The image config's Env: the loader listens to some of it. */
  readonly env: readonly string[];
};

export type Generation = {
  readonly config: Sha256;
  readonly number: number;
  readonly molecule: VerityDigest;
  /** Ids of the fixes that the molecule holds, ascending. */
  readonly fixes: readonly string[];
  readonly composer: number;
  readonly reason: string;
};

export type Operation =
  | { readonly op: "image-added"; readonly image: ImageRecord }
  | { readonly op: "image-removed"; readonly config: Sha256 }
  | { readonly op: "name-set"; readonly name: string; readonly config: Sha256 }
  | { readonly op: "name-removed"; readonly name: string }
  | { readonly op: "fix-added"; readonly fix: FixRule }
  | { readonly op: "fix-removed"; readonly id: string }
  | { readonly op: "generation"; readonly generation: Generation };

export type JournalRecord = {
  /** 1, 2, 3 ... without gaps. */
  readonly sequence: number;
  /** SHA-256 of the record before, "" for the first. */
  readonly previous: string;
  /** ISO 8601, UTC. */
  readonly time: string;
  /** The command that did it, for people. */
  readonly command: string;
  readonly operations: readonly Operation[];
};
