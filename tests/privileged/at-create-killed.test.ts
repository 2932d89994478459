import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { VULNERABLE_PACKAGE, VULNERABLE_VERSION } from "../../scripts/demo/images.ts";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";
import { AtCreateLab } from "../support/at-create-lab.ts";
import { patience } from "../support/slowness.ts";

/*
 * `crio-lxc create` is killed while it puts a molecule in the place of the engine's root: strace(1) sends SIGKILL as it
 * enters a system call. The real Podman must be able to go on, and to remove the container.
 */

const LIMIT_MS = patience(240_000);
let lab: AtCreateLab;
let image = "";

beforeAll(async () => {
  lab = await AtCreateLab.open({ subnet: "10.89.194.0/24", bridge: "atomfs-create4" });
  image = await lab.pull("web");
  await lab.atomfs("import", `containers-storage:${image}`);
  await lab.atomfs("fix", VULNERABLE_PACKAGE, "--yes");
  // What the kernel can is found out by the first start: it has mounts of its own.
  await lab.newVersion(image);
}, patience(600_000));
afterAll(() => lab[Symbol.asyncDispose](), patience(120_000));

const strings = (path: string): string => readFileSync(path, "latin1");

/** The mounts that a create changes or makes, in order; the n-th call of a name is `name n`. */
async function callsOfReplacing(): Promise<string[]> {
  const log = join(lab.place, "calls");
  const trace = "umount2,fsopen,fsconfig,fsmount,mount,move_mount,mount_setattr,open_tree";
  lab.traceCreate(`-o ${log} -e trace=${trace}`);
  await lab.newVersion(image);
  lab.callRuntimeOrdinarily();
  const seen = new Map<string, number>();
  const calls = strings(log)
    .split("\n")
    .flatMap((line) => {
      const name = /^[a-z0-9_]+(?=\()/.exec(line)?.[0];
      if (name === undefined) return [];
      const ordinal = (seen.get(name) ?? 0) + 1;
      seen.set(name, ordinal);
      return [{ point: `${name} ${ordinal}`, isEnd: name === "move_mount" && line.includes("/merged") }];
    });
  const first = calls.findIndex(({ point }) => point.startsWith("umount2"));
  const last = calls.findIndex(({ isEnd }) => isEnd);
  return calls.slice(first, last + 1).map(({ point }) => point);
}

/**
 * Mounts of the lab's containers, and AtomFS's own. Where the kernel takes layers by path only, a kill also leaves their
 * mount points in a directory `layers-`, which `atomfs gc` sweeps once they are old.
 */
function leftMounts(): string[] {
  const run = `${runDirectoryOf(lab.storeRoot)}/`;
  return readMountinfo()
    .map(({ target }) => target)
    .filter((target) =>
      target.startsWith(run)
        ? !target.startsWith(`${run}layers-`)
        : target.startsWith(lab.place) && target.endsWith("/merged"),
    );
}

describe("SIGKILL of create while it replaces the root", () => {
  let points: string[] = [];
  beforeAll(async () => {
    points = await callsOfReplacing();
  }, LIMIT_MS);

  /** Podman's create and start with the runtime killed at this point; Podman must say that it failed. */
  async function startKilled(name: string, point: string): Promise<void> {
    const [call, ordinal] = point.split(" ");
    lab.traceCreate(`-o /dev/null -e trace=${call} -e inject=${call}:signal=KILL:when=${ordinal}`);
    await expect(lab.podman("start", name)).rejects.toThrow();
    lab.callRuntimeOrdinarily();
  }

  test(
    "there are moments with no root at all",
    () => {
      expect(points[0]).toStartWith("umount2");
      expect(points.at(-1)).toStartWith("move_mount");
      expect(points.length).toBeGreaterThan(3);
    },
    LIMIT_MS,
  );

  test(
    "podman start goes on, with the fix and all that the container wrote",
    async () => {
      await lab.start("victim", image);
      await lab.shell("victim", "echo mine >/srv/note; rm /usr/bin/faillog; chmod 700 /usr/bin/perl");
      const upper = await lab.podman("inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", "victim");
      const tree = (): string[] => (readdirSync(upper, { recursive: true }) as string[]).sort();
      await lab.podman("stop", "--time", "0", "victim");
      const before = tree();
      // The entry, each kind of call between, the last one before the root is there, and the first after it.
      for (const point of spread(points, 5)) {
        await startKilled("victim", point);
        expect({ point, tree: tree() }).toEqual({ point, tree: before });
        await lab.podman("start", "victim");
        expect({ point, version: await lab.version("victim") }).not.toEqual({
          point,
          version: VULNERABLE_VERSION,
        });
        expect(await lab.atCreate("victim")).toMatchObject({ root: "molecule", why: "fix" });
        const seen = await lab.shell(
          "victim",
          "cat /srv/note; ls /usr/bin/faillog 2>&1 || stat -c %a /usr/bin/perl",
        );
        expect({ point, seen }).toEqual({
          point,
          seen: expect.stringMatching(/^mine\nls: cannot access .*\n700$/) as unknown as string,
        });
        await lab.podman("stop", "--time", "0", "victim");
      }
      await lab.remove("victim");
      expect(leftMounts()).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    "podman rm --force removes everything",
    async () => {
      for (const point of spread(points, 4)) {
        await lab.podman("create", "--name", "victim", "--network", "none", image, "sleep", "1000000");
        const id = await lab.podman("inspect", "--format", "{{.Id}}", "victim");
        await startKilled("victim", point);
        await lab.remove("victim");
        expect({ point, mounts: leftMounts() }).toEqual({ point, mounts: [] });
        expect({ point, isThere: existsSync(join("/run/crio-lxc", id)) }).toEqual({ point, isThere: false });
      }
    },
    LIMIT_MS,
  );
});

/** So many of them, the first and the last too. */
function spread(points: readonly string[], count: number): string[] {
  const step = (points.length - 1) / (count - 1);
  const chosen = Array.from({ length: count }, (_, n) => points[Math.round(n * step)] ?? "");
  return [...new Set(chosen)];
}
