import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { EXIT_CODES } from "../core/errors.ts";
import { run } from "../sys/process.ts";

const REPOSITORY = join(import.meta.dir, "../..");
const text = readFileSync(join(REPOSITORY, "docs/cli.md"), "utf8");

type Verb = { readonly words: readonly string[]; readonly help: string };

async function helpOf(words: readonly string[]): Promise<string> {
  const env = { ...process.env, COLUMNS: "200", NO_COLOR: "1" };
  const { stdout } = await run([process.execPath, join(REPOSITORY, "src/main.ts"), ...words, "--help"], {
    env,
  });
  return stdout.toString();
}

function section(help: string, title: string): string[] {
  return (help.split(`\n${title}:\n`)[1] ?? "").split("\n\n")[0]?.split("\n") ?? [];
}

/** Every verb, those below it included. */
async function verbsBelow(words: readonly string[]): Promise<Verb[]> {
  const help = await helpOf(words);
  const names = section(help, "Commands").flatMap((line) => /^ {2}([a-z-]+)/.exec(line)?.[1] ?? []);
  const below: Verb[] = [];
  for (const name of names.filter((each) => each !== "help"))
    below.push(...(await verbsBelow([...words, name])));
  return [{ words, help }, ...below];
}

const verbs = await verbsBelow([]);

/** From the verb's heading to the next one. */
function documented(words: readonly string[]): string {
  if (words.length === 0) return text;
  const heading = new RegExp(`^##+ atomfs ${words.join(" ")}$`, "m");
  const start = text.search(heading);
  if (start < 0) return "";
  const rest = text.slice(start + 3);
  const end = rest.search(/^##+ /m);
  return end < 0 ? rest : rest.slice(0, end);
}

test("the program has verbs", () => expect(verbs.length).toBeGreaterThan(12));

describe("docs/cli.md", () => {
  test.each(verbs.map((verb) => [verb.words.join(" "), verb] as const))(
    "has `atomfs %s` and its options",
    (_, verb) => {
      const part = documented(verb.words);
      expect(part).not.toBe("");
      const options = section(verb.help, "Options").flatMap((line) =>
        [...line.slice(0, 30).matchAll(/(?<![\w-])--?[a-zA-Z][a-z-]*/g)].map(([option]) => option),
      );
      expect(options).toContain("--help");
      for (const option of options) {
        const where = ["-h", "--help"].includes(option) ? text : part;
        expect(where).toMatch(new RegExp(`\`${option}[\` ]`));
      }
    },
  );

  test("names no verb that the program does not have", () => {
    const headings = [...text.matchAll(/^##+ atomfs (.*)$/gm)].map((match) => match[1] ?? "");
    expect(headings.filter((words) => !verbs.some((verb) => verb.words.join(" ") === words))).toEqual([]);
    expect(headings.length).toBeGreaterThan(10);
  });

  test("has every exit code with its kind, and no other", () => {
    const rows = [...text.matchAll(/^\| (\d+) \| `([a-z-]+)` \|/gm)].map(([, code, kind]) => [
      kind,
      Number(code),
    ]);
    expect(rows).toEqual(Object.entries(EXIT_CODES));
  });

  test("has every variable of the environment that the program reads", () => {
    const sources = ["src/main.ts", ...new Bun.Glob("src/cli/*.ts").scanSync({ cwd: REPOSITORY })]
      .filter((path) => !path.endsWith(".test.ts"))
      .map((path) => readFileSync(join(REPOSITORY, path), "utf8"));
    const names = new Set(
      sources.flatMap((source) => [...source.matchAll(/"(ATOMFS_[A-Z_]+)"/g)].map((match) => match[1])),
    );
    expect(names.size).toBeGreaterThan(1);
    for (const name of names) expect(text).toContain(`| \`${name}\` |`);
  });
});
