import type { Sha256, VerityDigest } from "../core/digest.ts";
import { AtomfsError, assertNever } from "../core/errors.ts";
import { normalizeImageName } from "../formats/oci/reference.ts";
import type { FixRule, Generation, ImageRecord, JournalRecord, Operation } from "./records.ts";

/** What all records of the journal together say. */
export type State = {
  /** Number of the newest record; 0 for an empty store. A fix plan is only valid for the sequence it was made at. */
  readonly sequence: number;
  readonly images: ReadonlyMap<Sha256, ImageRecord>;
  readonly names: ReadonlyMap<string, Sha256>;
  readonly fixes: ReadonlyMap<string, FixRule & { readonly addedAt: string }>;
  /** Ascending by number; the last is the current one. */
  readonly generations: ReadonlyMap<Sha256, readonly (Generation & { readonly time: string })[]>;
  readonly fixesGeneration: FixesGeneration;
};

/** The numbered history of the set of fixes: how many transactions changed it, and when the last one did. */
export type FixesGeneration = {
  readonly number: number;
  /** ISO 8601, UTC; undefined if there never was a fix. */
  readonly changedAt: string | undefined;
};

export const EMPTY_STATE: State = {
  sequence: 0,
  images: new Map(),
  names: new Map(),
  fixes: new Map(),
  generations: new Map(),
  fixesGeneration: { number: 0, changedAt: undefined },
};

type MutableState = {
  images: Map<Sha256, ImageRecord>;
  names: Map<string, Sha256>;
  fixes: Map<string, FixRule & { readonly addedAt: string }>;
  generations: Map<Sha256, readonly (Generation & { readonly time: string })[]>;
};

/** Each operation must fit the state: one that doesn't would be read in two ways by two readers. */
function applyOperation(state: MutableState, operation: Operation, time: string): void {
  switch (operation.op) {
    case "image-added":
      require(!state.images.has(operation.image.config), `image ${operation.image.config} is there already`);
      state.images.set(operation.image.config, operation.image);
      return;
    case "image-removed":
      require(state.images.delete(operation.config), `there is no image ${operation.config}`);
      state.generations.delete(operation.config);
      for (const [name, config] of state.names) if (config === operation.config) state.names.delete(name);
      return;
    case "name-set":
      require(state.images.has(operation.config), `there is no image ${operation.config}`);
      state.names.set(operation.name, operation.config);
      return;
    case "name-removed":
      require(state.names.delete(operation.name), `there is no name ${operation.name}`);
      return;
    case "fix-added":
      require(!state.fixes.has(operation.fix.id), `fix ${operation.fix.id} is there already`);
      state.fixes.set(operation.fix.id, { ...operation.fix, addedAt: time });
      return;
    case "fix-removed":
      require(state.fixes.delete(operation.id), `there is no fix ${operation.id}`);
      return;
    case "generation": {
      const { generation } = operation;
      require(state.images.has(generation.config), `there is no image ${generation.config}`);
      const earlier = state.generations.get(generation.config) ?? [];
      const next = (earlier.at(-1)?.number ?? 0) + 1;
      require(generation.number === next, `generation ${generation.number} comes where ${next} should`);
      state.generations.set(generation.config, [...earlier, { ...generation, time }]);
      return;
    }
    default:
      assertNever(operation);
  }
}

function require(condition: boolean, otherwise: string): void {
  if (!condition) throw new AtomfsError("bad-data", otherwise);
}

/**
 * The state after one more record, all of it or nothing.
 * @throws AtomfsError "bad-data" if the record isn't the next one or an operation does not fit the state
 */
export function applyRecord(state: State, record: JournalRecord): State {
  if (record.sequence !== state.sequence + 1) {
    throw new AtomfsError("bad-data", `Journal record ${record.sequence} follows ${state.sequence}`, {
      hints: ["a record is missing: restore the journal folder from a backup"],
    });
  }
  const next: MutableState = {
    images: new Map(state.images),
    names: new Map(state.names),
    fixes: new Map(state.fixes),
    generations: new Map(state.generations),
  };
  try {
    for (const operation of record.operations) applyOperation(next, operation, record.time);
  } catch (error) {
    if (!(error instanceof AtomfsError)) throw error;
    throw new AtomfsError("bad-data", `Journal record ${record.sequence} does not fit: ${error.message}`, {
      cause: error,
      hints: ["restore the store's journal folder from a backup; nothing was changed"],
    });
  }
  const changesFixes = record.operations.some(({ op }) => op === "fix-added" || op === "fix-removed");
  const { fixesGeneration: before } = state;
  const fixesGeneration = changesFixes ? { number: before.number + 1, changedAt: record.time } : before;
  return { sequence: record.sequence, ...next, fixesGeneration };
}

export function replay(records: readonly JournalRecord[]): State {
  return records.reduce(applyRecord, EMPTY_STATE);
}

export function currentGeneration(
  state: State,
  config: Sha256,
): (Generation & { readonly time: string }) | undefined {
  return state.generations.get(config)?.at(-1);
}

/** All names of an image, ascending. */
export function namesOf(state: State, config: Sha256): string[] {
  return [...state.names]
    .filter(([, id]) => id === config)
    .map(([name]) => name)
    .sort();
}

/**
 * The newest stored molecule of (image, this set of fixes) that this composer version made, if there is one.
 * It makes a revert exact: the digest of before, not a recomposed one that has to be equal.
 */
export function storedMolecule(
  state: State,
  config: Sha256,
  fixes: readonly string[],
  composer: number,
): VerityDigest | undefined {
  const wanted = fixes.join(",");
  return state.generations
    .get(config)
    ?.findLast((generation) => generation.composer === composer && generation.fixes.join(",") === wanted)
    ?.molecule;
}

/**
 * An image by a name ("web", "localhost/web:latest"), by its id or a prefix of the id (12 digits or more).
 * @throws AtomfsError "not-found", also for a prefix that several images share
 */
export function findImage(state: State, reference: string): ImageRecord {
  const name = findName(state, reference);
  const config =
    name !== undefined ? state.names.get(name) : matchId(state, reference.replace(/^sha256:/, ""));
  const image = config === undefined ? undefined : state.images.get(config);
  if (image === undefined) {
    throw new AtomfsError("not-found", `No image "${reference}" in the store`, {
      hints: ["`atomfs images` lists them"],
    });
  }
  return image;
}

/** The full name that a reference is; undefined if it is an id, or no image has it. */
export function findName(state: State, reference: string): string | undefined {
  try {
    const name = normalizeImageName(reference);
    return state.names.has(name) ? name : undefined;
  } catch (error) {
    if (error instanceof AtomfsError) return undefined;
    throw error;
  }
}

function matchId(state: State, prefix: string): Sha256 | undefined {
  if (!/^[0-9a-f]{12,64}$/.test(prefix)) return undefined;
  const matches = [...state.images.keys()].filter((config) => config.startsWith(prefix));
  return matches.length === 1 ? matches[0] : undefined;
}
