import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { type ByteString, treePath } from "../core/bytestring.ts";
import { DEFAULT_ROOT, EMPTY_XATTRS, type Inode, type MutableTree, type Tree } from "../core/tree.ts";
import { type ScriptProblem, scriptProblems, type UpgradeScript } from "./scripts.ts";

const DIRECTORY: Inode = DEFAULT_ROOT;

function link(target: string): Inode {
  return { ...DEFAULT_ROOT, type: "symlink", target: target as ByteString, mode: 0o777 };
}

function file(mode: number): Inode {
  return {
    type: "file",
    mode,
    uid: 0,
    gid: 0,
    mtime: { sec: 0, nsec: 0 },
    xattrs: EMPTY_XATTRS,
    content: { kind: "inline", bytes: "x" as ByteString },
  };
}

/** An image as a merged-/usr Debian: /bin and /sbin are links, a few programs. */
function image(extra: Readonly<Record<string, Inode>> = {}): Tree {
  const tree: MutableTree = new Map();
  const all: Record<string, Inode> = {
    "/": DIRECTORY,
    "/bin": link("usr/bin"),
    "/sbin": link("usr/sbin"),
    "/usr/bin/which": file(0o755),
    "/usr/bin/py3clean": file(0o755),
    "/usr/bin/py3compile": file(0o755),
    "/etc/ssl": DIRECTORY,
    "/etc/app.conf": file(0o644),
    "/usr/lib/ssl": link("/etc/ssl"),
    "/run": DIRECTORY,
    ...extra,
  };
  for (const [path, inode] of Object.entries(all)) {
    const names = path.split("/").slice(1, -1);
    for (const [index] of names.entries()) {
      const parent = treePath(`/${names.slice(0, index + 1).join("/")}`);
      if (!tree.has(parent)) tree.set(parent, DIRECTORY);
    }
    tree.set(treePath(path), inode);
  }
  return tree;
}

function problemsOf(
  phase: UpgradeScript["phase"],
  text: string,
  trees: { before?: Tree; after?: Tree; old?: string; new?: string } = {},
): ScriptProblem[] {
  const before = trees.before ?? image();
  return scriptProblems({
    packageName: "demo",
    scripts: [{ phase, name: phase, text: Buffer.from(text) }],
    oldVersion: (trees.old ?? "2.0-1") as ByteString,
    newVersion: (trees.new ?? "2.0-2") as ByteString,
    before,
    after: trees.after ?? before,
  });
}

function commandsOf(phase: UpgradeScript["phase"], body: string): string[] {
  return problemsOf(phase, `#!/bin/sh\nset -e\n${body}\n`).map((problem) => problem.command);
}

describe("scripts that change nothing on an upgrade", () => {
  const cases: [UpgradeScript["phase"], string, string][] = [
    [
      "new postinst",
      "nothing but a case over the action",
      'case "$1" in\n configure) ;;\n abort-*) ;;\n *) exit 1;;\nesac\nexit 0',
    ],
    [
      "new postinst",
      "a part for first installs only",
      'if [ "$1" = configure ] && [ -z "$2" ]; then\n  adduser --system demo\nfi',
    ],
    [
      "new postinst",
      "a part for versions of long ago",
      'if dpkg --compare-versions "$2" lt-nl 1.4~rc1; then\n  mv /a /b\nfi',
    ],
    [
      "new postinst",
      "a link that is there",
      "if [ ! -e /usr/lib/ssl ]\nthen\n ln -sf /etc/ssl /usr/lib/ssl\nfi",
    ],
    [
      "new postinst",
      "the old condition with -a",
      `if [ "$1" = 'configure' -a ! -e "$DPKG_ROOT/usr/bin/which" ]; then ln -s a b; fi`,
    ],
    [
      "new postinst",
      "systemd's part without systemd",
      "if [ -d /run/systemd/system ]; then\n systemctl --system daemon-reload >/dev/null || true\nfi",
    ],
    [
      "new postinst",
      "the library cache",
      'if [ "$1" = triggered ] || [ "$1" = "configure" ]; then ldconfig -r "$DPKG_ROOT/" || ldconfig --verbose -r "$DPKG_ROOT/"; exit 0; fi\nrm /etc/app.conf',
    ],
    [
      "new postinst",
      "a tool that isn't installed",
      'if [ "$1" = "configure" ] && [ -x "`command -v update-menus`" ]; then\n update-menus\nfi',
    ],
    [
      "new postinst",
      "a tool that isn't installed, by which",
      "if which pypy3compile >/dev/null 2>&1; then\n\tpypy3compile -p demo\nfi",
    ],
    [
      "old prerm",
      "a part for removal",
      'if [ "$1" = remove ]; then\n update-alternatives --remove demo /usr/bin/demo\nfi',
    ],
    ["old prerm", "an early end", 'test "$1" = upgrade && exit 0\nrm -rf /var/lib/demo'],
    [
      "old postrm",
      "a part for purging",
      'if [ "$1" = purge ] && [ -e /usr/share/debconf/confmodule ]; then\n . /usr/share/debconf/confmodule\n db_purge\nfi',
    ],
    ["old postrm", "a file that isn't there", 'rm -f /var/cache/demo.cache "$DPKG_ROOT/var/cache/other"'],
    [
      "new preinst",
      "the helper, versions of long ago",
      'dpkg-maintscript-helper symlink_to_dir /usr/share/doc/demo ../other 1.0-1\\~ demo -- "$@"',
    ],
    [
      "new preinst",
      "the helper, a file that isn't there",
      'dpkg-maintscript-helper rm_conffile /etc/gone.conf 9.0 -- "$@"',
    ],
    [
      "old prerm",
      "the helper, which does nothing here",
      'dpkg-maintscript-helper rm_conffile /etc/app.conf 9.0 -- "$@"',
    ],
    [
      "new postinst",
      "functions, local variables, loops",
      'check() {\n local file=$1\n [ -e "$file" ] && return 1\n return 0\n}\nfor f in /gone1 /gone2; do\n if ! check $f; then rm $f; fi\ndone',
    ],
    [
      "new postinst",
      "a mode for a tty, both ways harmless",
      'if [ "$DEBUG" ]; then echo on >&2; else echo off; fi',
    ],
    [
      "new postinst",
      "reading into a pipe",
      'cat /etc/app.conf | while read -r line; do echo "$line"; done || true',
    ],
  ];
  test.each(cases)("%s: %s", (phase, _what, body) => {
    expect(problemsOf(phase, `#!/bin/sh\nset -e\n${body}\n`)).toEqual([]);
  });
});

