import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { VULNERABLE_PACKAGE, VULNERABLE_VERSION } from "../../scripts/demo/images.ts";
import { AtCreateLab } from "../support/at-create-lab.ts";
import { patience } from "../support/slowness.ts";

/*
 * Images that AtomFS does not know when a container of them is made, and images and containers whose package database says
 * fixed over vulnerable files. Under the real Podman, with the machine's real apt sources and the demo's images. The tests
 * tell one story.
 */

const LIMIT_MS = patience(300_000);
const AT_A_TIME = 4;
/** An import that shall succeed has more than the ordinary minute: several at a time take long on a busy machine. */
const IMPORT = ['unknown = "import"', "import-seconds = 3600"];

let lab: AtCreateLab;
let web = "";
let feed = "";
let plain = "";
let fix = "";
let fixedVersion = "";

beforeAll(async () => {
  lab = await AtCreateLab.open({ subnet: "10.89.181.0/24", bridge: "atomfs-create1" });
  web = await lab.pull("web");
  feed = await lab.pull("feed");
  plain = await lab.pull("plain");
}, patience(600_000));
afterAll(() => lab[Symbol.asyncDispose](), patience(120_000));

type Images = readonly { readonly names: readonly string[]; readonly generation: number }[];

describe("unknown = import", () => {
  test(
    "without a store, the first create makes one",
    async () => {
      expect(await lab.newVersion(web)).toBe(VULNERABLE_VERSION);
      for (const word of ["run", "import"]) {
        lab.policy(`unknown = "${word}"`, 'on-error = "refuse"');
        await expect(lab.newVersion(web)).rejects.toThrow(/There is no AtomFS store at .*is the filesystem/);
      }
      lab.policy('unknown = "refuse"');
      await expect(lab.newVersion(web)).rejects.toThrow(/AtomFS does not know image/);
      lab.policy(...IMPORT);
      expect(await lab.newVersion(web)).toBe(VULNERABLE_VERSION);
      const images = await lab.atomfs<Images>("images");
      expect(images.map(({ names }) => names)).toEqual([[web]]);
      const answer = await lab.atomfs<{ fixes: { id: string; title: string }[] }>(
        "fix",
        VULNERABLE_PACKAGE,
        "--yes",
      );
      fix = answer.fixes[0]?.id ?? "";
      fixedVersion = answer.fixes[0]?.title.split(" ")[1] ?? "";
    },
    LIMIT_MS,
  );

  test(
    "several containers of an unknown image that are made at a time all get the fix, and it is imported once",
    async () => {
      lab.policy('unknown = "run"');
      await lab.start("early", feed);
      lab.policy(...IMPORT);
      const names = Array.from({ length: AT_A_TIME }, (_, index) => `feed-${index}`);
      await Promise.all(names.map((name) => lab.start(name, feed)));
      for (const name of names) {
        expect(await lab.version(name)).toBe(fixedVersion);
        const { root, why, "import-ms": importMs } = await lab.atCreate(name);
        expect({ name, root, why }).toEqual({ name, root: "molecule", why: "fix" });
        expect(Number(importMs)).toBeGreaterThan(0);
      }
      const images = await lab.atomfs<Images>("images");
      expect(images.find(({ names: all }) => all.includes(feed))?.generation).toBe(1);
      const journal = readdirSync(join(lab.storeRoot, "journal"))
        .map((name) => readFileSync(join(lab.storeRoot, "journal", name), "utf8"))
        .join("\n");
      expect(journal.match(/"image-added"/g)).toHaveLength(2);
      await lab.remove(...names);
      expect((await lab.atomfsText("fsck")).text).toContain("clean");
    },
    LIMIT_MS,
  );

  test(
    "one that was made before the import is outdated, although the store never had its molecule",
    async () => {
      expect(await lab.version("early")).toBe(VULNERABLE_VERSION);
      const { atCreate, root } = await lab.container("early");
      expect({ root, why: atCreate?.["why"] }).toEqual({ root: "outdated", why: "unknown-image" });
      const unproven = await lab.atomfsText("fix", "verify");
      expect(unproven.code).toBe(3);
      expect(unproven.text).toMatch(/early: NOT PROVEN\n +its root is an older molecule/);
      await lab.restart("early");
      expect(await lab.version("early")).toBe(fixedVersion);
      expect((await lab.container("early")).root).toBe("current");
      expect((await lab.atomfsText("fix", "verify")).code).toBe(0);
      await lab.remove("early");
    },
    LIMIT_MS,
  );

  test(
    "the next container of the image imports nothing",
    async () => {
      await lab.start("second", feed);
      const { "import-ms": importMs, ...outcome } = await lab.atCreate("second");
      expect(importMs).toBeUndefined();
      expect(outcome).toMatchObject({ root: "molecule", why: "fix", policy: "outdated=replace" });
      const { atCreate, root } = await lab.container("second");
      expect(root).toBe("current");
      expect(atCreate).toEqual(outcome);
      expect((await lab.atomfsText("containers")).text).toMatch(/second .*molecule [0-9a-f]{12}: fix/);
      await lab.remove("second");
    },
    LIMIT_MS,
  );

  test(
    "an image that cannot be imported: on-error says whether the container runs",
    async () => {
      const layers = join(lab.place, "podman/graph/overlay-layers");
      const id = await lab.podman("image", "inspect", "--format", "{{.Id}}", plain);
      const top = (
        JSON.parse(readFileSync(join(lab.place, "podman/graph/overlay-images/images.json"), "utf8")) as {
          id: string;
          layer: string;
        }[]
      ).find((each) => each.id === id)?.layer;
      const split = join(layers, `${top}.tar-split.gz`);
      const bytes = readFileSync(split);
      writeFileSync(split, bytes.subarray(0, bytes.length / 2));
      await lab.start("broken", plain);
      const outcome = await lab.atCreate("broken");
      expect(outcome).toMatchObject({ root: "engine", why: "error", policy: "on-error=run" });
      expect(outcome["error"]).toMatch(/Cannot import image [0-9a-f]{12} at create: ./);
      expect((await lab.container("broken")).atCreate?.["error"]).toBe(outcome["error"]);
      await lab.remove("broken");
      lab.policy(...IMPORT, 'on-error = "refuse"');
      await expect(lab.inNew(plain, "true")).rejects.toThrow(/Cannot import image/);
      writeFileSync(split, bytes);
      expect(await lab.inNew(plain, "echo", "runs")).toBe("runs");
    },
    LIMIT_MS,
  );

  test(
    "the time limit is kept, also while another command holds the store",
    async () => {
      // Another image of many files: the same base with one more layer.
      await lab.start("late", web);
      await lab.shell("late", "cp -a /usr/share /srv/copy");
      await lab.podman("commit", "--quiet", "late", "localhost/late:1");
      await lab.remove("late");
      lab.policy('unknown = "import"', "import-seconds = 1");
      const held = ["sh", "-c", "echo held; exec sleep 1000"];
      const lock = Bun.spawn(["flock", "--no-fork", join(lab.storeRoot, "lock"), ...held], {
        stdout: "pipe",
      });
      try {
        await lock.stdout.getReader().read();
        await lab.start("slow", "localhost/late:1");
        const { error, why } = await lab.atCreate("slow");
        expect({ why, error }).toMatchObject({
          why: "error",
          error: expect.stringMatching(/it takes more than 1 s/),
        });
      } finally {
        lock.kill();
        await lock.exited;
      }
      expect((await lab.atomfsText("fsck")).text).toContain("clean");
      await lab.remove("slow");
      await lab.podman("rmi", "localhost/late:1");
    },
    LIMIT_MS,
  );
});

