import { describe, expect, test } from "bun:test";
import {
  digestOf,
  fixRule,
  generation,
  imageRecord,
  moleculeOf,
} from "../../tests/support/temporary-store.ts";
import type { JournalRecord, Operation } from "./records.ts";
import {
  applyRecord,
  currentGeneration,
  EMPTY_STATE,
  findImage,
  namesOf,
  replay,
  type State,
  storedMolecule,
} from "./state.ts";

const A = digestOf("a");
const B = digestOf("b");
const M1 = moleculeOf("1");
const M2 = moleculeOf("2");
const FIX = "0123456789ab";
const TIME = "2026-01-02T03:04:05.000Z";

function record(sequence: number, ...operations: readonly Operation[]): JournalRecord {
  return { sequence, previous: "", time: TIME, command: "test", operations };
}

function after(...operations: readonly Operation[]): State {
  return replay([record(1, ...operations)]);
}

const addA: Operation = { op: "image-added", image: imageRecord(A) };
const addB: Operation = { op: "image-added", image: imageRecord(B) };
const nameWeb: Operation = { op: "name-set", name: "localhost/web:latest", config: A };
const gen = (number: number, molecule = M1, fixes: readonly string[] = []): Operation => ({
  op: "generation",
  generation: generation(A, number, molecule, fixes),
});
const addFix: Operation = { op: "fix-added", fix: fixRule(FIX) };

describe("operations", () => {
  test("an image with names and generations comes and goes", () => {
    const state = after(addA, addB, nameWeb, gen(1), gen(2, M2, [FIX]));
    expect([...state.images.keys()]).toEqual([A, B]);
    expect(namesOf(state, A)).toEqual(["localhost/web:latest"]);
    expect(currentGeneration(state, A)).toEqual({ ...generation(A, 2, M2, [FIX]), time: TIME });
    expect(currentGeneration(state, B)).toBeUndefined();
    const gone = applyRecord(state, record(2, { op: "image-removed", config: A }));
    expect([...gone.images.keys()]).toEqual([B]);
    expect(gone.names.size).toBe(0);
    expect(gone.generations.size).toBe(0);
  });

  test("each transaction that changes the fixes is a generation of them, with its time", () => {
    expect(after(addA).fixesGeneration).toEqual({ number: 0, changedAt: undefined });
    const fixed = after(addA, addFix);
    expect(fixed.fixesGeneration).toEqual({ number: 1, changedAt: TIME });
    const later = { ...record(2, addB), time: "2026-01-03T00:00:00.000Z" };
    expect(applyRecord(fixed, later).fixesGeneration).toEqual({ number: 1, changedAt: TIME });
    const undone = { ...record(2, { op: "fix-removed", id: FIX } as const), time: later.time };
    expect(applyRecord(fixed, undone).fixesGeneration).toEqual({ number: 2, changedAt: later.time });
  });

  test("a name moves and goes", () => {
    const state = after(addA, addB, nameWeb, { ...nameWeb, config: B });
    expect(namesOf(state, A)).toEqual([]);
    expect(namesOf(state, B)).toEqual(["localhost/web:latest"]);
    const gone = applyRecord(state, record(2, { op: "name-removed", name: "localhost/web:latest" }));
    expect(gone.names.size).toBe(0);
    expect(gone.images.size).toBe(2);
  });

  test("a fix comes with its time and goes", () => {
    const state = after(addFix);
    expect(state.fixes.get(FIX)).toEqual({ ...fixRule(FIX), addedAt: TIME });
    expect(applyRecord(state, record(2, { op: "fix-removed", id: FIX })).fixes.size).toBe(0);
  });

  test("a state is never changed by what comes after it", () => {
    const state = after(addA, nameWeb, gen(1), addFix);
    const before = structuredClone(state);
    applyRecord(state, record(2, gen(2), { op: "fix-removed", id: FIX }, { op: "image-removed", config: A }));
    expect(state).toEqual(before);
  });

  test.each([
    ["an image twice", [addA, addA], /is there already/],
    ["removal of no image", [{ op: "image-removed", config: A }], /no image/],
    ["a name for no image", [nameWeb], /no image/],
    ["removal of no name", [{ op: "name-removed", name: "x" }], /no name/],
    ["a fix twice", [addFix, addFix], /is there already/],
    ["removal of no fix", [{ op: "fix-removed", id: FIX }], /no fix/],
    ["a generation of no image", [gen(1)], /no image/],
    ["a first generation that is not 1", [addA, gen(2)], /generation 2/],
    ["a generation twice", [addA, gen(1), gen(1)], /generation 1/],
  ] as const)("%s is refused, and the record is named", (_, operations, reason) => {
    const apply = (): State => after(...(operations as readonly Operation[]));
    expect(apply).toThrow(
      expect.objectContaining({ kind: "bad-data", message: expect.stringMatching(reason) }),
    );
    expect(apply).toThrow(/record 1/);
  });
});

describe("sequence", () => {
  test.each([0, 2, 7])("record %d is not the first", (sequence) => {
    expect(() => applyRecord(EMPTY_STATE, record(sequence))).toThrow(
      expect.objectContaining({ kind: "bad-data" }),
    );
  });
  test("counts", () => expect(replay([record(1), record(2), record(3)]).sequence).toBe(3));
});

describe("storedMolecule", () => {
  const state = after(addA, gen(1), gen(2, M2, [FIX]), gen(3, moleculeOf("3")));
  test("the newest with this very set of fixes", () => {
    expect(storedMolecule(state, A, [], 1)).toBe(moleculeOf("3"));
    expect(storedMolecule(state, A, [FIX], 1)).toBe(M2);
  });
  test("none of another set, composer or image", () => {
    expect(storedMolecule(state, A, ["ffffffffffff"], 1)).toBeUndefined();
    expect(storedMolecule(state, A, [FIX], 2)).toBeUndefined();
    expect(storedMolecule(state, B, [], 1)).toBeUndefined();
  });
});

describe("findImage", () => {
  const like = (start: string): typeof A => (start + A.slice(start.length)) as typeof A;
  const other = like("aaaaaaaaaaaab");
  const state = after(addA, { op: "image-added", image: imageRecord(other) }, nameWeb);
  test.each(["web", "web:latest", "localhost/web", "localhost/web:latest", A, `sha256:${A}`, A.slice(0, 13)])(
    "%s",
    (reference) => {
      expect(findImage(state, reference).config).toBe(A);
    },
  );
  test.each(["", "db", "web:1", A.slice(0, 12), "aaa", "../web", "WEB", "sha256:"])(
    "%s is not found",
    (reference) => {
      expect(() => findImage(state, reference)).toThrow(expect.objectContaining({ kind: "not-found" }));
    },
  );
});
