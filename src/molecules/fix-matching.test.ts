import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Sha256 } from "../core/digest.ts";
import type { FixRule, ImageRecord } from "../store/records.ts";
import { applicableReplacements, bringsMore, inScope, matchFixes, optOut } from "./fix-matching.ts";

const digest = (digit: string): Sha256 => digit.repeat(64) as Sha256;
const DEBIAN = { id: "debian", codename: "bookworm" };
const image: ImageRecord = {
  config: digest("1"),
  manifest: digest("2"),
  atoms: [],
  distribution: { ...DEBIAN, version: "12" },
  architecture: "amd64",
  source: "test",
  labels: {},
  env: [],
};
const NAMES = ["localhost/shop/web:1.0"];
const INSTALLED = [
  { name: "libx", architecture: "amd64", version: "1.0" },
  { name: "libx", architecture: "i386", version: "1.0" },
  { name: "liby", architecture: "amd64", version: "2.0" },
];

function rule(
  id: string,
  versions: Readonly<Record<string, string>>,
  change: Partial<FixRule> = {},
): FixRule {
  const replacements = Object.entries(versions).map(([name, version]) => ({
    package: name,
    architecture: "amd64",
    version,
    atom: digest("3"),
  }));
  const scope = { images: [], exclude: [] };
  return {
    id,
    title: id,
    distribution: DEBIAN,
    architecture: "amd64",
    scope,
    replacements,
    provenance: "",
    ...change,
  };
}

const matched = (...rules: readonly FixRule[]): string[] =>
  matchFixes(rules, image, NAMES, INSTALLED).replacements.map(
    (each) => `${each.package}=${each.version} ${each.fix}`,
  );

describe("matchFixes", () => {
  test("takes only higher versions of what is installed", () => {
    expect(matched(rule("a", { libx: "1.1", liby: "2.0", libz: "9" }))).toEqual(["libx=1.1 a"]);
    expect(matched(rule("a", { libx: "1.0~rc1", liby: "1:1" }))).toEqual(["liby=1:1 a"]);
  });

  test("takes the highest version of each package, whatever the order of the rules", () => {
    const rules = [
      rule("c", { libx: "1.1" }),
      rule("a", { libx: "1.10", liby: "2.1" }),
      rule("b", { libx: "1.9", liby: "3" }),
    ];
    fc.assert(
      fc.property(fc.shuffledSubarray(rules, { minLength: 3 }), (order) => {
        expect(matched(...order)).toEqual(["libx=1.10 a", "liby=3 b"]);
        expect(matchFixes(order, image, NAMES, INSTALLED).fixes).toEqual(["a", "b"]);
      }),
    );
  });

  test("two rules that bring the same version count as the first by id", () => {
    expect(matched(rule("b", { libx: "2" }), rule("a", { libx: "2" }))).toEqual(["libx=2 a"]);
  });
});

describe("bringsMore", () => {
  const more = (each: FixRule, ...others: readonly FixRule[]): boolean =>
    bringsMore(each, others, image, NAMES, INSTALLED);

  test("only if the others bring none or older versions of a package that the image has", () => {
    const all = rule("b", { libx: "2", liby: "3", libz: "9" });
    expect(more(all)).toBe(true);
    expect(more(all, rule("a", { libx: "2" }))).toBe(true);
    expect(more(all, rule("a", { libx: "2" }), rule("c", { liby: "3" }))).toBe(false);
    expect(more(all, rule("c", { libx: "2.1", liby: "3" }))).toBe(false);
    expect(more(all, rule("c", { libx: "1.9", liby: "3" }))).toBe(true);
    expect(more(rule("a", { libx: "1.0", libz: "9" }))).toBe(false);
  });
});

describe("applicableReplacements", () => {
  const applies = (change: Partial<FixRule>, of: ImageRecord = image): boolean =>
    applicableReplacements(rule("a", { libx: "2" }, change), of, NAMES, INSTALLED).length > 0;

  test("needs the same distribution, release and architecture", () => {
    expect(applies({})).toBe(true);
    expect(applies({ distribution: { id: "debian", codename: "trixie" } })).toBe(false);
    expect(applies({ distribution: { id: "ubuntu", codename: "bookworm" } })).toBe(false);
    expect(applies({ architecture: "arm64" })).toBe(false);
  });

  test("leaves an image alone whose label forbids it", () => {
    const labelled = { ...image, labels: { "io.atomfs.fix": "Never" } };
    expect(optOut(labelled)).toBe("io.atomfs.fix=Never");
    expect(applies({}, labelled)).toBe(false);
    expect(optOut({ ...image, labels: { "io.atomfs.fix": "yes" } })).toBeUndefined();
  });

  test("keeps to the scope", () => {
    expect(applies({ scope: { images: ["shop/*"], exclude: [] } })).toBe(true);
    expect(applies({ scope: { images: ["shop/*"], exclude: ["*:1.0"] } })).toBe(false);
    expect(applies({ scope: { images: ["other/*"], exclude: [] } })).toBe(false);
    expect(inScope({ images: [], exclude: [] }, [])).toBe(true);
    expect(inScope({ images: ["*"], exclude: [] }, [])).toBe(false);
  });
});
