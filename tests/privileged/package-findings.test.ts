import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type PackageFinding, packageFindings } from "../../src/fixing/package-findings.ts";
import { installSpecs, makeSmallRoot } from "../support/dpkg-case.ts";
import { copyDirectory } from "../support/dpkg-reference.ts";
import { FixLab } from "../support/fix-lab.ts";
import { type DebSpec, makeDeb, v1, v2 } from "../support/make-deb.ts";
import { patience } from "../support/slowness.ts";

/*
 * Images whose package database does not say what their files are: what a commit of a fixed container leaves, if something in
 * it wrote the database. dpkg made the images, so that the lists are dpkg's.
 */

const LIMIT_MS = patience(240_000);
const LIBRARY = "/usr/lib/libpkg.so.1";
const CHANGELOG = "/usr/share/doc/pkg/changelog.Debian.gz";
const TEXT = "x".repeat(100);
const CONFFILE = { control: { conffiles: "/etc/pkg.conf\n" } };

const filesOf = (version: string): NonNullable<DebSpec["files"]> => ({
  [LIBRARY]: `library ${version} ${TEXT}`,
  "/usr/share/pkg/same": TEXT,
  "/usr/share/man/man1/pkg.1": `manual ${TEXT}`,
  "/etc/pkg.conf": `configuration ${TEXT}`,
  [CHANGELOG]: `pkg (${version})`,
});

let lab: FixLab;
let small = "";

beforeAll(async () => {
  lab = new FixLab();
  small = join(lab.newDirectory("small"), "root");
  await makeSmallRoot(small);
}, LIMIT_MS);
afterAll(() => lab[Symbol.dispose]());

async function rootWith(...specs: DebSpec[]): Promise<string> {
  const root = join(lab.newDirectory("image"), "root");
  await copyDirectory(small, root);
  await installSpecs(root, lab.newDirectory("debs"), specs);
  return root;
}

/** Something in the container wrote the package database while a fix was under it. */
function claim(root: string, from: string, to: string): void {
  const status = join(root, "var/lib/dpkg/status");
  const text = readFileSync(status, "utf8");
  expect(text).toContain(`Version: ${from}\n`);
  writeFileSync(status, text.replace(`Version: ${from}\n`, `Version: ${to}\n`));
}

async function findingsOf(name: string, root: string): Promise<readonly PackageFinding[]> {
  return (await lab.importDirectory(name, root)).findings;
}

test(
  "files of an older version that another image has, and of no version that a fix brings",
  async () => {
    const honest = await rootWith(v1(filesOf("1"), CONFFILE));
    expect(await findingsOf("honest", honest)).toEqual([]);
    const committed = await rootWith(v1(filesOf("1"), CONFFILE));
    claim(committed, "1", "2");
    const found = {
      package: "pkg",
      architecture: "amd64",
      version: "2",
      reason:
        "pkg:amd64 is 2 to the package database, but its files are those of 1, as in localhost/honest:latest",
    };
    const imported = await lab.importDirectory("committed", committed);
    expect(imported.findings).toEqual([found]);
    // Also when it is imported once more, and the honest image is still none of it.
    expect(await findingsOf("committed", committed)).toEqual([found]);
    expect(await findingsOf("honest", honest)).toEqual([]);

    const deb = await makeDeb(lab.newDirectory("debs"), v2(filesOf("2"), CONFFILE));
    const rule = await lab.makeRule(imported.image, [deb]);
    const reason = "pkg:amd64 is 2 to the package database, but its files are not those of the 2 of test";
    expect(packageFindings(lab.store, imported.image, { rules: [rule] })).toEqual([{ ...found, reason }]);
    expect(packageFindings(lab.store, imported.image, { only: new Set(["other"]) })).toEqual([]);
    const fixed = await rootWith(v2(filesOf("2"), CONFFILE));
    const upgraded = await lab.importDirectory("fixed", fixed);
    expect(packageFindings(lab.store, upgraded.image, { rules: [rule] })).toEqual([]);
  },
  LIMIT_MS,
);

test(
  "a file that is not the one of the list is a finding; conffiles, documentation and what is left out are none",
  async () => {
    const root = await rootWith(v2(filesOf("2"), CONFFILE));
    writeFileSync(join(root, "etc/pkg.conf"), "edited");
    writeFileSync(join(root, "usr/share/man/man1/pkg.1"), "edited");
    expect(await findingsOf("edited", root)).toEqual([]);
    writeFileSync(join(root, LIBRARY), `library 1 ${TEXT}`);
    const [found, ...others] = await findingsOf("altered", root);
    expect(others).toEqual([]);
    expect(found?.reason).toBe(
      `pkg:amd64 is 2 to the package database, but not all its files are what it shipped: ${LIBRARY}`,
    );
  },
  LIMIT_MS,
);

test(
  "versions without a changelog of their own may have the same files",
  async () => {
    const files = { [LIBRARY]: TEXT };
    expect(await findingsOf("plain-1", await rootWith(v1(files)))).toEqual([]);
    expect(await findingsOf("plain-2", await rootWith(v2(files)))).toEqual([]);
  },
  LIMIT_MS,
);

test(
  "a file that another package took over is the other's",
  async () => {
    const taker: DebSpec = {
      name: "taker",
      version: "1",
      files: { [LIBRARY]: "taken" },
      fields: ["Replaces: pkg"],
    };
    expect(await findingsOf("taken", await rootWith(v1(filesOf("1"), CONFFILE), taker))).toEqual([]);
  },
  LIMIT_MS,
);
