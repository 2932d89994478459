import { beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { buildDemoImages, DEFAULT_CACHE_DIR } from "../../scripts/demo/images.ts";
import { DemoProcess, leftovers, NOTHING_LEFT } from "../support/demo-process.ts";
import { patience } from "../support/slowness.ts";

/** Interrupted at any step, the demo leaves nothing but its images. Needs root, podman, lxc, gcc, runc and the Debian archive. */
const LIMIT_MS = patience(600_000);

const cached = (): string[] => readdirSync(DEFAULT_CACHE_DIR).sort();

beforeAll(async () => {
  await buildDemoImages({ cacheDir: DEFAULT_CACHE_DIR, log: () => undefined });
}, LIMIT_MS);

/** Where; to whom; the demo's options. */
const POINTS = [
  ["1. Real images", "group", []],
  ["2. Podman gets them", "process", []],
  ["$ atomfs import containers-storage", "group", []],
  ["$ podman run --runtime crio-lxc --detach --name feed", "group", []],
  ["4. The exploit works", "process", []],
  ["5. Fix libexpat1", "group", []],
  ["$ podman restart feed", "group", []],
  ["$ podman restart web", "process", []],
  ["$ podman run --runtime runc --detach --name feed", "process", ["--storage"]],
  ["$ atomfs restart", "group", ["--storage"]],
] as const;

for (const [point, to, options] of POINTS) {
  test(
    `interrupted at "${point}" (${to})`,
    async () => {
      const before = cached();
      const demo = new DemoProcess(options);
      await demo.until(point);
      demo.signal("SIGINT", to);
      const { code, output, stderr } = await demo.end();
      expect({ code, stderr }).toEqual({ code: 130, stderr: "demo: Stopped by SIGINT\n" });
      expect(output).not.toContain("WHAT ");
      expect(leftovers()).toEqual(NOTHING_LEFT);
      expect(cached()).toEqual(before);
    },
    LIMIT_MS,
  );
}

test(
  "impatient: interrupted again and again while it cleans up",
  async () => {
    const demo = new DemoProcess();
    await demo.until("4. The exploit works");
    const ended = demo.end();
    for (let times = 0; times < 20; times++) {
      try {
        demo.signal("SIGINT", "group");
      } catch {
        break; // It has ended.
      }
      await Bun.sleep(50);
    }
    expect((await ended).code).toBe(130);
    expect(leftovers()).toEqual(NOTHING_LEFT);
  },
  LIMIT_MS,
);

test(
  "killed: the next run removes what was left",
  async () => {
    const ends = [
      ["$ atomfs import oci", ["--storage"]],
      ["$ podman run --runtime crio-lxc --detach --name feed", []],
      ["$ podman restart web", []],
    ] as const;
    for (const [point, options] of ends) {
      const killed = new DemoProcess(options);
      await killed.until(point);
      killed.signal("SIGKILL", "process");
      await killed.end();
      expect(leftovers()["files"]).not.toEqual([]);
      const next = new DemoProcess();
      await next.until("1. Real images");
      next.signal("SIGINT", "group");
      expect((await next.end()).code).toBe(130);
      expect(leftovers()).toEqual(NOTHING_LEFT);
    }
  },
  LIMIT_MS,
);

test(
  "a second demo at a time is refused and does not disturb the first",
  async () => {
    const first = new DemoProcess();
    await first.until("2. Podman gets them");
    const second = await new DemoProcess(["--storage"]).end();
    expect({ code: second.code, stderr: second.stderr }).toEqual({
      code: 5,
      stderr: "demo: Another demo is running on this machine\ndemo: hint: wait until it has ended\n",
    });
    await first.until("3. Run two");
    first.signal("SIGINT", "process");
    expect((await first.end()).code).toBe(130);
    expect(leftovers()).toEqual(NOTHING_LEFT);
  },
  LIMIT_MS,
);

test(
  "what the machine lacks is said in one sentence",
  async () => {
    const nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    const user = await new DemoProcess([], {}, nobody).end();
    expect(user.code).toBe(6);
    expect(user.stderr).toStartWith("demo: The demo mounts filesystems and runs containers: it needs root\n");

    const scratch = mkdtempSync("/var/tmp/atomfs-demo-test-");
    try {
      for (const directory of ["/usr/sbin", "/usr/bin"]) {
        for (const name of readdirSync(directory)) {
          const link = join(scratch, name);
          if (name !== "podman" && !existsSync(link)) symlinkSync(join(directory, name), link);
        }
      }
      const bare = await new DemoProcess(["--json"], { PATH: scratch }).end();
      expect({ code: bare.code, stderr: bare.stderr }).toEqual({
        code: 6,
        stderr: "demo: The demo needs podman\ndemo: hint: apt-get install podman\n",
      });
      expect(JSON.parse(bare.output)).toEqual({ passed: false, error: "The demo needs podman", steps: [] });

      const env = { ATOMFS_DEMO_CACHE: join(scratch, "cache") };
      const offline = await new DemoProcess([], env, ["unshare", "--net"]).end();
      expect(offline.code).toBe(1);
      expect(offline.stderr).toMatch(
        /^demo: Cannot bootstrap Debian bookworm: .*Release.*\ndemo: hint: the machine must reach/,
      );
      expect(offline.stderr.trim().split("\n")).toHaveLength(2);
    } finally {
      rmSync(scratch, { recursive: true });
    }
    const unknown = await new DemoProcess(["--jason"]).end();
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toStartWith("demo: The demo does not know --jason\ndemo: hint: ");
    const kept = await new DemoProcess([], { npm_config_storage: "true" }).end();
    expect(kept.code).toBe(2);
    expect(kept.stderr).toContain("npm run demo -- --storage\n");
    expect((await new DemoProcess(["--help"]).end()).output).toContain("--storage");
    expect(leftovers()).toEqual(NOTHING_LEFT);
  },
  LIMIT_MS,
);
