import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { buildDemoImages, DEFAULT_CACHE_DIR, VULNERABLE_PACKAGE } from "../../scripts/demo/images.ts";
import { writePodmanConfig } from "../../scripts/demo/podman-config.ts";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";
import { run } from "../../src/sys/process.ts";

/*
 * crio-lxc under the real Podman with its ordinary storage: an image is imported without a second copy, fixed, and each new
 * start of a container has the fix. With the machine's real apt sources and the demo's web image.
 */

const REPOSITORY = join(import.meta.dir, "../..");
const IMAGE = "localhost/web:1.0";
let place = "";
let env: Record<string, string | undefined> = {};
let fix = "";

const podman = async (...args: string[]): Promise<string> =>
  (await run(["podman", ...args], { env })).stdout.toString().trim();
const atomfs = async <T>(...args: string[]): Promise<T> => {
  const argv = [process.execPath, join(REPOSITORY, "src/main.ts"), "--json", ...args] as const;
  return JSON.parse((await run(argv, { env, okCodes: [0, 3] })).stdout.toString()) as T;
};
const versionIn = (line: string): string => line.split("\t")[1] ?? line;
const version = async (name: string): Promise<string> =>
  versionIn(await podman("exec", name, "dpkg-query", "-W", VULNERABLE_PACKAGE));
const policy = (text: string): void => writeFileSync(join(place, "atomfs.toml"), `[at-create]\n${text}\n`);
/** Runs a command in a new container and gives its output. */
const inNew = (...command: string[]): Promise<string> =>
  podman("run", "--rm", "--network", "host", IMAGE, ...command);
const newVersion = async (): Promise<string> =>
  versionIn(await inNew("dpkg-query", "-W", VULNERABLE_PACKAGE));

const OLD = "2.5.0-1+deb12u2";

beforeAll(async () => {
  place = mkdtempSync("/var/tmp/atomfs-at-create-");
  await run([process.execPath, join(REPOSITORY, "scripts/build.ts")], { cwd: REPOSITORY });
  const root = join(place, "store");
  const wrapper = join(place, "crio-lxc");
  const settings = `export ATOMFS_ROOT=${root} ATOMFS_CONFIG=${join(place, "atomfs.toml")}`;
  writeFileSync(wrapper, `#!/bin/sh\n${settings}\nexec ${REPOSITORY}/dist/crio-lxc "$@"\n`);
  chmodSync(wrapper, 0o755);
  mkdirSync(join(place, "podman"));
  const conf = await writePodmanConfig({
    directory: join(place, "podman"),
    imageStores: [],
    runtime: { name: "crio-lxc", path: wrapper },
    subnet: "10.89.179.0/24",
    bridge: "atomfs-create0",
  });
  env = { ...process.env, ...conf, ATOMFS_ROOT: root };
  const signal = new AbortController().signal;
  const images = await buildDemoImages({ cacheDir: DEFAULT_CACHE_DIR, log: () => undefined, signal });
  await run(
    ["skopeo", "copy", "-q", `oci:${images.web.layout}:${images.web.tag}`, `containers-storage:${IMAGE}`],
    { env },
  );
}, 600_000);

afterAll(async () => {
  await run(["podman", "rm", "--all", "--force", "--time", "0"], { env, okCodes: [0, 1, 125] });
  await run([process.execPath, join(REPOSITORY, "src/main.ts"), "unmount"], { env, okCodes: [0, 4] });
  for (const { target } of readMountinfo().reverse()) {
    if (target.startsWith(`${place}/`)) await run(["umount", target], { okCodes: [0, 1, 32] });
  }
  rmSync(runDirectoryOf(join(place, "store")), { recursive: true, force: true });
  rmSync(place, { recursive: true, force: true });
}, 120_000);

function rootSource(name: string): Promise<string> {
  return podman("inspect", "--format", "{{.GraphDriver.Data.MergedDir}}", name).then(
    (merged) => readMountinfo().findLast((mount) => mount.target === merged)?.source ?? "none",
  );
}

