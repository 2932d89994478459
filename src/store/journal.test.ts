import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import {
  digestOf,
  fixRule,
  generation,
  imageRecord,
  moleculeOf,
  NOW,
  TemporaryStore,
} from "../../tests/support/temporary-store.ts";
import { decodeRecord, encodeRecord } from "./record-codec.ts";
import type { JournalRecord } from "./records.ts";
import { Store } from "./store.ts";

const A = digestOf("a");
const FIX = "0123456789ab";

let temporary: TemporaryStore;
beforeEach(() => {
  temporary = new TemporaryStore();
  temporary.transact(
    { op: "image-added", image: imageRecord(A) },
    { op: "generation", generation: generation(A, 1, moleculeOf("1")) },
  );
  temporary.transact({ op: "name-set", name: "localhost/web:latest", config: A });
  temporary.transact({ op: "fix-added", fix: fixRule(FIX) });
});
afterEach(() => temporary[Symbol.dispose]());

const names = (): string[] => temporary.list("journal");
const path = (index: number): string => temporary.path("journal", names()[index] ?? "");

/** What the files of the journal are, so that a refusal can be seen to have changed nothing. */
function snapshot(): string {
  return names()
    .map((name) => `${name} ${createHash("sha256").update(temporary.read("journal", name)).digest("hex")}`)
    .join("\n");
}

describe("append and read", () => {
  test("another process reads the same", () => {
    const before = temporary.store.state;
    expect(temporary.reopen().state).toEqual(before);
    expect(before.sequence).toBe(3);
  });

  test("the bytes and the name of a record never change", () => {
    const bytes = readFileSync(path(1));
    const previous = (names()[0] ?? "").slice(11, 75);
    expect(bytes.toString()).toBe(
      `{"sequence":2,"previous":"${previous}","time":"2026-01-02T03:04:05.000Z","command":"test",` +
        `"operations":[{"op":"name-set","name":"localhost/web:latest","config":"${A}"}]}\n`,
    );
    expect(names()[1]).toBe(`0000000002-${createHash("sha256").update(bytes).digest("hex")}.json`);
    expect(statSync(path(1)).mode & 0o7777).toBe(0o600);
  });

  test("nothing to do writes nothing", () => {
    temporary.transact();
    expect(names()).toHaveLength(3);
  });

  test("a transaction needs the lock", () => {
    expect(() => temporary.store.transact("test", NOW, [{ op: "fix-removed", id: FIX }])).toThrow(TypeError);
    expect(names()).toHaveLength(3);
  });

  test("what does not fit the state is never written", () => {
    const before = temporary.store.state;
    expect(() =>
      temporary.transact(
        { op: "name-removed", name: "localhost/web:latest" },
        { op: "fix-removed", id: "ffffffffffff" },
      ),
    ).toThrow(expect.objectContaining({ kind: "bad-data" }));
    expect(names()).toHaveLength(3);
    expect(temporary.store.state).toEqual(before);
    expect(temporary.reopen().state.sequence).toBe(3);
  });

  test("a process that opened earlier sees the new records once it has the lock", () => {
    using other = Store.open(temporary.root);
    temporary.transact({ op: "fix-removed", id: FIX });
    expect(other.state.sequence).toBe(3);
    {
      using _lock = other.lock();
      expect(other.state.sequence).toBe(4);
      other.transact("other", NOW, [{ op: "name-removed", name: "localhost/web:latest" }]);
    }
    expect(temporary.reopen().state.sequence).toBe(5);
  });

  test("the lock can be taken again by its holder, and is free after the last one", () => {
    using other = Store.open(temporary.root);
    {
      using _outer = temporary.store.lock();
      {
        using _inner = temporary.store.lock();
      }
      temporary.store.transact("test", NOW, [{ op: "fix-removed", id: FIX }]);
    }
    using _lock = other.lock();
    expect(other.state.sequence).toBe(4);
  });
});

