import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { writePodmanConfig } from "../../scripts/demo/podman-config.ts";
import { parseSha256, type Sha256 } from "../../src/core/digest.ts";
import { AtomfsError } from "../../src/core/errors.ts";
import { PodmanEngine } from "../../src/engines/podman/containers.ts";
import {
  initImageStore,
  publishImage,
  setDiffTarget,
  setImageNames,
  unpublishImage,
} from "../../src/engines/podman/image-store.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";
import { run } from "../../src/sys/process.ts";
import { patience } from "../support/slowness.ts";

/** Real podman and runc over an image store that only AtomFS wrote. Needs root, podman, runc, dpkg and the Debian archive. */
const DEBS = "/var/cache/atomfs-tests";
const NAME = "localhost/atomfs-test/hello:1";
const LIMIT_MS = patience(120_000);

const work = mkdtempSync("/var/tmp/atomfs-podman-");
const storeDir = join(work, "store/image-store");
const mountedTree = join(work, "mounted");
const env: Record<string, string> = {};
const cleanups: (() => Promise<unknown>)[] = [];
let engine = new PodmanEngine();

const config = Buffer.from(
  JSON.stringify({
    created: "2024-02-03T04:05:06Z",
    architecture: "amd64",
    os: "linux",
    config: { Cmd: ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"], Env: ["PATH=/bin"] },
    rootfs: { type: "layers", diff_ids: ["1", "2", "3"].map((digit) => `sha256:${digit.repeat(64)}`) },
  }),
);
const configDigest = digestOf(config);
const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: `sha256:${configDigest}`,
      size: config.length,
    },
    layers: [],
  }),
);

function digestOf(bytes: Uint8Array): Sha256 {
  return parseSha256(createHash("sha256").update(bytes).digest("hex"));
}

/** A static busybox: taken from the Debian package, not from whatever this machine has. */
async function busybox(): Promise<string> {
  const program = join(DEBS, "busybox-static/bin/busybox");
  if (existsSync(program)) return program;
  mkdirSync(DEBS, { recursive: true });
  const half = mkdtempSync(join(DEBS, "half-"));
  await run(["apt-get", "download", "-q", "busybox-static"], { cwd: half });
  const deb = readdirSync(half).find((name) => name.endsWith(".deb"));
  if (deb === undefined) throw new Error("apt-get downloaded nothing");
  await run(["dpkg-deb", "-x", join(half, deb), join(half, "tree")]);
  await run(["mv", "-T", join(half, "tree"), join(DEBS, "busybox-static")]);
  rmSync(half, { recursive: true });
  return program;
}

async function makeTree(name: string, version: string): Promise<string> {
  const tree = join(work, name);
  for (const directory of ["bin", "etc", "proc", "sys", "dev", "tmp"]) {
    mkdirSync(join(tree, directory), { recursive: true });
  }
  copyFileSync(await busybox(), join(tree, "bin/busybox"));
  for (const applet of ["sh", "sleep", "cat"]) symlinkSync("busybox", join(tree, "bin", applet));
  writeFileSync(join(tree, "version"), `${version}\n`);
  return tree;
}

async function podman(...args: string[]): Promise<string> {
  return (await run(["podman", ...args], { env: { ...process.env, ...env } })).stdout.toString().trim();
}

function processesOf(): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(work);
    } catch {
      return false;
    }
  });
}

/** Asks until there is an answer, some times a second; undefined if there is none after `seconds`. */
async function answerAfter<T>(seconds: number, ask: () => Promise<T | undefined>): Promise<T | undefined> {
  for (let left = patience(seconds) * 5; left > 0; left--) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await Bun.sleep(200);
  }
  return undefined;
}

beforeAll(async () => {
  const one = await makeTree("one", "one");
  await makeTree("two", "two");
  initImageStore(storeDir);
  Object.assign(
    env,
    await writePodmanConfig({
      directory: join(work, "podman"),
      imageStores: [storeDir],
      runtime: "runc",
      subnet: "10.89.214.0/24",
      bridge: "atomfs-test0",
    }),
  );
  engine = new PodmanEngine({ env });
  publishImage({
    storeDir,
    configDigest,
    configBytes: config,
    manifestDigest: digestOf(manifest),
    manifestBytes: manifest,
    names: [NAME, "localhost/atomfs-test/hello:latest"],
    created: "2024-02-03T04:05:06Z",
    treeSize: 2_000_000,
    diffTarget: one,
  });
}, LIMIT_MS);

afterAll(async () => {
  await podman("rm", "--all", "--force", "--time", "0").catch(() => undefined);
  for (const cleanup of cleanups.reverse()) await cleanup().catch(() => undefined);
  // c/storage binds its overlay directory on itself.
  for (const mount of readMountinfo()
    .filter(({ target }) => target.startsWith(work))
    .reverse()) {
    await run(["umount", "--lazy", mount.target]).catch(() => undefined);
  }
  rmSync(work, { recursive: true, force: true });
}, LIMIT_MS);

async function versionIn(container: string): Promise<string> {
  return podman("exec", container, "cat", "/version");
}

