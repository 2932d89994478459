import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { type ByteString, treePath } from "../../src/core/bytestring.ts";
import { DEFAULT_ROOT, EMPTY_XATTRS, type Inode, type MutableTree } from "../../src/core/tree.ts";
import { scriptProblems } from "../../src/fixing/scripts.ts";
import { compareAsDpkg } from "../../src/fixing/shell/dpkg-commands.ts";
import { ImagePaths } from "../../src/fixing/shell/image-paths.ts";
import { evaluateTest } from "../../src/fixing/shell/test-command.ts";
import { run } from "../../src/sys/process.ts";

async function exitCode(argv: readonly [string, ...string[]]): Promise<number> {
  return (await run(argv, { okCodes: Array.from({ length: 256 }, (_, n) => n) })).code;
}

describe("dpkg --compare-versions", () => {
  const versions = ["", "1.0", "1.0-1", "1.0~rc1", "1:0.5", "2.0+b1"];
  const operators = "lt le eq ne ge gt lt-nl le-nl ge-nl gt-nl << <= = >= >> < >".split(" ");
  test("gives the same answers", async () => {
    for (const operator of operators) {
      for (const a of versions) {
        for (const b of versions) {
          const expected = (await exitCode(["dpkg", "--compare-versions", a, operator, b])) === 0;
          expect([a, operator, b, compareAsDpkg(a, operator, b)]).toEqual([a, operator, b, expected]);
        }
      }
    }
  }, 120_000);
});

describe("test", () => {
  const directory = mkdtempSync(`${tmpdir()}/atomfs-shell-`);
  const tree: MutableTree = new Map();
  const file: Inode = {
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: { sec: 0, nsec: 0 },
    xattrs: EMPTY_XATTRS,
    content: { kind: "inline", bytes: "x" as ByteString },
  };
  const words = fc.constantFrom(
    ..."! ( ) -a -o = != -n -z -e -f -d -L -h -x -s -eq -gt 1 2 x y".split(" "),
    "",
    `${directory}/file`,
    `${directory}/program`,
    `${directory}/dir`,
    `${directory}/dangling`,
    `${directory}/gone`,
  );

  test("is the shell's wherever it gives an answer", async () => {
    try {
      for (let at = directory; at !== ""; at = at.slice(0, at.lastIndexOf("/")))
        tree.set(treePath(at), DEFAULT_ROOT);
      tree.set(treePath("/"), DEFAULT_ROOT);
      mkdirSync(`${directory}/dir`);
      writeFileSync(`${directory}/file`, "x");
      writeFileSync(`${directory}/program`, "x", { mode: 0o755 });
      symlinkSync("nowhere", `${directory}/dangling`);
      tree.set(treePath(`${directory}/dir`), DEFAULT_ROOT);
      tree.set(treePath(`${directory}/file`), file);
      tree.set(treePath(`${directory}/program`), { ...file, mode: 0o755 });
      const link: Inode = { ...DEFAULT_ROOT, type: "symlink", target: "nowhere" as ByteString };
      tree.set(treePath(`${directory}/dangling`), link);
      const paths = new ImagePaths([tree]);
      const cases = fc.sample(fc.array(words, { maxLength: 7 }), { numRuns: 20_000, seed: 7 });
      const known = cases
        .map((values) => ({ values, answer: evaluateTest({ values, isOpen: false }, paths) }))
        .filter(({ answer }) => answer !== undefined);
      expect(known.length).toBeGreaterThan(500);
      for (const shell of ["dash", "bash"]) {
        const quoted = known.map(({ values }) => values.map((value) => `'${value}'`).join(" "));
        const script = quoted
          .map((line) => `if test ${line}; then echo true; else echo false; fi`)
          .join("\n");
        const { stdout } = await run([shell, "-s"], { stdin: Buffer.from(script) });
        const answers = stdout.toString().trim().split("\n");
        const wrong = known.filter(({ answer }, index) => String(answer) !== answers[index]);
        expect(wrong.map(({ values, answer }) => [shell, values.join(" "), answer])).toEqual([]);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe("expansions, cases and functions", () => {
  /* biome-ignore-start lint/suspicious/noTemplateCurlyInString: these are the shell's own */
  const lines = [
    'x="a  b"; set -- $x "$x"; v="$#:$1:$3"',
    'v="${1:-none}:${9:-none}:${9-unset}:${1:+set}:${9:+set}"',
    'v=${2%-1}; v="$v:${2#2.}:${2%nothing}"',
    'f() { v="$#:$1"; }; f "$@" ""; v="$v:$1"',
    'case "$2" in 2.*-?) v=glob;; *) v=other;; esac',
    'case "*" in \\*) v=star;; esac; case "a*b" in "a*"*) v="$v:quoted";; esac',
    'f() { local v=inner; g; }; g() { w=$v; }; v=outer; f; v="$w"',
    'for i in a b c; do case $i in b) continue;; esac; v="$v$i"; done',
    'shift; v="$#:$1"; set -- x y; v="$v:$#:$*"',
    'true && false || v=or; false || true && v="$v:and"',
    'v=$(echo "a b"):`echo c`',
    'v=\'single $x\'\\""double \\$x"',
    'if ! [ "$1" = configure ]; then v=no; elif [ -n "$2" ]; then v=elif; else v=else; fi',
    'while [ "$1" != 2.0-1 ]; do shift; done; v="$1"',
    "{ v=group; }; ( v=subshell ); true | v=pipe",
    'false; v=a; f() { false; return; }; f || v="$v:returned"',
  ];
  /* biome-ignore-end lint/suspicious/noTemplateCurlyInString: as above */
  test.each(lines)("%s", async (line) => {
    const body = `v=; set +e\n${line}\n`;
    const { stdout } = await run(["dash", "-c", `${body}printf %s "$v"`, "sh", "configure", "2.0-1"]);
    const value = stdout.toString().replaceAll("'", "'\\''");
    const problems = (expected: string): string[] =>
      scriptProblems({
        packageName: "demo",
        scripts: [
          {
            phase: "new postinst",
            name: "postinst",
            text: Buffer.from(`#!/bin/sh\n${body}if [ "$v" != '${expected}' ]; then touch /differs; fi\n`),
          },
        ],
        oldVersion: "2.0-1" as ByteString,
        newVersion: "2.0-2" as ByteString,
        before: new Map([[treePath("/"), DEFAULT_ROOT]]),
        after: new Map([[treePath("/"), DEFAULT_ROOT]]),
      }).map((problem) => problem.command);
    expect(problems(`${value}!`)).toEqual(["touch /differs"]);
    // Unknown would be sound as well, but then the line tests nothing.
    expect(problems(value)).toEqual([]);
  });
});
