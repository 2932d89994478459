import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { fromText } from "../../src/core/bytestring.ts";
import { openRepositories, type Repositories } from "../../src/fixing/repository.ts";
import { run } from "../../src/sys/process.ts";
import { patience } from "../support/slowness.ts";
import { type ArchiveOptions, DEB, DEB_PATH, Keys, packagesText, writeArchive } from "./apt-archive.ts";

const NOW = new Date("2026-01-02T12:00:00Z");
const YESTERDAY = new Date("2026-01-01T12:00:00Z");
const LAST_YEAR = new Date("2025-01-01T12:00:00Z");
const TOMORROW = new Date("2026-01-03T12:00:00Z");

const keys = new Keys();
let work = "";
let archive = "";
let aptRoot = "";
let cacheDir = "";

beforeAll(async () => {
  await keys.make("archive");
  await keys.make("stranger");
  await keys.make("expired", ["--faked-system-time", "20200101T000000"], "2020-06-01");
});
afterAll(() => keys.close());

beforeEach(async () => {
  work = mkdtempSync(join(tmpdir(), "atomfs-repository-"));
  archive = join(work, "archive");
  aptRoot = join(work, "machine");
  cacheDir = join(work, "cache");
  mkdirSync(join(aptRoot, "etc/apt/sources.list.d"), { recursive: true });
  mkdirSync(join(aptRoot, "etc/apt/trusted.gpg.d"), { recursive: true });
  mkdirSync(join(aptRoot, "keys"));
  writeFileSync(join(aptRoot, "keys/archive.gpg"), await keys.exportKey("archive", "binary"));
  writeSource("Signed-By: /keys/archive.gpg");
  await writeArchive(archive, keys, { date: YESTERDAY });
});
afterEach(() => rmSync(work, { recursive: true, force: true }));

function writeSource(signedBy: string, suite = "bookworm", uri = `file:${archive}`, name = "test"): void {
  const text = `Types: deb deb-src\nURIs: ${uri}\nSuites: ${suite}\nComponents: main\n${signedBy}\n`;
  writeFileSync(join(aptRoot, `etc/apt/sources.list.d/${name}.sources`), text);
}

function open(now: Date = NOW): Promise<Repositories> {
  return openRepositories({ aptRoot, cacheDir, codename: "bookworm", architecture: "amd64", now });
}

async function fetchNewest(): Promise<string> {
  const repositories = await open();
  const newest = repositories.candidates(["libexpat1"]).get("libexpat1")?.[0];
  if (newest === undefined) throw new Error("no candidate");
  return await repositories.fetch(newest);
}

function cached(kind: "releases" | "indexes" | "debs"): string[] {
  return readdirSync(join(cacheDir, kind));
}

function inRelease(): string {
  return join(archive, "dists/bookworm/InRelease");
}

function signedAs(options: Partial<ArchiveOptions>): () => Promise<void> {
  return () => writeArchive(archive, keys, { date: YESTERDAY, ...options });
}

function edit(path: string, change: (text: string) => string): void {
  writeFileSync(path, change(readFileSync(path, "latin1")), "latin1");
}

describe("a sound archive", () => {
  test("gives candidates, newest first, and a verified package; the second time from the cache alone", async () => {
    const path = await fetchNewest();
    expect(readFileSync(path)).toEqual(DEB);
    expect(statSync(cacheDir).isDirectory()).toBe(true);
    rmSync(join(archive, "pool"), { recursive: true });
    rmSync(join(archive, "dists/bookworm/main"), { recursive: true });
    expect(await fetchNewest()).toBe(path);
    const repositories = await open();
    expect(repositories.origins).toEqual(["Test bookworm"]);
    expect(repositories.notes).toEqual([]);
    expect(repositories.bySource("expat").map((each) => each.version)).toEqual(
      ["2.0+b~1", "1.0"].map(fromText),
    );
    expect(repositories.candidates(["nothing"]).size).toBe(0);
  });

  test("a candidate from a stored plan is found again", async () => {
    const repositories = await open();
    const newest = repositories.bySource("expat")[0];
    expect(readFileSync(await repositories.fetch(JSON.parse(JSON.stringify(newest))))).toEqual(DEB);
  });

  test("a package that was damaged in the cache is fetched again", async () => {
    writeFileSync(await fetchNewest(), "damaged");
    expect(readFileSync(await fetchNewest())).toEqual(DEB);
  });

  test("an index that was damaged in the cache is fetched again", async () => {
    await fetchNewest();
    const [index = ""] = cached("indexes");
    appendFileSync(join(cacheDir, "indexes", index), "Package: evil\n");
    const repositories = await open();
    expect(repositories.bySource("expat")).toHaveLength(2);
    expect(repositories.candidates(["evil"]).size).toBe(0);
  });

  test("keys can be armored, embedded, the machine's own, or named by fingerprint", async () => {
    const armored = await keys.exportKey("archive", "armored");
    writeFileSync(join(aptRoot, "keys/archive.asc"), armored);
    writeSource("Signed-By: /keys/archive.asc");
    expect((await open()).origins).toHaveLength(1);
    symlinkSync("archive.asc", join(aptRoot, "keys/link.asc"));
    writeSource("Signed-By: /keys/link.asc");
    expect((await open()).origins).toHaveLength(1);
    const lines = armored.toString().trimEnd().split("\n");
    writeSource(`Signed-By:\n${lines.map((line) => ` ${line === "" ? "." : line}`).join("\n")}`);
    expect((await open()).origins).toHaveLength(1);
    writeFileSync(join(aptRoot, "etc/apt/trusted.gpg.d/archive.asc"), armored);
    writeSource("");
    expect((await open()).origins).toHaveLength(1);
    writeSource(`Signed-By: ${await keys.fingerprint("archive")}`);
    expect((await open()).origins).toHaveLength(1);
    writeSource(`Signed-By: ${await keys.fingerprint("stranger")}`);
    await expect(open()).rejects.toMatchObject({ kind: "untrusted" });
  });
});

