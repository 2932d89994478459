import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import manifest from "../package.json" with { type: "json" };
import {
  checkDependencies,
  checkDocs,
  checkExit,
  checkForeignCalls,
  checkLength,
  checkName,
  checkOrder,
  checkPurity,
  importsOf,
  type Rule,
  type SourceFile,
} from "./support/layering-rules.ts";

const REPOSITORY = join(import.meta.dir, "..");

const sources: readonly SourceFile[] = [...new Bun.Glob("src/**/*.ts").scanSync({ cwd: REPOSITORY })]
  .sort()
  .map((path) => ({ path, text: readFileSync(join(REPOSITORY, path), "utf8") }));
/** Tests may compare with the machine's tools, from whatever folder. */
const code = sources.filter(({ path }) => !path.endsWith(".test.ts"));

const dependencies = checkDependencies(Object.keys(manifest.dependencies));
const docs = checkDocs(REPOSITORY);

/** A rule, the files it is for, and a file that must break it: a rule that finds nothing anywhere proves nothing. */
const RULES: readonly (readonly [string, Rule, readonly SourceFile[], SourceFile])[] = [
  [
    "a folder imports itself and earlier folders only",
    checkOrder,
    code,
    { path: "src/formats/tar/x.ts", text: 'import type { A } from "../../store/a.ts";' },
  ],
  [
    "core, bytes and formats are pure",
    checkPurity,
    code,
    { path: "src/core/x.ts", text: "export const now = () => Date.now();" },
  ],
  [
    "bun:ffi is used in src/sys only",
    checkForeignCalls,
    code,
    { path: "src/store/x.ts", text: 'import { dlopen } from "bun:ffi";' },
  ],
  ["only main.ts exits", checkExit, code, { path: "src/cli/x.ts", text: "process.exit(1);" }],
  ["names say what a file is for", checkName, sources, { path: "src/core/utils.ts", text: "" }],
  ["files are short", checkLength, code, { path: "src/core/x.ts", text: "1;\n".repeat(401) }],
  [
    "only dependencies of package.json are imported",
    dependencies,
    code,
    { path: "src/core/x.ts", text: 'import fc from "fast-check";\nfc();' },
  ],
  [
    "documents that code implements exist",
    docs,
    sources,
    { path: "src/core/x.ts", text: "/** Implements docs/formats/none.md. */" },
  ],
];

test("there is source code to check", () => {
  expect(code.length).toBeGreaterThan(10);
});

for (const [name, rule, files, broken] of RULES) {
  describe(name, () => {
    test("holds", () => expect(files.flatMap(rule)).toEqual([]));
    test("finds a planted mistake", () => expect(rule(broken)).toHaveLength(1));
  });
}

describe("the checks themselves", () => {
  test("imports are found in every form", () => {
    const text = [
      'import type { A } from "./a.ts";',
      'import {\n  b,\n  type C,\n} from "./b.ts";',
      'import "./c.ts";',
      'export { d } from "./d.ts";',
      'const e = await import("./e.ts");',
      'import f from "./f.json" with { type: "json" };',
      "export const from = b(d, e, f);",
    ].join("\n");
    const names = importsOf({ path: "src/core/x.ts", text }).sort();
    expect(names).toEqual(["./a.ts", "./b.ts", "./c.ts", "./d.ts", "./e.ts", "./f.json"]);
  });

  test("a file outside src is not imported, but for data", () => {
    const of = (name: string) => checkOrder({ path: "src/cli/x.ts", text: `import "${name}";` });
    expect(of("../../tests/support/needs.ts")).toHaveLength(1);
    expect(of("../../package.json")).toEqual([]);
    expect(of("../main.ts")).toHaveLength(1);
  });

  test("comments are no code", () => {
    expect(checkPurity({ path: "src/core/x.ts", text: "// unlike Date.now()\n/* process.env */" })).toEqual(
      [],
    );
  });

  test("a date that is made from a value is pure", () => {
    const of = (text: string) => checkPurity({ path: "src/core/x.ts", text });
    expect(of("export const d = (ms: number): Date => new Date(ms);")).toEqual([]);
    expect(of("export const d = (): Date => new Date();")).toHaveLength(1);
  });
});
