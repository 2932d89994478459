import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  digestOf,
  generation,
  imageRecord,
  moleculeOf,
  NOW,
  TemporaryStore,
} from "../../tests/support/temporary-store.ts";
import { ROOT } from "../core/bytestring.ts";
import { DEFAULT_ROOT } from "../core/tree.ts";
import type { Atom } from "../formats/atom/atom.ts";
import { parseCurrent } from "./current.ts";
import { appendRecord, nextRecord, readJournal } from "./journal.ts";
import { Store } from "./store.ts";

const A = digestOf("a");

let temporary: TemporaryStore;
beforeEach(() => {
  temporary = new TemporaryStore();
});
afterEach(() => temporary[Symbol.dispose]());

const modeOf = (...names: readonly string[]): number => lstatSync(temporary.path(...names)).mode & 0o7777;
const packageAtom = (name: string): Atom => ({
  origin: {
    kind: "installed",
    package: { name, architecture: "amd64", version: "1", source: name, sourceVersion: "1" },
  },
  control: [],
  entries: [{ path: ROOT, inode: DEFAULT_ROOT }],
});

/** An image with one package. */
function addImage(config = A, molecule = moleculeOf("1")): void {
  const atom = temporary.store.putAtom(packageAtom("demo"));
  temporary.transact(
    { op: "image-added", image: imageRecord(config, [atom]) },
    { op: "generation", generation: generation(config, 1, molecule) },
  );
}

describe("opening", () => {
  test("a store that isn't there is not made by accident", () => {
    const path = temporary.path("none");
    expect(() => Store.open(path)).toThrow(expect.objectContaining({ kind: "not-found" }));
    expect(readdirSync(temporary.root)).toEqual([]);
  });

  test("a directory with something else in it is left alone", () => {
    writeFileSync(temporary.path("letter.txt"), "");
    expect(() => Store.open(temporary.root, { create: true })).toThrow(
      expect.objectContaining({ kind: "usage", message: expect.stringMatching(/letter\.txt/) }),
    );
    expect(readdirSync(temporary.root)).toEqual(["letter.txt"]);
  });

  test("half a store, as a crash leaves it, is made whole", () => {
    mkdirSync(temporary.path("objects"));
    mkdirSync(temporary.path("tmp"));
    expect(temporary.store.state.sequence).toBe(0);
  });

  test("modes: the store is root's alone, whatever the umask and the directory before", () => {
    chmodSync(temporary.root, 0o777);
    const before = process.umask(0o077);
    try {
      addImage();
      temporary.store.putImageDocuments(digestOf("b"), Buffer.from("{}"), Buffer.from("{}"));
      temporary.store.putMolecule(Buffer.from("not really"));
      temporary.store.catalog.images();
    } finally {
      process.umask(before);
    }
    expect(lstatSync(temporary.root).mode & 0o7777).toBe(0o700);
    for (const name of [
      "objects",
      "atoms",
      "images",
      "molecules",
      "trees",
      "current",
      "plans",
      "journal",
      "tmp",
    ])
      expect([name, modeOf(name)]).toEqual([name, 0o700]);
    for (const name of ["meta.json", "catalog.db", "lock"])
      expect([name, modeOf(name)]).toEqual([name, 0o600]);
    for (const folder of ["atoms", "images", "molecules"])
      for (const name of temporary.list(folder)) expect([name, modeOf(folder, name)]).toEqual([name, 0o400]);
    for (const folder of ["journal", "current"])
      for (const name of temporary.list(folder)) expect([name, modeOf(folder, name)]).toEqual([name, 0o600]);
  });

  test("a umask of 0 opens nothing to others", () => {
    const before = process.umask(0);
    try {
      addImage();
      temporary.store.catalog.images();
    } finally {
      process.umask(before);
    }
    expect(temporary.list(".").filter((name) => (modeOf(name) & 0o077) !== 0)).toEqual([]);
  });
});

