import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../src/core/errors.ts";
import { cgroupFacts } from "../src/runtime/read-host-facts.ts";
import { readMountinfo } from "../src/sys/mountinfo.ts";
import { run } from "../src/sys/process.ts";
import type { Bench } from "./bench.ts";
import { pullPlain } from "./plain-image.ts";

/** Below the root of every hierarchy. */
const CGROUP = "/atomfs-bench";
const OPTIONS = ["--network", "none", "--memory", "256m", "--cpus", "1", "--pids-limit", "100"] as const;

/** What Podman gives a runtime for a container of the demo's `web`, with a seccomp profile, masked paths and limits. */
export type RuntimeBundle = AsyncDisposable & {
  /** For the runtimes' own files: in memory, as /run is wherever systemd runs. */
  readonly stateDirectory: string;
  /** The same container with these arguments. @returns the bundle's directory */
  readonly write: (args: readonly string[]) => string;
};

/** Podman makes a container of its own and does not start it: its root and the files that are mounted into it are used here. */
export async function openRuntimeBundle(bench: Bench): Promise<RuntimeBundle> {
  const { place, signal } = bench;
  const podman = async (...args: readonly string[]): Promise<string> =>
    (await run(["podman", ...args], { env: place.plainEnv, signal })).stdout.toString().trim();
  const image = await pullPlain(bench, bench.images.web.source);
  const id = await podman("create", ...OPTIONS, image, "/bin/true");
  await podman("init", id);
  const path = await podman("inspect", "--format", "{{.OCIConfigPath}}", id);
  const config: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (!isConfig(config)) throw new AtomfsError("bad-data", `${path} is no configuration of a container`);
  const stateDirectory = mkdtempSync("/dev/shm/atomfs-bench-");
  return {
    stateDirectory,
    write(args) {
      const directory = place.newPath("bundle");
      mkdirSync(directory);
      const { process, linux } = config;
      const own = {
        ...config,
        process: { ...process, args },
        linux: { ...linux, cgroupsPath: `${CGROUP}/container` },
      };
      writeFileSync(join(directory, "config.json"), JSON.stringify(own));
      return directory;
    },
    async [Symbol.asyncDispose]() {
      rmSync(stateDirectory, { recursive: true, force: true });
      await run(["podman", "rm", "--force", "--time", "0", id], { env: place.plainEnv });
      const { hierarchies, unified } = cgroupFacts(readMountinfo());
      const roots = [
        ...hierarchies.map(({ mountPoint }) => mountPoint),
        ...(unified === undefined ? [] : [unified]),
      ];
      for (const directory of roots.map((root) => root + CGROUP)) {
        if (existsSync(directory)) rmdirSync(directory);
      }
    },
  };
}

type Config = { readonly process: object; readonly linux: object };

function isConfig(value: unknown): value is Config {
  if (typeof value !== "object" || value === null) return false;
  const { process, linux } = value as Readonly<Record<string, unknown>>;
  return typeof process === "object" && process !== null && typeof linux === "object" && linux !== null;
}
