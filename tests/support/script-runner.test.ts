import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { parseScript, runScript } from "./script-runner.ts";

describe("a script fails", () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["if a program fails", "exec true\nexec false", /^line 2: exec false\nexit code 1/],
    ["if a program succeeds that must not", "! exec true", /exit code 0/],
    ["if a program is not there", "exec no-such-program", /no program no-such-program/],
    ["if a program is not there that must fail", "! exec no-such-program", /no program/],
    ["if a program crashes that must fail", "! exec sh -c 'kill -SEGV $$'", /ended by SIGSEGV/],
    ["if the exit code is another one", "! exec sh -c 'exit 4'\nexit 3", /exit code 4/],
    ["if stdout does not match", "exec echo a\nstdout b", /stdout does not match b/],
    ["if stdout matches", "exec echo a\n! stdout a", /stdout matches a/],
    ["if stderr is not empty", "exec sh -c 'echo a >&2'\n! stderr", /stderr is not empty/],
    ["if output is asked for too early", "stdout a", /no exec came before/],
    ["if a path is absent", "exists a", /a is not there/],
    ["if a path is there", "! exists a\n-- a --\n", /a is there/],
    ["if files differ", "cmp a b\n-- a --\nx\ny\n-- b --\nx\nz\n", /line 2: "y" and "z"/],
    ["if files are equal", "! cmp a b\n-- a --\n-- b --\n", /they are equal/],
    ["if a JSON value is another one", "exec echo '{\"a\":[1]}'\njson a.0 == 2", /a\.0 is 1/],
    ["if a JSON value is absent", "exec echo '{}'\njson a", /a is not there/],
    ["if stdout is no JSON", "exec echo '{'\njson . == 1", /JSON/],
    ["for an unknown command", "frobnicate", /no command frobnicate/],
    ["for a meaningless negation", "! env A=b", /no meaning/],
    ["for a missing argument", "exec true\nexit", /takes 1 argument/],
    ["for a quote without end", "exec 'a", /no end/],
    ["without any command", "# nothing\n", /no command/],
    ["for a file outside its directory", "exec true\n-- ../a --\n", /outside/],
  ];
  for (const [name, script, message] of cases) {
    test(name, async () => {
      const error = await runScript(script).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(Error);
      expect((error as Error).message).toMatch(message);
    });
  }
});

test("quotes, variables and joined words", async () => {
  await runScript(
    [
      "env A=x",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the script's own variables
      "exec printf '%s|' $A '$A' a'b c'd ${A}y 'it''s' ''",
      "stdout '^x\\|\\$A\\|ab cd\\|xy\\|it''s\\|\\|$'",
    ].join("\n"),
  );
});

test("a program left behind does not hold up the script", async () => {
  await runScript("exec sh -c 'sleep 300 & echo $! >pid'\nexec sh -c 'kill $(cat pid)'");
});

test("the directory is removed after a failure", async () => {
  const error = await runScript("exec pwd\nstdout nothing-like-it").catch((reason: unknown) => reason);
  const directory = /\[stdout\]\n(\S+)/.exec((error as Error).message)?.[1] ?? "";
  expect(directory).toStartWith("/var/tmp/atomfs-script-");
  expect(existsSync(directory)).toBe(false);
});

test("sections keep their bytes", () => {
  const { files, commands } = parseScript("exec true\n-- a b --\n\n# not a comment\n-- c --\n");
  expect([...files]).toEqual([
    ["a b", "\n# not a comment\n"],
    ["c", ""],
  ]);
  expect(commands).toHaveLength(1);
});