describe("a package database that is not of the files' time", () => {
  // What any dpkg in the container does: the whole database is written anew.
  const writeDatabase = "cp /var/lib/dpkg/status /tmp/s; cat /tmp/s >/var/lib/dpkg/status";
  const claim = (): string =>
    `${VULNERABLE_PACKAGE}:amd64 is ${fixedVersion} to the package database, but its files are not those of the ${fixedVersion}`;

  test(
    "an image that was committed from a fixed container is a finding, and never taken for fixed",
    async () => {
      lab.policy(...IMPORT);
      await lab.start("writer", web);
      await lab.shell("writer", writeDatabase);
      await lab.podman("commit", "--quiet", "writer", "localhost/committed:1");
      await lab.start("of-committed", "localhost/committed:1");
      // It says so itself, and it is not true.
      expect(await lab.version("of-committed")).toBe(fixedVersion);
      const { findings = "", why } = await lab.atCreate("of-committed");
      expect(why).toBe("no-fix");
      expect(JSON.parse(findings)).toEqual([expect.stringContaining(claim())]);
      expect((await lab.atomfsText("containers")).text).toContain(`finding: of-committed: ${claim()}`);
      const again = await lab.atomfsText("import", "containers-storage:localhost/committed:1");
      expect(again.text).toContain(`finding: ${claim()}`);
      expect((await lab.atomfsText("inspect", "localhost/committed:1")).text).toContain(
        `finding: ${claim()}`,
      );
      const planned = await lab.atomfsText("fix", "plan", VULNERABLE_PACKAGE);
      expect(planned.code).toBe(3);
      expect(planned.text).toContain(`blocked (database): ${claim()}`);
      const verified = await lab.atomfsText("fix", "verify");
      expect(verified.code).toBe(3);
      expect(verified.text).toContain(claim());
      expect(verified.text).toContain("NOT fixed everywhere");
      await lab.remove("of-committed");
    },
    LIMIT_MS,
  );

  test(
    "a container that wrote its database under a fix that is reverted",
    async () => {
      expect((await lab.atCreate("writer"))["findings"]).toBeUndefined();
      await lab.atomfs("fix", "revert", fix);
      await lab.restart("writer");
      expect(await lab.version("writer")).toBe(fixedVersion);
      const text = `${VULNERABLE_PACKAGE}:amd64 is ${fixedVersion} to the container's package database, but its files are those of ${VULNERABLE_VERSION}`;
      const outcome = await lab.atCreate("writer");
      expect(outcome).toMatchObject({ root: "engine", why: "no-fix" });
      expect(JSON.parse(outcome["findings"] ?? "")).toEqual([text]);
      const { root, findings } = await lab.container("writer");
      expect(root).toBe("shadowed");
      expect(findings).toContain(text);
      expect(findings.join("\n")).toContain("it has its own /var/lib/dpkg/status over the molecule's");
    },
    LIMIT_MS,
  );

  test(
    "the other way round, the files have a fix that the database doesn't know",
    async () => {
      await lab.start("before", web);
      await lab.shell("before", writeDatabase);
      await lab.atomfs("fix", VULNERABLE_PACKAGE, "--yes");
      await lab.restart("before");
      expect(await lab.version("before")).toBe(VULNERABLE_VERSION);
      const { findings, root } = await lab.container("before");
      expect(root).toBe("shadowed");
      expect(findings.join("\n")).toContain(
        `is ${VULNERABLE_VERSION} to the container's package database, but its files are those of ${fixedVersion}`,
      );
      await lab.remove("before", "writer");
    },
    LIMIT_MS,
  );
});