describe("scripts that would change something", () => {
  const cases: [UpgradeScript["phase"], string, string[]][] = [
    [
      "new postinst",
      "update-alternatives --install /usr/bin/x x /usr/bin/demo 50",
      ["update-alternatives --install /usr/bin/x x /usr/bin/demo 50"],
    ],
    ["new postinst", 'if [ "$1" = configure ]; then py3compile -p demo; fi', ["py3compile -p demo"]],
    [
      "new postinst",
      "deb-systemd-helper unmask demo.service >/dev/null || true",
      ["deb-systemd-helper unmask demo.service >/dev/null"],
    ],
    ["new postinst", ". /usr/share/debconf/confmodule", [". /usr/share/debconf/confmodule"]],
    ["new postinst", 'if [ "$FOO" = x ]; then chown demo /srv; fi', ["chown demo /srv"]],
    ["new postinst", "echo text > /etc/demo", ["echo text > /etc/demo"]],
    ["new postinst", "rm -f /etc/app.conf", ["rm -f /etc/app.conf"]],
    ["new postinst", "rm -f /etc/*.conf", ["rm -f /etc/*.conf"]],
    ["new postinst", "x=$(touch /a)", ["touch /a"]],
    ["new postinst", 'echo "`touch /a`"', ["touch /a"]],
    ["new postinst", 'f() { touch "$1"; }\nf /a', ['touch "$1"']],
    ["new postinst", "true | (touch /a)", ["touch /a"]],
    ["new postinst", "while read -r f; do touch $f; done </etc/app.conf || :", ["touch $f"]],
    ["new postinst", "$CMD /a", ["$CMD /a"]],
    ["new postinst", "eval touch /a", ["eval touch /a"]],
    ["new postinst", "exit 1", ["exit 1"]],
    ["new postinst", "[ -e /gone ]", ["[ -e /gone ]"]],
    ["new postinst", "PATH=/opt/bin:$PATH", ["PATH=/opt/bin:$PATH"]],
    ["new postinst", "trap 'rm -f /etc/app.conf' EXIT", ["trap 'rm -f /etc/app.conf' EXIT"]],
    ["old prerm", "if which py3clean >/dev/null 2>&1; then py3clean -p demo; fi", ["py3clean -p demo"]],
    [
      "new preinst",
      'dpkg-maintscript-helper rm_conffile /etc/app.conf 2.0-1 -- "$@"',
      ['dpkg-maintscript-helper rm_conffile /etc/app.conf 2.0-1 -- "$@"'],
    ],
    [
      "new preinst",
      'dpkg-maintscript-helper dir_to_symlink /etc/ssl ../x 3.0 -- "$@"',
      ['dpkg-maintscript-helper dir_to_symlink /etc/ssl ../x 3.0 -- "$@"'],
    ],
    ["new preinst", 'if dpkg --compare-versions "$2" lt 2.0-2; then mv /a /b; fi', ["mv /a /b"]],
  ];
  test.each(cases)("%s: %s", (phase, body, commands) => {
    expect(commandsOf(phase, body)).toEqual(commands);
  });

  test("a problem names script, line, command and reason", () => {
    expect(problemsOf("new postinst", "#!/bin/sh\n\nupdate-alternatives \\\n  --install a b c 1\n")).toEqual([
      {
        script: "new postinst",
        line: 3,
        command: "update-alternatives --install a b c 1",
        reason: "changes the links under /etc/alternatives",
      },
    ]);
  });

  test("the helper's postinst part for links looks at leftovers, not at versions", () => {
    const script = '#!/bin/sh\ndpkg-maintscript-helper symlink_to_dir /usr/share/doc/demo x 1.0 -- "$@"\n';
    expect(problemsOf("new postinst", script)).toEqual([]);
    const before = image({ "/usr/share/doc/demo.dpkg-backup": link("x") });
    expect(problemsOf("new postinst", script, { before })).toHaveLength(1);
  });
});