test(
  "podman lists, inspects and runs what only AtomFS wrote",
  async () => {
    const [image] = await engine.listImages();
    expect(image).toEqual({
      imageId: configDigest,
      names: ["localhost/atomfs-test/hello:1", "localhost/atomfs-test/hello:latest"],
      manifestDigest: `sha256:${digestOf(manifest)}`,
      readOnly: true,
    });
    const inspected = JSON.parse(await podman("image", "inspect", NAME));
    expect(inspected[0].Id).toBe(configDigest);
    expect(inspected[0].Config.Env).toEqual(["PATH=/bin"]);
    expect(inspected[0].Size).toBeGreaterThanOrEqual(2_000_000);
    expect(inspected[0].Created).toBe("2024-02-03T04:05:06Z");
    expect(await podman("run", "--rm", "--network", "none", NAME, "cat", "/version")).toBe("one");
  },
  LIMIT_MS,
);

test(
  "a container that runs keeps its tree, and a restart that mounts anew follows the link",
  async () => {
    const id = await podman(
      "run",
      "--detach",
      "--name",
      "follows",
      "--network",
      "none",
      "--restart",
      "always",
      NAME,
    );
    expect(await versionIn(id)).toBe("one");
    await podman("exec", id, "sh", "-c", "echo kept > /etc/written");

    mkdirSync(mountedTree);
    mkdirSync(join(work, "empty"));
    const lower = `lowerdir=${join(work, "two")}:${join(work, "empty")}`;
    await run(["mount", "-t", "overlay", "-o", lower, "overlay", mountedTree]);
    cleanups.push(() => run(["umount", mountedTree]));
    setDiffTarget(storeDir, configDigest, mountedTree);

    expect(await versionIn(id)).toBe("one");
    expect(await podman("run", "--rm", "--network", "none", NAME, "cat", "/version")).toBe("two");

    await engine.remountingRestart("follows", { graceSeconds: 5 });
    expect(await versionIn(id)).toBe("two");
    expect(await podman("exec", id, "cat", "/etc/written")).toBe("kept");

    const [container, ...others] = await engine.listContainers();
    expect(others).toEqual([]);
    expect(container).toMatchObject({
      id,
      name: "follows",
      imageId: configDigest,
      imageName: NAME,
      state: "running",
      restartPolicy: "always",
      removedAtStop: false,
      pod: undefined,
      isInfra: false,
      systemdUnit: undefined,
    });
    expect(existsSync(`/proc/${container?.pid}/root/version`)).toBe(true);
    expect(existsSync(join(await engine.containerUpperDir(id), "etc/written"))).toBe(true);
    const merged = await engine.containerMergedDir(id);
    expect(readMountinfo().map(({ target }) => target)).toContain(merged ?? "no merged directory");

    await engine.stop(id, { graceSeconds: 5 });
    expect((await engine.inspect(id)).container).toMatchObject({ state: "exited", pid: undefined });
    expect(await engine.containerMergedDir(id)).toBeUndefined();
    await podman("rm", id);
  },
  LIMIT_MS,
);

test(
  "a container that Podman removes at its stop is refused before it is stopped",
  async () => {
    const id = await podman("run", "--detach", "--rm", "--network", "none", NAME);
    const refusal = await engine.remountingRestart(id).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(AtomfsError);
    expect(refusal).toMatchObject({ kind: "blocked" });
    expect((await engine.inspect(id)).container.state).toBe("running");
    await podman("stop", "--time", "5", id);
    // conmon removes it, some time after the stop.
    const gone = await answerAfter(60, () =>
      engine.inspect(id).then(
        () => undefined,
        (error: unknown) => error,
      ),
    );
    expect(gone).toMatchObject({ kind: "not-found" });
  },
  LIMIT_MS,
);

test(
  "a published port reaches the container over the bridge of its own",
  async () => {
    const id = await podman("run", "--detach", "--publish", "127.0.0.1::8080", NAME);
    const address = await podman(
      "inspect",
      "--format",
      '{{(index .NetworkSettings.Networks "atomfs-demo").IPAddress}}',
      id,
    );
    expect(address).toStartWith("10.89.214.");
    expect(await podman("port", id, "8080")).toStartWith("127.0.0.1:");
    await podman("rm", "--force", "--time", "5", id);
  },
  LIMIT_MS,
);

test(
  "names and images come and go",
  async () => {
    setImageNames(storeDir, configDigest, ["localhost/atomfs-test/other:2"]);
    expect((await engine.listImages()).map(({ names }) => names)).toEqual([
      ["localhost/atomfs-test/other:2"],
    ]);
    expect(await podman("image", "exists", NAME).catch(() => "gone")).toBe("gone");
    unpublishImage(storeDir, configDigest);
    expect(await engine.listImages()).toEqual([]);
    expect(await engine.listContainers()).toEqual([]);
  },
  LIMIT_MS,
);

test(
  "nothing is left: no process, no mount of a container, no bridge",
  async () => {
    // The clean-up that conmon starts ends some time after `podman rm`.
    await answerAfter(60, async () => (processesOf().length === 0 ? true : undefined));
    expect(processesOf()).toEqual([]);
    const own = new Set([mountedTree, join(work, "podman/graph/overlay")]);
    expect(readMountinfo().filter(({ target }) => target.startsWith(work) && !own.has(target))).toEqual([]);
    expect(existsSync("/sys/class/net/atomfs-test0")).toBe(false);
  },
  LIMIT_MS,
);

test(
  "what is no working Podman is said in one sentence",
  async () => {
    expect(await engine.describeUnavailable()).toBeUndefined();
    const broken = join(work, "broken.conf");
    writeFileSync(broken, '[storage]\ndriver = "no-such-driver"\n');
    const sentence = await new PodmanEngine({
      env: { ...env, CONTAINERS_STORAGE_CONF: broken },
    }).describeUnavailable();
    expect(sentence).toContain("does not work");
  },
  LIMIT_MS,
);
