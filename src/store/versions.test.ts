import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { lstatSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "../sys/process.ts";
import { checkStore } from "./fsck.ts";
import { collectGarbage } from "./gc.ts";
import { currentGeneration, namesOf } from "./state.ts";
import { Store } from "./store.ts";

/** A checked-in store of each released format version: every later version must read it. */
const FIXTURES = join(import.meta.dir, "../../tests/fixtures");

type Expected = readonly {
  readonly id: string;
  readonly names: readonly string[];
  readonly molecule: string;
  readonly generation: number;
  readonly fixes: readonly string[];
}[];

describe.each(["store-v1"])("%s", (name) => {
  const archive = join(FIXTURES, name, "store.tar.gz");
  const expected = JSON.parse(readFileSync(join(FIXTURES, name, "expected.json"), "utf8")) as Expected;
  let root = "";

  beforeAll(async () => {
    root = mkdtempSync("/var/tmp/atomfs-fixture-");
    await run(["tar", "--extract", "--same-permissions", "--file", archive, "--directory", root]);
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  test("opens, and images, names, molecules and fixes are what they were", () => {
    using store = Store.open(root);
    const found = [...store.state.images.keys()].map((config) => {
      const current = currentGeneration(store.state, config);
      const { molecule, number: generation, fixes } = current ?? {};
      return { id: config, names: namesOf(store.state, config), generation, molecule, fixes };
    });
    const wanted = expected.map(({ id, names, generation, molecule, fixes }) => ({
      id,
      names,
      generation,
      molecule,
      fixes,
    }));
    expect(JSON.stringify(found)).toBe(JSON.stringify(wanted));
    expect(found).toHaveLength(5);
    expect(store.state.fixes.size).toBe(2);
  });

  test("fsck is clean, with nothing to repair, before and after gc", async () => {
    using store = Store.open(root);
    const report = await checkStore(store, { readObjects: true });
    expect(report).toMatchObject({ problems: [], repaired: 0 });
    expect(report.checked.objects).toBeGreaterThan(10);
    collectGarbage(store, new Set(), { dryRun: false });
    expect(await checkStore(store, { readObjects: true })).toEqual(report);
  });

  test("its catalog is made anew", () => {
    using store = Store.open(root);
    const rows = store.catalog.packagesOfSource("demo");
    expect(new Set(rows.map((row) => row.config)).size).toBe(4);
    expect(new Set(rows.map((row) => row.version))).toEqual(new Set(["1.0-1"]));
  });

  test("can be written to", () => {
    using store = Store.open(root);
    using _lock = store.lock();
    const { sequence } = store.state;
    store.transact("test", new Date(0), [{ op: "name-removed", name: "localhost/scratch:latest" }]);
    expect(store.state.sequence).toBe(sequence + 1);
    using again = Store.open(root);
    expect(again.state).toEqual(store.state);
  });

  test("is small", () => expect(lstatSync(archive).size).toBeLessThan(200_000));
});