describe("attacks: each is untrusted, and nothing of it stays in the cache", () => {
  const badSource: [string, RegExp, () => void | Promise<void>][] = [
    [
      "a changed text",
      /text was changed/,
      () => edit(inRelease(), (text) => text.replace("Origin: Test", "Origin: Evil")),
    ],
    [
      "a changed hash",
      /text was changed/,
      () => edit(inRelease(), (text) => text.replace(/^ [0-9a-f]{4}/m, " 0000")),
    ],
    ["an unknown key", /unknown key/, signedAs({ signer: "stranger" })],
    [
      "an expired key",
      /expired/,
      async () => {
        writeFileSync(join(aptRoot, "keys/archive.gpg"), await keys.exportKey("expired", "binary"));
        await signedAs({ signer: "expired", signOptions: ["--faked-system-time", "20200201T000000"] })();
      },
    ],
    ["a weak hash", /weak hash|no valid signature/, signedAs({ signOptions: ["--digest-algo", "SHA1"] })],
    ["Valid-Until in the past", /valid until/, signedAs({ validUntil: new Date("2026-01-02T00:00:00Z") })],
    ["a date in the future", /in the future/, signedAs({ date: TOMORROW })],
    ["text before the message", /does not begin/, () => edit(inRelease(), (text) => `Origin: Evil\n${text}`)],
    ["text after the message", /does not end/, () => edit(inRelease(), (text) => `${text}\nOrigin: Evil\n`)],
    ["a second message", /dash-escaped|more than one/, () => edit(inRelease(), (text) => text + text)],
    [
      "an armor header",
      /armor headers/,
      () => edit(inRelease(), (text) => text.replace("\nHash", "\nOrigin: Evil\nHash")),
    ],
    [
      "an unsigned InRelease",
      /does not begin/,
      () => writeFileSync(inRelease(), readFileSync(join(archive, "dists/bookworm/Release"))),
    ],
    ["an unsigned Release only", /no signed InRelease/, () => rmSync(inRelease())],
    ["a cut signature", /does not end/, () => edit(inRelease(), (text) => text.slice(0, -60))],
    ["an empty InRelease", /does not begin/, () => writeFileSync(inRelease(), "")],
    ["a giant InRelease", /more than 10485760 bytes/, () => truncateSync(inRelease(), 11 * 1024 * 1024)],
    [
      "another suite's InRelease",
      /is for trixie/,
      async () => {
        await writeArchive(archive, keys, { date: YESTERDAY, codename: "trixie" });
        writeFileSync(inRelease(), readFileSync(join(archive, "dists/trixie/InRelease")));
      },
    ],
    ["a keyring that does not exist", /does not exist/, () => writeSource("Signed-By: /keys/none.gpg")],
    ["no keyring at all", /no keyring/, () => writeSource("")],
    [
      "no signature, but trusted=yes",
      /no signed InRelease/,
      () => {
        rmSync(inRelease());
        writeSource("Trusted: yes");
      },
    ],
  ];

  test.each(badSource)("%s", async (_, reason, attack) => {
    await attack();
    await expect(open()).rejects.toMatchObject({
      name: "AtomfsError",
      kind: "untrusted",
      message: expect.stringMatching(reason),
    });
    expect([cached("releases"), cached("indexes"), cached("debs")]).toEqual([[], [], []]);
  });

  const indexFile = (): string => join(archive, "dists/bookworm/main/binary-amd64/Packages.gz");
  const badIndex: [string, RegExp, () => void | Promise<void>][] = [
    [
      "another index of another size",
      /signed size|more than/,
      () => writeFileSync(indexFile(), gzipSync(packagesText().replace("2.0", "9.00"))),
    ],
    [
      "another index of the same size",
      /SHA-256/,
      () => {
        const bytes = readFileSync(indexFile());
        bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
        writeFileSync(indexFile(), bytes);
      },
    ],
    ["a cut index", /signed size/, () => truncateSync(indexFile(), statSync(indexFile()).size - 1)],
    ["a longer index", /more than/, () => appendFileSync(indexFile(), "x")],
  ];

  test.each(badIndex)("%s", async (_, reason, attack) => {
    await attack();
    await expect(open()).rejects.toMatchObject({
      name: "AtomfsError",
      kind: "untrusted",
      message: expect.stringMatching(reason),
    });
    expect([cached("indexes"), cached("debs")]).toEqual([[], []]);
  });

  const debFile = (): string => join(archive, DEB_PATH);
  const badDeb: [string, RegExp, () => void][] = [
    [
      "another package of the same size",
      /SHA-256/,
      () => edit(debFile(), (text) => text.replace("really", "REALLY")),
    ],
    ["a cut package", /signed size/, () => truncateSync(debFile(), DEB.length - 1)],
    ["a longer package", /more than/, () => appendFileSync(debFile(), "x")],
  ];

  test.each(badDeb)("%s", async (_, reason, attack) => {
    attack();
    await expect(fetchNewest()).rejects.toMatchObject({
      name: "AtomfsError",
      kind: "untrusted",
      message: expect.stringMatching(reason),
    });
    expect(cached("debs")).toEqual([]);
  });

  test("an older InRelease than the one seen before", async () => {
    await open();
    const seen = cached("releases").map((name) => readFileSync(join(cacheDir, "releases", name)));
    await writeArchive(archive, keys, { date: LAST_YEAR });
    await expect(open()).rejects.toMatchObject({
      kind: "untrusted",
      message: expect.stringContaining("rollback"),
    });
    expect(cached("releases").map((name) => readFileSync(join(cacheDir, "releases", name)))).toEqual(seen);
  });
});

