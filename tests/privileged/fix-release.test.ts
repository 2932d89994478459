import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { applyFix } from "../../src/fixing/apply.ts";
import { importImage } from "../../src/fixing/import-image.ts";
import { planFix } from "../../src/fixing/plan.ts";
import type { Candidate, Repositories } from "../../src/fixing/repository.ts";
import { findPackages } from "../../src/formats/apt/packages.ts";
import { openOciLayout } from "../../src/sources/oci-layout.ts";
import { Store } from "../../src/store/store.ts";
import { FixLab } from "../support/fix-lab.ts";
import { patience } from "../support/slowness.ts";
import {
  ARCHITECTURE,
  debFile,
  libdemo,
  NEW_VERSION,
  syntheticImages,
  writeLayout,
} from "../support/synthetic-images.ts";

const NOW = new Date("2026-01-02T03:04:05Z");

/** Repositories with one package; `whileFetching` happens during its download. */
function repositories(lab: FixLab, whileFetching: () => Promise<void>): Repositories {
  const path = join(lab.newDirectory("archive"), "libdemo1.deb");
  const bytes = debFile(libdemo(NEW_VERSION));
  writeFileSync(path, bytes);
  const index = Buffer.from(
    `Package: libdemo1\nSource: demo\nVersion: ${NEW_VERSION}\nArchitecture: ${ARCHITECTURE}\n` +
      `Filename: libdemo1.deb\nSize: ${bytes.length}\nSHA256: ${"0".repeat(64)}\n`,
  );
  const find = (query: Parameters<typeof findPackages>[1]): Candidate[] =>
    findPackages(index, query).map((each) => ({ ...each, origin: "test" }));
  return {
    origins: ["test"],
    notes: [],
    candidates: (names) => Map.groupBy(find({ packages: new Set(names) }), (each) => each.package),
    bySource: (name) => find({ sources: new Set([name]) }),
    fetch: async () => {
      await whileFetching();
      return path;
    },
  };
}

test(
  "an image that another command imports during the download is in the plan",
  async () => {
    using lab = new FixLab();
    const layout = lab.newDirectory("layout");
    writeLayout(layout, syntheticImages());
    const importSlim = async (): Promise<void> => {
      using other = Store.open(lab.store.layout.root);
      const options = { names: ["localhost/slim:latest"], source: "test", command: "test", now: NOW };
      await importImage(other, await openOciLayout(layout, "slim"), options);
    };
    const plan = await planFix(
      {
        package: "demo",
        release: { codename: "bookworm", architecture: ARCHITECTURE },
        scope: { images: [], exclude: [] },
        command: "test",
      },
      { store: lab.store, openRepositories: async () => repositories(lab, importSlim) },
    );
    expect(plan.images.map(({ names, verdict }) => ({ names, verdict }))).toEqual([
      { names: ["localhost/slim:latest"], verdict: "apply" },
    ]);
    applyFix(lab.store, plan, NOW);
    const [rule] = lab.store.state.fixes.keys();
    const [image] = lab.store.state.images.keys();
    expect(lab.store.state.generations.get(image ?? ("" as never))?.map(({ fixes }) => fixes)).toEqual([
      [],
      [rule ?? ""],
    ]);
  },
  patience(120_000),
);
