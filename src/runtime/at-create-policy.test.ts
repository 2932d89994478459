import { describe, expect, test } from "bun:test";
import { DEFAULT_POLICY, parseAtCreatePolicy } from "./at-create-policy.ts";

const parse = (text: string): ReturnType<typeof parseAtCreatePolicy> =>
  parseAtCreatePolicy(`[at-create]\n${text}\n`, "/else/where.toml");

describe("the policy at create", () => {
  test("what is not said is the default", () => {
    expect(parseAtCreatePolicy("", "/else/where.toml")).toEqual(DEFAULT_POLICY);
    expect(parse("")).toEqual(DEFAULT_POLICY);
  });

  test("each word", () => {
    expect(parse('unknown = "import"\noutdated = "warn"\non-error = "refuse"\nimport-seconds = 5')).toEqual({
      unknown: "import",
      outdated: "warn",
      onError: "refuse",
      importSeconds: 5,
    });
  });

  test.each([
    ['unknown = "imprt"', /at-create.unknown is "imprt", want "run" or "import" or "refuse"/],
    ['unknwon = "run"', /unknown key at-create.unknwon/],
    ["unknown = true", /at-create.unknown is true/],
    ["import-seconds = 0", /import-seconds is 0, want a whole number from 1 to 3600/],
    ["import-seconds = 1.5", /import-seconds is 1.5/],
    ['import-seconds = "60"', /import-seconds is "60"/],
    ["import-seconds = 4000", /import-seconds is 4000/],
    ['unknown = "run', /^Cannot use \/else\/where.toml: it is not TOML: Unterminated string/],
    ['unknown = "imprt"', /^Cannot use \/else\/where.toml: at-create.unknown/],
  ])("%s is an error, not a default", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  test.each([
    ['[at_create]\non-error = "refuse"', /unknown key at_create, want only the table \[at-create\]/],
    ['on-error = "refuse"', /unknown key on-error/],
    ["[at-create]\n[policy]", /unknown key policy/],
    ["[[unknown]]", /unknown key unknown/],
    ["at-create = []", /at-create is not a table/],
    ['[[at-create]]\non-error = "refuse"', /at-create is not a table/],
    ['at-create = "refuse"', /at-create is not a table/],
  ])("%j is an error: nothing of it would count", (text, message) => {
    expect(() => parseAtCreatePolicy(text, "/else/where.toml")).toThrow(message);
  });
});