describe("which sources are used", () => {
  test("a source of this release that cannot be reached stops, as what it would fix looks fine without it", async () => {
    writeSource("Signed-By: /keys/archive.gpg", "bookworm-security", "file:/nowhere", "security");
    await expect(open()).rejects.toMatchObject({ kind: "unsupported" });
  });

  test("third-party sources that fail are passed over with a note, without their passwords", async () => {
    writeSource("", "nodistro", "file:/nowhere", "vendor");
    writeSource("", "nodistro", "tor+http://user:secret@host/", "odd");
    const { origins, notes } = await open();
    expect(origins).toEqual(["Test bookworm"]);
    expect(notes).toHaveLength(2);
    expect(notes.join("\n")).not.toContain("secret");
  });

  test("suites of the release are used, other releases and backports are not", async () => {
    const names = ["bookworm-security", "bookworm-backports", "trixie"];
    for (const codename of names) {
      const more = codename === "bookworm-backports" ? "NotAutomatic: yes\n" : "";
      await writeArchive(archive, keys, { date: YESTERDAY, codename, more });
    }
    writeSource("Signed-By: /keys/archive.gpg", `bookworm ${names.join(" ")}`);
    const repositories = await open();
    expect(repositories.origins).toEqual(["Test bookworm-security", "Test bookworm"]);
    expect(repositories.notes.join()).toContain("NotAutomatic");
    expect(repositories.bySource("expat").map((each) => each.origin)).toEqual(
      Array(2).fill("Test bookworm-security"),
    );
  });

  test("trusted=yes changes nothing for a sound archive but a note", async () => {
    writeSource("Signed-By: /keys/archive.gpg\nTrusted: yes");
    const { origins, notes } = await open();
    expect(origins).toHaveLength(1);
    expect(notes.join()).toContain("trusted=yes is not honoured");
  });
});

test(
  "this machine's own sources: libexpat1 has a version of bookworm-security, fetched and verified",
  async () => {
    const repositories = await openRepositories({
      cacheDir,
      codename: "bookworm",
      architecture: "amd64",
      now: new Date(),
    });
    const candidates = repositories.candidates(["libexpat1"]).get("libexpat1") ?? [];
    const fixed = candidates.find((each) => each.origin === "Debian bookworm-security");
    if (fixed === undefined) throw new Error("no candidate of bookworm-security");
    const path = await repositories.fetch(fixed);
    const { stdout } = await run(["dpkg-deb", "--field", path, "Version"]);
    expect(stdout.toString().trim()).toBe(fixed.version);
  },
  { timeout: patience(120_000) },
);