describe("scripts that aren't understood", () => {
  test.each([
    ["#!/usr/bin/perl\nprint 1;\n"],
    ["#!/bin/bash\n[[ $1 == configure ]] && touch /a\n"],
    ["#!/bin/bash\nlist=(a b)\n"],
    ["#!/bin/sh\ncat <<EOF\nx\nEOF\n"],
    ["#!/bin/sh\nsleep 1 &\n"],
    ["#!/bin/sh\nif true; then\n"],
    ["#!/bin/sh\necho 'never closed\n"],
    ["#!/bin/sh -x\n"],
    [""],
    [`#!/bin/sh\n${"(".repeat(60)}true${")".repeat(60)}\n`],
    [`#!/bin/sh\n${"true\n".repeat(60_000)}`],
  ])("%p", (text) => {
    expect(problemsOf("new postinst", text)).toHaveLength(1);
  });

  test("calls that double at each level end", () => {
    const levels = Array.from({ length: 18 }, (_, n) => `f${n + 1}() { f${n}; f${n}; }`);
    const problems = problemsOf("new postinst", `#!/bin/sh\nf0() { :; }\n${levels.join("\n")}\nf18\n`);
    expect(problems[0]?.reason).toContain("too complex");
  });

  test("values that double end", () => {
    expect(problemsOf("new postinst", `#!/bin/sh\nx=ab\n${"x=$x$x\n".repeat(5000)}`)).toEqual([]);
  });
});

describe("properties", () => {
  const words = fc.constantFrom(
    ...'if then else elif fi case in esac for do done while { } ( ) ! && || ; ;; | & $ $( ` " \' \\ \n # < > >& 2>&1 << [ ] = -e /a $1 "$@" x=1 f() set -e exit 0 return break local echo rm touch *'.split(
      " ",
    ),
    "\n",
    " ",
    `$${"{x:-y}"}`,
  );
  test("no text makes the evaluation throw", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 9, arbitrary: words }, fc.string()), { maxLength: 60 }),
        (parts) => {
          problemsOf("new postinst", `#!/bin/sh\n${parts.join(" ")}`);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("a command that changes files is never overlooked where it is certain to run", () => {
    const harmless = fc.constantFrom(
      "true",
      'if [ "$1" = configure ]; then :; fi',
      "case $2 in 1*) exit 3;; esac",
      "x=$(command -v nothing) || true",
      "for i in a b; do continue; done",
      "while false; do :; done",
      'g() { local a="$1"; return 0; }; g "$@"',
      '[ -n "$HOME" ] || echo none',
    );
    fc.assert(
      fc.property(fc.array(harmless, { maxLength: 6 }), fc.array(harmless, { maxLength: 6 }), (a, b) => {
        const commands = commandsOf("new postinst", [...a, "touch /found", ...b].join("\n"));
        expect(commands).toEqual(["touch /found"]);
      }),
      { numRuns: 200 },
    );
  });
});

describe("this machine's packages", () => {
  const INFO = "/var/lib/dpkg/info";
  const scripts = existsSync(INFO)
    ? readdirSync(INFO).filter((name) => /\.(pre|post)(inst|rm)$/.test(name))
    : [];
  const phases = {
    preinst: "new preinst",
    prerm: "old prerm",
    postinst: "new postinst",
    postrm: "old postrm",
  } as const;

  function problems(name: string, old: string): ScriptProblem[] {
    const kind = name.slice(name.lastIndexOf(".") + 1) as keyof typeof phases;
    const text = readFileSync(`${INFO}/${name}`, "latin1");
    return scriptProblems({
      packageName: name.replace(/(:[a-z0-9-]+)?\.[a-z]+$/, ""),
      scripts: [{ phase: phases[kind], name, text: Buffer.from(text, "latin1") }],
      oldVersion: old as ByteString,
      newVersion: "999:1" as ByteString,
      before: image(),
      after: image(),
    });
  }

  test.skipIf(scripts.length === 0)("every script has an answer", () => {
    for (const name of scripts)
      for (const problem of problems(name, "998:1")) expect(problem.line).toBeGreaterThan(0);
  });

  test.skipIf(!scripts.includes("perl-base.preinst"))("perl-base only looks back at old versions", () => {
    for (const kind of Object.keys(phases)) expect(problems(`perl-base.${kind}`, "998:1")).toEqual([]);
  });

  const python = scripts.filter((name) => /^(libpython3|python3)[.0-9]*-minimal.*\.postinst$/.test(name));
  test.skipIf(python.length === 0)("python3-minimal compiles files", () => {
    for (const name of python) expect(problems(name, "998:1")).not.toEqual([]);
  });
});
