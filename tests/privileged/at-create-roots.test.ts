import { afterAll, beforeAll, expect, test } from "bun:test";
import { appendFileSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { VULNERABLE_PACKAGE, VULNERABLE_VERSION } from "../../scripts/demo/images.ts";
import { findMount, readMountinfo } from "../../src/sys/mountinfo.ts";
import { AtCreateLab } from "../support/at-create-lab.ts";
import { writeLayeredImage } from "../support/layered-image.ts";
import { patience } from "../support/slowness.ts";

/*
 * Roots that containers/storage mounts in another way than most: of many layers, in a graph root with a long path, of an
 * additional image store, with id-mapped layers. Each gets the fix, and the engine's own root again.
 */

const OLD = VULNERABLE_VERSION;
const LIMIT_MS = patience(300_000);
const LAYERS = 80;
const NETWORK = { subnet: "10.89.193.0/24", bridge: "atomfs-create3" } as const;
let lab: AtCreateLab;

beforeAll(async () => {
  lab = await AtCreateLab.open(NETWORK);
}, patience(600_000));
afterAll(() => lab[Symbol.asyncDispose](), patience(120_000));

async function fix(): Promise<string> {
  const answer = await lab.atomfs<{ fixes: { id: string }[] }>("fix", VULNERABLE_PACKAGE, "--yes");
  return answer.fixes[0]?.id ?? "";
}

/** The root's own mount, as the host has it. */
async function rootMount(name: string): Promise<ReturnType<typeof findMount>> {
  const merged = await lab.podman("inspect", "--format", "{{.GraphDriver.Data.MergedDir}}", name);
  return findMount(readMountinfo(), merged);
}

/** How it is mounted, whatever its layers are called; the kernel chooses about `uuid` by what it finds in the upper. */
function optionsOf(mount: ReturnType<typeof findMount>): string[] {
  return [...(mount?.options ?? []), ...(mount?.superOptions ?? [])]
    .filter((option) => !/^(lowerdir|uuid)/.test(option))
    .map((option) => option.replace(/=\/.*\/overlay\//, "="));
}

/**
 * A running container gets the fix, loses it, and gets it again, with Podman mounting its root anew and without; what
 * it wrote stays.
 */
async function followsTheFix(image: string, look: string, ...options: string[]): Promise<void> {
  await lab.atomfs("import", `containers-storage:${image}`);
  await lab.start("one", image, ...options);
  const before = await lab.shell("one", `echo mine >/srv/note; ${look}`);
  const engines = optionsOf(await rootMount("one"));
  expect(await lab.version("one")).toBe(OLD);
  const id = await fix();
  for (const again of [() => lab.restart("one"), () => lab.podman("restart", "--time", "0", "one")]) {
    await again();
    expect(await lab.atCreate("one")).toMatchObject({ root: "molecule", why: "fix" });
    expect(await lab.version("one")).not.toBe(OLD);
    expect(await lab.shell("one", `cat /srv/note; ${look}`)).toBe(`mine\n${before}`);
  }
  await lab.atomfs("fix", "revert", id);
  // Podman does not mount it again: crio-lxc puts the engine's own root back.
  await lab.podman("restart", "--time", "0", "one");
  expect(await lab.atCreate("one")).toMatchObject({ root: "engine", why: "no-fix" });
  const back = await rootMount("one");
  expect(back?.source).toBe("overlay");
  expect(optionsOf(back)).toEqual(engines);
  expect(await lab.version("one")).toBe(OLD);
  expect(await lab.shell("one", `cat /srv/note; ${look}`)).toBe(`mine\n${before}`);
  await lab.restart("one");
  expect(await lab.version("one")).toBe(OLD);
  expect(await lab.shell("one", `cat /srv/note; ${look}`)).toBe(`mine\n${before}`);
  const again = await fix();
  await lab.podman("restart", "--time", "0", "one");
  expect(await lab.version("one")).not.toBe(OLD);
  await lab.remove("one");
  await lab.atomfs("fix", "revert", again);
  const left = readMountinfo().filter(
    ({ target }) => target.startsWith(lab.place) && target.endsWith("/merged"),
  );
  expect(left).toEqual([]);
}

test(
  `an image of ${LAYERS} layers more, which the engine mounts with relative names`,
  async () => {
    const layout = join(lab.place, "layered");
    const web = lab.layoutOf("web");
    writeLayeredImage(web.layout, layout, LAYERS);
    const image = await lab.pullLayout("layered", { layout, tag: web.tag });
    rmSync(layout, { recursive: true });
    await lab.start("probe", image);
    expect((await rootMount("probe"))?.superOptions.find((each) => each.startsWith("upperdir"))).toMatch(
      /^upperdir=[0-9a-f]{64}\/diff$/,
    );
    await lab.remove("probe");
    await followsTheFix(image, "ls /srv/layers | sort -n | tr '\\n' ' '; cat /srv/layers/*");
  },
  LIMIT_MS,
);

test(
  "a container with a user namespace, whose layers the engine maps: the owners stay",
  async () => {
    const image = await lab.pull("web");
    const look = "stat -c '%n %u:%g' / /srv /etc/shadow /usr/bin/passwd /srv/note; cat /proc/self/uid_map";
    await followsTheFix(image, look, "--uidmap", "0:200000:65536", "--gidmap", "0:300000:65536");
  },
  LIMIT_MS,
);

test(
  "--userns=auto",
  async () => {
    const names = ["/etc/subuid", "/etc/subgid"] as const;
    const before = names.map((name) => readFileSync(name));
    // Podman takes the ranges of a user "containers" for it.
    for (const name of names) appendFileSync(name, "containers:2147483647:262144\n");
    try {
      await followsTheFix(
        "localhost/web:1.0",
        "stat -c '%n %u:%g' / /srv /etc/shadow /srv/note",
        "--userns=auto",
      );
    } finally {
      for (const [n, name] of names.entries()) writeFileSync(name, before[n] ?? "");
    }
  },
  LIMIT_MS,
);

test(
  "the new mount fails after the old one is gone: the engine's own is back, and on-error decides",
  async () => {
    const image = "localhost/web:1.0";
    const id = await fix();
    // That all objects are there is known from this start on, for ten minutes.
    expect(await lab.newVersion(image)).not.toBe(OLD);
    const objects = join(lab.storeRoot, "objects");
    renameSync(objects, `${objects}.away`);
    writeFileSync(objects, "no directory");
    const log = join(lab.place, "crio-lxc.log");
    lab.callRuntimeBy((program) => `exec ${program} --log ${log} --log-format json "$@"`);
    try {
      await lab.start("back", image);
      const outcome = await lab.atCreate("back");
      expect(outcome).toMatchObject({ root: "engine", why: "error", policy: "on-error=run" });
      expect(outcome["error"]).toContain("Cannot mount molecule");
      const mount = await rootMount("back");
      expect(mount?.source).toBe("overlay");
      const upper = await lab.podman("inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", "back");
      expect(mount?.superOptions).toContain(`upperdir=${upper}`);
      expect(await lab.version("back")).toBe(OLD);
      await lab.shell("back", "echo mine >/srv/note");
      expect(readFileSync(join(upper, "srv/note"), "utf8")).toBe("mine\n");
      lab.policy('on-error = "refuse"');
      await expect(lab.newVersion(image)).rejects.toThrow(/Cannot mount molecule/);
    } finally {
      lab.policy();
      rmSync(objects);
      renameSync(`${objects}.away`, objects);
    }
    await lab.podman("restart", "--time", "0", "back");
    expect(await lab.version("back")).not.toBe(OLD);
    expect(await lab.shell("back", "cat /srv/note")).toBe("mine");
    lab.callRuntimeOrdinarily();
    const lines = readFileSync(log, "utf8").trim().split("\n");
    const told = lines.map((line) => JSON.parse(line) as { level: string; msg: string; time: string });
    const said = (level: string, msg: RegExp) =>
      expect(told).toContainEqual({
        level,
        msg: expect.stringMatching(msg) as unknown as string,
        time: expect.stringMatching(/^2.*Z$/) as unknown as string,
      });
    said(
      "warning",
      /^AtomFS failed, the container runs on the engine's own root, without fixes: Cannot mount molecule/,
    );
    said("error", /on-error = "refuse" lets no container start then: Cannot mount molecule/);
    said("info", /^the root is molecule [0-9a-f]{12} of image [0-9a-f]{12}, with 1 fix/);
    await lab.remove("back");
    await lab.atomfs("fix", "revert", id);
  },
  LIMIT_MS,
);

test(
  "neither mount can be made: no container runs on nothing, whatever on-error says, and the next start is as always",
  async () => {
    const image = "localhost/web:1.0";
    const id = await fix();
    lab.traceCreate("-o /dev/null -e trace=move_mount -e inject=move_mount:error=EIO");
    await expect(lab.start("lost", image)).rejects.toThrow(
      /is lost: the engine's own mount could not be put back/,
    );
    lab.callRuntimeOrdinarily();
    await lab.podman("start", "lost");
    expect(await lab.version("lost")).not.toBe(OLD);
    await lab.remove("lost");
    await lab.atomfs("fix", "revert", id);
  },
  LIMIT_MS,
);

test(
  "an image of an additional image store",
  async () => {
    const other = join(lab.place, "other-store");
    await lab.podman("rmi", "--all", "--force");
    const image = await lab.pull("web", other);
    lab.changeStorageConf((text) =>
      text.replace(/additionalimagestores = .*/, `additionalimagestores = ["${other}"]`),
    );
    expect(await lab.podman("images", "--format", "{{.Repository}} {{.ReadOnly}}")).toBe(
      "localhost/web true",
    );
    await followsTheFix(image, "stat -c '%n %a %u:%g' /srv /etc/shadow");
    lab.changeStorageConf((text) => text.replace(/additionalimagestores = .*/, "additionalimagestores = []"));
  },
  LIMIT_MS,
);

test(
  "a graph root with a long path",
  async () => {
    // Podman keeps the graph root that it had first.
    await lab[Symbol.asyncDispose]();
    lab = await AtCreateLab.open(NETWORK);
    // With more, containers/storage finds that the kernel has no overlay: its probe names four directories.
    const long = join(lab.place, ..."abcd".split("").map((letter) => letter.repeat(200)), "graph");
    lab.changeStorageConf((text) => text.replace(/graphroot = .*/, `graphroot = "${long}"`));
    const image = await lab.pull("web");
    expect(await lab.podman("info", "--format", "{{.Store.GraphRoot}}")).toBe(long);
    await followsTheFix(image, "stat -c '%n %a %u:%g' /srv /etc/shadow");
  },
  LIMIT_MS,
);