describe("meta.json", () => {
  test("is what docs/formats/store.md says", () => {
    temporary.store.state;
    expect(temporary.read("meta.json")).toBe(
      '{"version":1,"compatible":[],"readOnlyCompatible":[],"incompatible":[]}\n',
    );
  });

  test.each([
    ["an unknown incompatible feature", { incompatible: ["zstd-objects"] }, "unsupported", /zstd-objects/],
    ["an unknown read-only feature", { readOnlyCompatible: ["quota"] }, "unsupported", /quota/],
    ["a later version", { version: 2 }, "unsupported", /format version 2/],
    ["a later version of another form", { version: 3, incompatible: {} }, "unsupported", /format version 3/],
    ["an earlier version", { version: 0 }, "unsupported", /format version 0/],
    ["no version", { version: undefined }, "bad-data", /Cannot read/],
    ["a version that is text", { version: "1" }, "bad-data", /Cannot read/],
    ["features that are no list", { incompatible: "none" }, "bad-data", /Cannot read/],
    ["features that are no texts", { incompatible: [1] }, "bad-data", /Cannot read/],
  ] as const)("%s is refused, and nothing is changed", (_, change, kind, message) => {
    addImage();
    const meta = { version: 1, compatible: [], readOnlyCompatible: [], incompatible: [], ...change };
    writeFileSync(temporary.path("meta.json"), JSON.stringify(meta));
    const before = temporary.list("journal");
    for (const create of [false, true]) {
      expect(() => Store.open(temporary.root, { create })).toThrow(
        expect.objectContaining({ name: "AtomfsError", kind, message: expect.stringMatching(message) }),
      );
    }
    expect(temporary.list("journal")).toEqual(before);
    expect(temporary.read("meta.json")).toBe(JSON.stringify(meta));
  });

  test.each(["", "null", "[]", "7", "{", "\0".repeat(100_000)])("%j is no meta.json", (text) => {
    temporary.store.state;
    writeFileSync(temporary.path("meta.json"), text);
    expect(() => Store.open(temporary.root)).toThrow(expect.objectContaining({ kind: "bad-data" }));
  });

  test("an unknown compatible feature is no matter", () => {
    addImage();
    const text = '{"version":1,"compatible":["hints"],"readOnlyCompatible":[],"incompatible":[],"more":1}';
    writeFileSync(temporary.path("meta.json"), text);
    expect(temporary.reopen().state.images.size).toBe(1);
    expect(temporary.read("meta.json")).toBe(text);
  });
});

describe("current/", () => {
  test("holds molecule, generation and number of fixes", () => {
    addImage();
    const text = temporary.read("current", A);
    expect(text).toBe(`${moleculeOf("1")} 1 0\n`);
    expect(parseCurrent(text).molecule).toBe(moleculeOf("1"));
  });

  /** What a crash right after the journal's rename leaves. */
  const appendOnly = (number: number, molecule = moleculeOf("2")): void => {
    using _lock = temporary.store.lock();
    const { layout } = temporary.store;
    const journal = readJournal(layout.journal);
    const operations = [{ op: "generation", generation: generation(A, number, molecule) }] as const;
    appendRecord(
      layout,
      journal,
      nextRecord(journal, { time: NOW.toISOString(), command: "killed", operations }),
    );
  };

  test("the directory is made again if it was lost", () => {
    addImage();
    rmSync(temporary.path("current"), { recursive: true });
    using _lock = temporary.store.lock();
    expect(temporary.store.repairCurrent()).toBe(1);
    expect(temporary.read("current", A)).toBe(`${moleculeOf("1")} 1 0\n`);
  });

  test("a crash between journal and current/ is mended by the next transaction, an empty one too", () => {
    addImage();
    appendOnly(2);
    expect(temporary.read("current", A)).toStartWith(moleculeOf("1"));
    temporary.transact();
    expect(temporary.read("current", A)).toBe(`${moleculeOf("2")} 2 0\n`);
    appendOnly(3, moleculeOf("3"));
    temporary.transact({ op: "name-set", name: "localhost/web:latest", config: A });
    expect(temporary.read("current", A)).toBe(`${moleculeOf("3")} 3 0\n`);
  });

  test("wrong, missing and foreign files are mended and counted", () => {
    addImage();
    addImage(digestOf("b"));
    writeFileSync(temporary.path("current", A), "nonsense");
    rmSync(temporary.path("current", digestOf("b")));
    writeFileSync(temporary.path("current", digestOf("c")), "x");
    mkdirSync(temporary.path("current", "folder"));
    using _lock = temporary.store.lock();
    expect(temporary.store.repairCurrent()).toBe(4);
    expect(temporary.list("current")).toEqual([A, digestOf("b")]);
    expect(temporary.read("current", A)).toBe(`${moleculeOf("1")} 1 0\n`);
    expect(temporary.store.repairCurrent()).toBe(0);
  });

  test("an image that goes takes its file along", () => {
    addImage();
    temporary.transact({ op: "image-removed", config: A });
    expect(temporary.list("current")).toEqual([]);
    expect(() => temporary.store.currentMolecule(A)).toThrow(expect.objectContaining({ kind: "not-found" }));
  });
});

