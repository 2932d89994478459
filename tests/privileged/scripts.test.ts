import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { type ByteString, displayText } from "../../src/core/bytestring.ts";
import { sameInode, type Tree } from "../../src/core/tree.ts";
import { type ScriptProblem, scriptProblems, type UpgradeScript } from "../../src/fixing/scripts.ts";
import { parseStatus } from "../../src/formats/dpkg/status.ts";
import { run } from "../../src/sys/process.ts";
import { copyRootfs } from "../support/debian-rootfs.ts";
import { loadDirectory } from "../support/load-directory.ts";
import { patience } from "../support/slowness.ts";

const INFO = "/var/lib/dpkg/info";
const PHASES = {
  preinst: "new preinst",
  prerm: "old prerm",
  postinst: "new postinst",
  postrm: "old postrm",
} as const;

type Kind = keyof typeof PHASES;

let work: string;
let root: string;

beforeAll(async () => {
  work = mkdtempSync(`${tmpdir()}/atomfs-scripts-`);
  root = `${work}/root`;
  await copyRootfs(root);
}, patience(600_000));

afterAll(() => rmSync(work, { recursive: true, force: true }), 120_000);

function problemsOf(file: string, oldVersion: string, newVersion: string, tree: Tree): ScriptProblem[] {
  const kind = kindOf(file);
  const script: UpgradeScript = {
    phase: PHASES[kind],
    name: file,
    text: readFileSync(`${root}${INFO}/${file}`),
  };
  return scriptProblems({
    packageName: packageOf(file),
    scripts: [script],
    oldVersion: oldVersion as ByteString,
    newVersion: newVersion as ByteString,
    before: tree,
    after: tree,
  });
}

function kindOf(file: string): Kind {
  return file.slice(file.lastIndexOf(".") + 1) as Kind;
}

function packageOf(file: string): string {
  return file.slice(0, file.lastIndexOf(".")).replace(/:.*$/, "");
}

function upgradeArguments(kind: Kind, oldVersion: string, newVersion: string): string[] {
  if (kind === "postinst") return ["configure", oldVersion];
  return kind === "preinst" ? ["upgrade", oldVersion, newVersion] : ["upgrade", newVersion];
}

/** Runs a script as dpkg does on an upgrade. */
async function runScript(file: string, oldVersion: string, newVersion: string): Promise<number> {
  const kind = kindOf(file);
  const { code } = await run(
    ["chroot", root, `${INFO}/${file}`, ...upgradeArguments(kind, oldVersion, newVersion)],
    {
      env: {
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        DPKG_ROOT: "",
        DPKG_MAINTSCRIPT_NAME: kind,
        DPKG_MAINTSCRIPT_PACKAGE: packageOf(file),
        DPKG_MAINTSCRIPT_ARCH: "amd64",
        DPKG_RUNNING_VERSION: "1.21.22",
        DEBIAN_FRONTEND: "noninteractive",
      },
      okCodes: Array.from({ length: 256 }, (_, n) => n),
    },
  );
  return code;
}

/** What ldconfig writes: AtomFS makes the cache itself, and a new file with the same content is no change. */
function isLibraryCache(path: string): boolean {
  return /^\/(etc|etc\/ld\.so\.cache|var\/cache\/ldconfig(\/aux-cache)?)$/.test(path);
}

function differences(before: Tree, after: Tree): string[] {
  const paths = new Set([...before.keys(), ...after.keys()]);
  return [...paths]
    .filter((path) => {
      const [a, b] = [before.get(path), after.get(path)];
      if (a === undefined || b === undefined) return !isLibraryCache(path);
      if (path === "/var/cache/ldconfig/aux-cache") return false;
      return !sameInode(a, b, { mtime: !isLibraryCache(path) });
    })
    .map(displayText);
}

const scriptsOf = (): string[] =>
  readdirSync(`${root}${INFO}`)
    .filter((name) => /\.(pre|post)(inst|rm)$/.test(name))
    .sort();

test("the comparison sees a new file, another time and another mode", async () => {
  const before = loadDirectory(root).tree;
  await run(["chroot", root, "touch", "/etc/hostname", "/srv/found"]);
  await run(["chroot", root, "chmod", "0700", "/opt"]);
  const changed = differences(before, loadDirectory(root).tree);
  expect(changed.sort()).toEqual(expect.arrayContaining(["/etc/hostname", "/opt", "/srv", "/srv/found"]));
});

test(
  "scripts that are called harmless change no file when they run",
  async () => {
    const versions = new Map(
      parseStatus(readFileSync(`${root}/var/lib/dpkg/status`)).map((record): [string, string] => [
        record.package,
        record.version,
      ]),
    );
    let tree = loadDirectory(root).tree;
    const harmless: string[] = [];
    const wrong: Record<string, unknown> = {};
    for (const file of scriptsOf()) {
      const old = versions.get(packageOf(file));
      if (old === undefined) throw new Error(`${file} belongs to no package`);
      const next = `${old}+fix1`;
      if (problemsOf(file, old, next, tree).length > 0) continue;
      harmless.push(file);
      const code = await runScript(file, old, next);
      const after = loadDirectory(root).tree;
      const changed = differences(tree, after);
      if (code !== 0 || changed.length > 0) wrong[file] = { code, changed };
      tree = after;
    }
    expect(wrong).toEqual({});
    // Of the 78 scripts of a minimal Debian 12; fewer would mean that the evaluation has become useless.
    expect(harmless.length).toBeGreaterThan(40);
  },
  patience(600_000),
);
