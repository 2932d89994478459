import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type DpkgCase, makeSmallRoot, runDpkgCase } from "./dpkg-case.ts";
import { FixLab } from "./fix-lab.ts";
import { patience } from "./slowness.ts";

/** A store and a small root directory for the tests of a file; to be used inside of tests only. */
export function useSmallRoot(): { readonly lab: FixLab; readonly smallRoot: string } {
  let lab: FixLab | undefined;
  let smallRoot = "";
  beforeAll(async () => {
    lab = new FixLab();
    smallRoot = lab.newDirectory("small-root");
    await makeSmallRoot(smallRoot);
  }, patience(300_000));
  afterAll(() => lab?.[Symbol.dispose](), patience(60_000));
  return {
    get lab(): FixLab {
      if (lab === undefined) throw new Error("Not inside of a test");
      return lab;
    },
    get smallRoot(): string {
      return smallRoot;
    },
  };
}

/** Each case: the fixed molecule is what dpkg makes, nothing blocks, and only these checks (default none) warn. */
export function compareCases(
  title: string,
  cases: Readonly<Record<string, DpkgCase & { readonly warns?: readonly string[] }>>,
): void {
  describe(title, () => {
    const world = useSmallRoot();
    for (const [name, each] of Object.entries(cases)) {
      test(
        name,
        async () => {
          const { differences, results } = await runDpkgCase(world.lab, world.smallRoot, each);
          expect(differences).toEqual([]);
          const blocking = results.filter((result) => result.verdict === "block");
          expect(blocking.map((result) => result.reason)).toEqual([]);
          const checks = [...new Set(results.map((result) => result.check))].sort();
          expect(checks as string[]).toEqual([...(each.warns ?? [])]);
        },
        patience(60_000),
      );
    }
  });
}