describe("atoms, molecules, documents", () => {
  test("equal atoms are one file", () => {
    const id = temporary.store.putAtom(packageAtom("demo"));
    expect(temporary.store.putAtom(packageAtom("demo"))).toBe(id);
    expect(temporary.list("atoms")).toEqual([id]);
    expect(temporary.store.readAtom(id)).toEqual(packageAtom("demo"));
  });

  test("a damaged, replaced or lost atom is bad data", () => {
    const id = temporary.store.putAtom(packageAtom("demo"));
    const other = temporary.store.putAtom(packageAtom("other"));
    const bytes = Buffer.from(temporary.read("atoms", other));
    writeFileSync(temporary.path("atoms", id), bytes);
    expect(() => temporary.store.readAtom(id)).toThrow(expect.objectContaining({ kind: "bad-data" }));
    rmSync(temporary.path("atoms", id));
    expect(() => temporary.store.readAtom(id)).toThrow(/has lost atom/);
    expect(() => temporary.store.readObject(moleculeOf("9"))).toThrow(/has lost object/);
  });

  test("an image of the journal keeps its documents, also when it comes with another manifest", () => {
    const config = Buffer.from("config");
    const id = createHash("sha256").update(config).digest("hex") as typeof A;
    temporary.store.putImageDocuments(id, config, Buffer.from("first"));
    temporary.transact({ op: "image-added", image: imageRecord(id) });
    temporary.store.putImageDocuments(id, config, Buffer.from("second"));
    expect(temporary.read("images", `${id}.manifest`)).toBe("first");
  });
});

describe("catalog", () => {
  const packages = (): readonly unknown[] => temporary.store.catalog.packagesNamed("demo");
  const rows = (): readonly unknown[] => {
    addImage();
    addImage(digestOf("b"));
    temporary.reopen();
    return packages();
  };

  test("a lost catalog is made again by opening", () => {
    const before = rows();
    expect(before).toHaveLength(2);
    for (const suffix of ["", "-wal", "-shm"]) rmSync(temporary.path(`catalog.db${suffix}`), { force: true });
    temporary.reopen();
    expect(packages()).toEqual(before);
  });

  test("so is one that is no database", () => {
    const before = rows();
    temporary.reopen();
    rmSync(temporary.path("catalog.db-wal"), { force: true });
    writeFileSync(temporary.path("catalog.db"), Buffer.alloc(20_000, "no database "));
    temporary.reopen();
    expect(packages()).toEqual(before);
  });

  test("an image of an import that was killed is not found by its packages", () => {
    rows();
    const identity = {
      name: "demo",
      architecture: "amd64",
      version: "1",
      source: "demo",
      sourceVersion: "1",
    };
    temporary.store.catalog.setImage(digestOf("c"), [{ ...identity, atom: digestOf("d") }]);
    expect(packages()).toHaveLength(2);
    expect(temporary.store.catalog.packagesOfSource("demo")).toHaveLength(2);
    expect(temporary.store.catalog.packagesOfImage(digestOf("c"))).toHaveLength(1);
  });

  test("an image whose atoms are damaged is not left out silently", () => {
    rows();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(temporary.path(`catalog.db${suffix}`), { force: true });
    for (const name of temporary.list("atoms")) rmSync(temporary.path("atoms", name));
    expect(() => temporary.reopen().catalog).toThrow(expect.objectContaining({ kind: "bad-data" }));
    using store = Store.open(temporary.root, { damaged: true });
    expect(store.catalog.images().size).toBe(0);
  });

  test("two that open a new store at once both get it", async () => {
    const code = `import { Store } from ${JSON.stringify(join(import.meta.dir, "store.ts"))};
      using store = Store.open(process.argv[1], { create: true }); console.log(store.state.sequence, store.catalog.images().size);`;
    const root = mkdtempSync("/var/tmp/atomfs-store-");
    try {
      const children = [1, 2, 3, 4].map(() =>
        Bun.spawn([process.execPath, "-e", code, root], { stdout: "pipe", stderr: "pipe" }),
      );
      for (const child of children) {
        const [out, err, exit] = await Promise.all([
          new Response(child.stdout).text(),
          new Response(child.stderr).text(),
          child.exited,
        ]);
        expect([out, err, exit]).toEqual(["0 0\n", "", 0]);
      }
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
