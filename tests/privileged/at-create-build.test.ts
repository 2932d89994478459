import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { VULNERABLE_PACKAGE, VULNERABLE_VERSION } from "../../scripts/demo/images.ts";
import { run } from "../../src/sys/process.ts";
import { AtCreateLab } from "../support/at-create-lab.ts";
import { patience } from "../support/slowness.ts";

/*
 * Containers that build an image keep the engine's root, though their base image has a fix: what they commit must have
 * the package database of the files that it has. A container of the new image gets the fix as any other.
 */

const LIMIT_MS = patience(240_000);
const LOOK = `dpkg-query -W ${VULNERABLE_PACKAGE}; sha256sum /usr/lib/*/libexpat.so.1.*`;
let lab: AtCreateLab;
let image = "";
/** What the engine's own root says. */
let old = "";
let calls = "";

beforeAll(async () => {
  lab = await AtCreateLab.open({ subnet: "10.89.195.0/24", bridge: "atomfs-create5" });
  image = await lab.pull("web");
  old = await lab.inNew(image, "sh", "-c", LOOK);
  expect(old).toContain(VULNERABLE_VERSION);
  await lab.atomfs("import", `containers-storage:${image}`);
  await lab.atomfs("fix", VULNERABLE_PACKAGE, "--yes");
  expect(await lab.inNew(image, "sh", "-c", LOOK)).not.toBe(old);
  calls = join(lab.place, "calls");
  writeFileSync(calls, "");
  lab.callRuntimeBy((program) => `echo "$@" >>${calls}\nexec ${program} "$@"`);
}, patience(600_000));
afterAll(() => lab[Symbol.asyncDispose](), patience(120_000));

/** Its layers hold the old files and the old database, and a container of it has the fix. */
async function isOldAndGetsTheFix(built: string, seen: string): Promise<void> {
  expect(seen.trim()).toBe(old);
  // An image that AtomFS does not know runs as the engine has it.
  expect(await lab.inNew(built, "sh", "-c", LOOK)).toBe(old);
  const { findings } = await lab.atomfs<{ findings: unknown[] }>("import", `containers-storage:${built}`);
  expect(findings).toEqual([]);
  const fixed = await lab.inNew(built, "sh", "-c", `${LOOK}; cat /srv/built`);
  expect(fixed).not.toContain(VULNERABLE_VERSION);
  expect(fixed).toContain("by crio-lxc");
}

async function createsSince<T>(work: () => Promise<T>): Promise<T> {
  writeFileSync(calls, "");
  const answer = await work();
  expect(readFileSync(calls, "utf8")).toMatch(/^create --bundle \/.*\/buildah/m);
  return answer;
}

test(
  "podman build",
  async () => {
    const context = join(lab.place, "context");
    mkdirSync(context);
    writeFileSync(
      join(context, "Containerfile"),
      `FROM ${image}\nUSER 0\nRUN { ${LOOK}; } >/srv/seen; echo by crio-lxc >/srv/built\n`,
    );
    const built = "localhost/built:1";
    await createsSince(() =>
      lab.podman(
        "--runtime",
        join(lab.place, "crio-lxc"),
        "build",
        "--network",
        "none",
        "--isolation",
        "oci",
        "--tag",
        built,
        context,
      ),
    );
    await isOldAndGetsTheFix(built, await lab.inNew(built, "cat", "/srv/seen"));
  },
  LIMIT_MS,
);

test(
  "buildah from, run and commit",
  async () => {
    const buildah = async (...args: string[]): Promise<string> =>
      (await run(["buildah", ...args], { env: lab.env })).stdout.toString().trim();
    const container = await buildah("from", image);
    const script = `${LOOK}; echo by crio-lxc >/srv/built`;
    const seen = await createsSince(() =>
      buildah(
        "run",
        "--runtime",
        join(lab.place, "crio-lxc"),
        "--network",
        "none",
        "--isolation",
        "oci",
        "--user",
        "0",
        container,
        "--",
        "sh",
        "-c",
        script,
      ),
    );
    const built = "localhost/built:2";
    await buildah("commit", "--quiet", container, built);
    await buildah("rm", container);
    await isOldAndGetsTheFix(built, seen);
  },
  LIMIT_MS,
);