describe("damage is named, and nothing is changed", () => {
  const rewrite = (index: number, change: (record: JournalRecord) => unknown): void => {
    const record = decodeRecord(readFileSync(path(index)));
    const bytes = Buffer.from(`${JSON.stringify(change(record))}\n`);
    const digest = createHash("sha256").update(bytes).digest("hex");
    const name = (names()[index] ?? "").slice(0, 11);
    rmSync(path(index));
    writeFileSync(temporary.path("journal", `${name}${digest}.json`), bytes);
  };
  const flip = (index: number): void => {
    const bytes = readFileSync(path(index));
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    writeFileSync(path(index), bytes);
  };
  const DAMAGE: readonly (readonly [string, () => void, RegExp])[] = [
    ["a changed byte", () => flip(1), /0000000002-.* is not what was written/],
    ["a changed byte of the newest", () => flip(2), /0000000003-.* is not what was written/],
    ["a lost record", () => rmSync(path(1)), /record 2 should be here/],
    ["a lost first record", () => rmSync(path(0)), /record 1 should be here/],
    [
      "a truncated record",
      () => writeFileSync(path(2), readFileSync(path(2)).subarray(0, 40)),
      /not what was written/,
    ],
    ["an empty record", () => writeFileSync(path(2), ""), /not what was written/],
    [
      "records that changed places",
      () => {
        const [, second = "", third = ""] = names();
        renameSync(path(1), temporary.path("journal", `0000000003-${second.slice(11)}`));
        renameSync(
          temporary.path("journal", third),
          temporary.path("journal", `0000000002-${third.slice(11)}`),
        );
      },
      /holds record|should be here/,
    ],
    [
      "a record twice",
      () => copyFileSync(path(2), temporary.path("journal", `0000000004-${(names()[2] ?? "").slice(11)}`)),
      /holds record 3/,
    ],
    [
      "two records of one number",
      () => {
        const record = { ...decodeRecord(readFileSync(path(2))), command: "other" };
        const bytes = encodeRecord(record);
        writeFileSync(
          temporary.path("journal", `0000000003-${createHash("sha256").update(bytes).digest("hex")}.json`),
          bytes,
        );
      },
      /record 4 should be here/,
    ],
    [
      "a record of another journal",
      () => rewrite(2, (record) => ({ ...record, previous: digestOf("e") })),
      /does not follow/,
    ],
    [
      "a file of another name",
      () => writeFileSync(temporary.path("journal", "notes.txt"), ""),
      /notes\.txt is not a record's name/,
    ],
    [
      "a record that is no JSON",
      () => {
        const bytes = Buffer.from("{\n");
        writeFileSync(
          temporary.path("journal", `0000000004-${createHash("sha256").update(bytes).digest("hex")}.json`),
          bytes,
        );
      },
      /not JSON/,
    ],
    [
      "an unknown operation",
      () => rewrite(2, (record) => ({ ...record, operations: [{ op: "image-melted" }] })),
      /image-melted/,
    ],
    [
      "an operation named like a method",
      () => rewrite(2, (record) => ({ ...record, operations: [{ op: "constructor" }] })),
      /constructor/,
    ],
    [
      "operations that are no list",
      () => rewrite(2, (record) => ({ ...record, operations: {} })),
      /record\.operations is not a list/,
    ],
    [
      "a record that does not fit",
      () => rewrite(2, (record) => ({ ...record, operations: [{ op: "fix-removed", id: FIX }] })),
      /record 3 does not fit.*no fix/,
    ],
  ];
  test.each(DAMAGE)("%s", (_, damage, reason) => {
    damage();
    const before = snapshot();
    const current = temporary.list("current").map((name) => temporary.read("current", name));
    expect(() => temporary.reopen()).toThrow(
      expect.objectContaining({
        name: "AtomfsError",
        kind: "bad-data",
        message: expect.stringMatching(reason),
      }),
    );
    expect(snapshot()).toBe(before);
    expect(temporary.list("current").map((name) => temporary.read("current", name))).toEqual(current);
  });

  test("a journal that is gone", () => {
    rmSync(temporary.path("journal"), { recursive: true });
    expect(() => temporary.reopen()).toThrow(expect.objectContaining({ kind: "bad-data" }));
  });
});

describe("fields of a record", () => {
  const image = imageRecord(A);
  const good = (operation: unknown): unknown => ({
    sequence: 1,
    previous: "",
    time: "2026-01-02T03:04:05.000Z",
    command: "x",
    operations: [operation],
  });
  const decode = (value: unknown): JournalRecord => decodeRecord(Buffer.from(JSON.stringify(value)));
  const add = (change: object): unknown => good({ op: "image-added", image: { ...image, ...change } });
  const gen = (change: object): unknown =>
    good({ op: "generation", generation: { ...generation(A, 1, moleculeOf("1")), ...change } });
  const fix = (change: object): unknown =>
    good({ op: "fix-added", fix: { ...fixRule(FIX, [A]), ...change } });

  test("a good one is taken, with fields that are new to this version", () => {
    for (const value of [add({}), gen({}), fix({}), add({ later: 1 })])
      expect(decode(value)).toEqual(value as JournalRecord);
  });
  test.each([
    ["no object", null, /record is not an object/],
    ["a list", [], /record is not an object/],
    ["sequence 0", { ...(good({}) as object), sequence: 0 }, /record\.sequence/],
    ["a fraction", { ...(good({}) as object), sequence: 1.5 }, /record\.sequence/],
    ["a time without zone", { ...(good({}) as object), time: "2026-01-02" }, /record\.time/],
    ["a previous that is no digest", { ...(good({}) as object), previous: "x" }, /record\.previous/],
    ["an operation that is none", good(null), /operations\[0\]/],
    ["a config that is no digest", add({ config: "abc" }), /operations\[0\]\.image\.config is not a digest/],
    ["an atom with a path", add({ atoms: ["../../etc/passwd"] }), /image\.atoms\[0\]/],
    ["labels that are a list", add({ labels: [] }), /labels/],
    ["a label that is a number", add({ labels: { a: 1 } }), /labels/],
    ["an env that is text", add({ env: "PATH=/" }), /env is not a list/],
    ["no distribution", add({ distribution: undefined }), /distribution/],
    ["a molecule with a path", gen({ molecule: "/etc/passwd" }), /molecule/],
    ["a generation 0", gen({ number: 0 }), /number/],
    ["a fix id with a path", gen({ fixes: ["../x"] }), /fixes\[0\]/],
    ["no scope", fix({ scope: undefined }), /scope/],
    [
      "a replacement without an atom",
      fix({ replacements: [{ package: "a", architecture: "b", version: "1" }] }),
      /atom/,
    ],
  ] as const)("%s", (_, value, reason) => {
    expect(() => decode(value)).toThrow(
      expect.objectContaining({ kind: "bad-data", message: expect.stringMatching(reason) }),
    );
  });
});
