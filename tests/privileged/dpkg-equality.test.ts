import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { isBlocked } from "../../src/fixing/evaluate.ts";
import { mountMolecule, unmountMolecule } from "../../src/mounts/molecule-mounts.ts";
import type { ImageRecord } from "../../src/store/records.ts";
import { run } from "../../src/sys/process.ts";
import { compareWithDpkg } from "../support/dpkg-case.ts";
import { FixLab } from "../support/fix-lab.ts";
import { patience } from "../support/slowness.ts";
import { readDirectory, treeDifferences, unexcused } from "../support/tree-differences.ts";
import {
  fixedPackages,
  installedVersion,
  REFUSED,
  UPGRADABLE,
  upgradableRootfs,
} from "../support/upgradable-rootfs.ts";

const MINUTES = patience(60_000);

let lab: FixLab;
let rootfs = "";
let image: ImageRecord;
beforeAll(async () => {
  lab = new FixLab();
  rootfs = await upgradableRootfs();
  await fixedPackages([...UPGRADABLE.flat(), ...REFUSED.flat()]);
  ({ image } = await lab.importDirectory("upgradable", rootfs));
}, 10 * MINUTES);
afterAll(() => lab[Symbol.dispose]());

async function compare(names: readonly string[]): Promise<void> {
  const { differences, results } = await compareWithDpkg(lab, image, rootfs, await fixedPackages(names));
  expect(differences).toEqual([]);
  expect(results).toEqual([]);
}

describe("a real image", () => {
  test("unfixed is the directory that it was made of", () => {
    const differences = treeDifferences(lab.current(image.config), readDirectory(rootfs).tree);
    expect(unexcused(differences, "none-exempt.json")).toEqual([]);
  });

  test(
    "with all fixes is what dpkg makes of it",
    async () => {
      const names = UPGRADABLE.flat();
      expect(names.length).toBeGreaterThanOrEqual(12);
      await compare(names);
    },
    10 * MINUTES,
  );

  for (const names of UPGRADABLE.slice(0, 4)) {
    test(`with ${names.join(" and ")} alone is what dpkg makes of it`, () => compare(names), 5 * MINUTES);
  }

  for (const names of REFUSED) {
    test(`refuses ${names.join(" and ")}: the maintainer scripts do something`, async () => {
      const rule = await lab.makeRule(image, await fixedPackages(names));
      const evaluation = lab.evaluate(image, [rule]);
      expect(isBlocked(evaluation)).toBe(true);
      expect(evaluation.results.map((result) => result.check)).toContain("script");
    });
  }
});

describe("the package manager inside of a fixed, mounted molecule", () => {
  test(
    "finds the new versions, every file as shipped, and nothing half done",
    async () => {
      const names = UPGRADABLE.flat();
      const debs = await fixedPackages(names);
      const { molecule } = lab.evaluate(image, [await lab.makeRule(image, debs)]);
      const { target } = mountMolecule(lab.store.layout, molecule);
      try {
        const inside = async (...argv: string[]): Promise<string> => {
          const { stdout, stderr } = await run(["chroot", target, ...argv], { okCodes: [0, 1, 2] });
          return `${stdout}${stderr}`;
        };
        expect(await inside("dpkg", "--audit")).toBe("");
        for (const [index, name] of names.entries()) {
          const shipped = (await run(["dpkg-deb", "-f", debs[index] ?? "", "Version"])).stdout
            .toString()
            .trim();
          expect(installedVersion(target, name)).toBe(shipped);
          expect(installedVersion(rootfs, name)).not.toBe(shipped);
          expect(await inside("dpkg", "-V", name)).toBe("");
        }
        expect(await inside("sh", "-c", "printf '<a/>' | xmlwf && jq -n 1 && brotli --version")).toContain(
          "brotli",
        );
      } finally {
        unmountMolecule(lab.store.layout, molecule);
      }
    },
    5 * MINUTES,
  );
});
