import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteString } from "../../src/core/bytestring.ts";
import { fromBytes, fromText } from "../../src/core/bytestring.ts";
import { encodeParagraph, parseDeb822, parseOneParagraph } from "../../src/formats/dpkg/deb822.ts";
import { parseFileList } from "../../src/formats/dpkg/lists.ts";
import { mergeConffiles, replaceStanza } from "../../src/formats/dpkg/stanza.ts";
import { type Conffile, encodeStatus, parseStatus } from "../../src/formats/dpkg/status.ts";
import { run } from "../../src/sys/process.ts";
import { patience } from "../support/slowness.ts";

let scratch = "";
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "atomfs-dpkg-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function makeRoot(name: string): string {
  const root = join(scratch, name);
  for (const directory of ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/log"]) {
    mkdirSync(join(root, directory), { recursive: true });
  }
  writeFileSync(join(root, "var/lib/dpkg/status"), "");
  writeFileSync(join(root, "var/lib/dpkg/available"), "");
  return root;
}

async function makeDeb(file: string, control: string, files: Record<string, string> = {}): Promise<string> {
  const tree = join(scratch, `${file}.tree`);
  mkdirSync(join(tree, "DEBIAN"), { recursive: true });
  writeFileSync(join(tree, "DEBIAN/control"), Buffer.from(control, "latin1"));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(tree, path, ".."), { recursive: true });
    writeFileSync(join(tree, path), text);
  }
  const deb = join(scratch, `${file}.deb`);
  await run(["dpkg-deb", "--root-owner-group", "--nocheck", "-Znone", "-b", tree, deb]);
  rmSync(tree, { recursive: true });
  return deb;
}

async function dpkg(root: string, ...args: string[]): Promise<void> {
  await run(["dpkg", `--root=${root}`, "--force-all", "--no-triggers", ...args], { okCodes: [0, 1] });
}

function statusOf(root: string): Buffer {
  return readFileSync(join(root, "var/lib/dpkg/status"));
}

test("the machine's own status file re-encodes to the same bytes", () => {
  const bytes = readFileSync("/var/lib/dpkg/status");
  const records = parseStatus(bytes);
  expect(records.length).toBeGreaterThan(100);
  expect(encodeStatus(records)).toBe(fromBytes(bytes));
});

/** Hand-made control files that try every rule by which dpkg rewrites what it reads. */
const ODD_CONTROLS: readonly string[] = [
  "package: odd-case\nVERSION: 0:1.0-0\narchitecture: all\nMaintainer: A <a@b>\nDescription: x\n",
  "Package: odd-deps\nVersion: 1\nArchitecture: all\nMaintainer: A <a@b>\nDescription: x\n y\n .\n z\nDepends: a(>=1) |B ( << 0:2-1 ),c:any(=  3),\n d (> 1), e (< 2), f (4)\nConflicts: q\nBreaks: r, s\nEnhances: t\nProvides: u (= 1)\n",
  "Package: odd-fields\nX-Last: 1\nHomepage:   http://x/  \nVersion: 2:1:2-3\nDescription:   spaced  \nBuilt-Using: g (= 1)\nArchitecture: amd64\nMulti-Arch: SAME\nEssential: YES\nProtected: no\nMaintainer: \u00c3\u00a0\nSource: src (9)\nPriority: Extra\nSection: libs\nOrigin: O\nBugs: B\nInstalled-Size: 5\nTag: a,\n b\n",
  "Package: odd-no\nEssential: no\nMulti-Arch: no\nVersion: 1-0\nArchitecture: all\nMaintainer: x\nPriority: weird\nRecommends: a\nSuggests: b\nPre-Depends: c\nReplaces: d\nDescription:\n only long\n",
  "Package: odd-names\nVersion: 1.0-1\nArchitecture: all\nMaintainer: x\nDescription: x\nRecommended: a\nOptional: b\nClass: optional\nempty-field:\nLast: y\n",
  "Package: odd-archive\nVersion: 1.0\nArchitecture: all\nMaintainer: x\nFilename: f\nSize: 3\nMD5sum: 00\nSHA256: 11\nDescription-md5: 22\nDescription: x\n",
];