describe("AtomFS at create, under Podman", () => {
  test("an unknown image runs on the engine's own root", async () => {
    expect(await newVersion()).toBe(OLD);
  }, 120_000);

  test("an image without a fix does, too", async () => {
    await atomfs("import", `containers-storage:${IMAGE}`);
    await podman("run", "--detach", "--name", "web", "--network", "host", IMAGE);
    expect(await rootSource("web")).toBe("overlay");
    expect(await version("web")).toBe(OLD);
  }, 120_000);

  test("after the fix a new container and a restarted one have it, a running one keeps its root", async () => {
    const answer = await atomfs<{ fixes: { id: string }[] }>("fix", VULNERABLE_PACKAGE, "--yes");
    fix = answer.fixes[0]?.id ?? "";
    expect(await version("web")).toBe(OLD);
    // Podman has the image already: it is neither mounted nor shown to it again.
    expect(existsSync(join(runDirectoryOf(join(place, "store")), "mounts"))).toBe(false);
    expect(readdirSync(join(place, "store/image-store"))).toEqual([]);
    expect(await newVersion()).not.toBe(OLD);
    await podman("restart", "--time", "2", "web");
    expect(await version("web")).not.toBe(OLD);
    expect(await rootSource("web")).toStartWith("atomfs:");
    const rows = await atomfs<{ name: string; root: string }[]>("containers");
    expect(rows.find((row) => row.name === "web")?.root).toBe("current");
    const [proof] = await atomfs<{ isFixed: boolean }[]>("fix", "verify");
    expect(proof?.isFixed).toBe(true);
  }, 180_000);

  test("what the container writes is the engine's: diff, cp, commit and a revert find every byte", async () => {
    const script =
      "chmod 700 /usr/bin/perl; cp -a /usr/share/zoneinfo /srv/zones; echo mine > /srv/note; rm /usr/bin/faillog";
    await podman("exec", "--user", "0", "web", "sh", "-c", script);
    const before = await podman("exec", "--user", "0", "web", "sha256sum", "/usr/bin/perl");
    const diff = await podman("diff", "web");
    expect(diff).toContain("A /srv/note");
    expect(diff).toContain("C /usr/bin/perl");
    expect(diff).toContain("D /usr/bin/faillog");
    expect(diff).not.toContain("libexpat");
    await podman("cp", "web:/srv/note", join(place, "note"));
    expect(readFileSync(join(place, "note"), "utf8")).toBe("mine\n");
    await atomfs("fix", "revert", fix);
    await podman("stop", "--time", "2", "web");
    await podman("start", "web");
    expect(await version("web")).toBe(OLD);
    expect(await rootSource("web")).toBe("overlay");
    expect(await podman("exec", "--user", "0", "web", "sha256sum", "/usr/bin/perl")).toBe(before);
    expect(await podman("exec", "web", "cat", "/srv/note")).toBe("mine");
    await podman("commit", "--quiet", "web", "localhost/committed:1");
    const committed = await podman(
      "run",
      "--rm",
      "--network",
      "host",
      "--user",
      "0",
      "localhost/committed:1",
      "sha256sum",
      "/usr/bin/perl",
    );
    expect(committed).toBe(before);
    await atomfs("fix", VULNERABLE_PACKAGE, "--yes");
  }, 240_000);

  test.each([
    ['outdated = "warn"', OLD],
    ['outdated = "replace"', undefined],
  ])(
    "policy %s",
    async (text, want) => {
      policy(text);
      const got = await newVersion();
      if (want === undefined) expect(got).not.toBe(OLD);
      else expect(got).toBe(want);
    },
    120_000,
  );

  test("policy outdated = refuse, and a word that is none", async () => {
    policy('outdated = "refuse"');
    await expect(newVersion()).rejects.toThrow(/lacks 1 fix/);
    policy('outdated = "replce"');
    await expect(newVersion()).rejects.toThrow(/replce/);
    rmSync(join(place, "atomfs.toml"));
  }, 120_000);

  test("a damaged molecule: on-error says whether the container runs", async () => {
    const [image] = await atomfs<{ molecule: string }[]>("images");
    const path = join(place, "store/molecules", `${image?.molecule}.erofs`);
    const bytes = readFileSync(path);
    const damaged = Buffer.from(bytes);
    damaged[2000] = (damaged[2000] ?? 0) ^ 1;
    chmodSync(path, 0o600);
    writeFileSync(path, damaged);
    expect(await newVersion()).toBe(OLD);
    policy('on-error = "refuse"');
    await expect(newVersion()).rejects.toThrow(/not what was written/);
    rmSync(join(place, "atomfs.toml"));
    writeFileSync(path, bytes);
    expect(await newVersion()).not.toBe(OLD);
  }, 180_000);

  test("nothing stays mounted or listed of containers that are gone", async () => {
    await podman("rm", "--force", "--time", "0", "web");
    const mounts = readMountinfo().filter(
      ({ target }) => target.startsWith(place) && target.endsWith("/merged"),
    );
    expect(mounts).toEqual([]);
    expect(existsSync("/run/crio-lxc/web")).toBe(false);
  }, 60_000);
});