/** The paragraphs of the newest index that apt has on this machine, with what the index adds taken out. */
async function indexedControls(count: number): Promise<string[]> {
  const lists = "/var/lib/apt/lists";
  const name = readdirSync(lists).find((each) => /_bookworm_main_binary-.*_Packages/.test(each));
  if (name === undefined) return [];
  const { stdout } = await run(["/usr/lib/apt/apt-helper", "cat-file", join(lists, name)]);
  const all = parseDeb822(stdout);
  const step = Math.max(1, Math.floor(all.length / count));
  const added = /^(Filename|Size|MD5sum|SHA256|Description-md5)$/;
  return all
    .filter((_, index) => index % step === 0)
    .map((each) => encodeParagraph({ fields: each.fields.filter((field) => !added.test(field.name)) }));
}

test(
  "a stanza is what dpkg writes after it unpacked the package, for odd and for real control files",
  async () => {
    const root = makeRoot("unpack");
    const real = await indexedControls(300);
    const controls = [...ODD_CONTROLS, ...real];
    const debs: string[] = [];
    for (const [index, control] of controls.entries()) debs.push(await makeDeb(`c${index}`, control));
    await dpkg(root, "--unpack", ...debs);
    const written = new Map(parseStatus(statusOf(root)).map((each) => [each.package as string, each]));
    const compared = new Set<string>();
    for (const control of controls) {
      const stanza = replaceStanza(undefined, {
        control: parseOneParagraph(Buffer.from(control, "latin1")),
        conffiles: [],
        status: { want: "install", flag: "ok", state: "unpacked" },
      });
      const theirs = written.get(stanza.package.toLowerCase());
      if (theirs === undefined) continue;
      expect(encodeStatus([stanza])).toBe(encodeStatus([theirs]));
      compared.add(control);
    }
    expect(ODD_CONTROLS.filter((control) => !compared.has(control))).toEqual([]);
    // Packages that dpkg refuses beside others (a conflict, another architecture) have no stanza.
    expect(compared.size).toBeGreaterThanOrEqual(ODD_CONTROLS.length + Math.floor(real.length * 0.95));
  },
  { timeout: patience(300_000) },
);

test("an upgrade keeps section, priority and obsolete conffiles as dpkg does", async () => {
  const root = makeRoot("upgrade");
  const control = (version: string, more: string): string =>
    `Package: conf\nVersion: ${version}\nArchitecture: all\nMaintainer: x\nDescription: x\n${more}`;
  const old = await makeDeb(
    "conf1",
    control("1", "Section: libs\nPriority: optional\nHomepage: h\nEssential: yes\n"),
    {
      "DEBIAN/conffiles": "/etc/a\n/etc/b\n/etc/c\n/etc/gone\n/etc/kept\n",
      "etc/a": "a1\n",
      "etc/b": "b1\n",
      "etc/c": "c1\n",
      "etc/gone": "gone\n",
      "etc/kept": "kept\n",
    },
  );
  await dpkg(root, "-i", old);
  rmSync(join(root, "etc/gone"));
  const [before] = parseStatus(statusOf(root));
  const list = parseFileList(readFileSync(join(root, "var/lib/dpkg/info/conf.list")));
  const nextControl = control("2", "");
  const next = await makeDeb("conf2", nextControl, {
    "DEBIAN/conffiles": "/etc/d\n/etc/a\n",
    "etc/a": "a2\n",
    "etc/d": "d2\n",
  });
  await dpkg(root, "-i", next);
  const shipped = (path: string, text: string): Conffile => ({
    path: fromText(path),
    md5: fromText(new Bun.CryptoHasher("md5").update(text).digest("hex")),
    obsolete: false,
    removeOnUpgrade: false,
  });
  const isOnDisk = (path: ByteString): boolean => path !== "/etc/gone";
  const stanza = replaceStanza(before, {
    control: parseOneParagraph(fromText(nextControl)),
    conffiles: mergeConffiles(
      before?.conffiles ?? [],
      [shipped("/etc/d", "d2\n"), shipped("/etc/a", "a2\n")],
      list,
      isOnDisk,
    ),
    status: { want: "install", flag: "ok", state: "installed" },
  });
  expect(encodeStatus([stanza])).toBe(fromBytes(statusOf(root)));
});
