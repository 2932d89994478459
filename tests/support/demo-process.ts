import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DEFAULT_CACHE_DIR } from "../../scripts/demo/images.ts";
import { crioLxcContainers, processesOf } from "../../scripts/demo/workplace.ts";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";

const MAIN = join(import.meta.dir, "../../scripts/demo/main.ts");
const DIRECTORY = "/var/tmp/atomfs-demo";
const RUN_DIRECTORY = runDirectoryOf(join(DIRECTORY, "store"));

const CGROUPS = "/sys/fs/cgroup";
/** Somebody else's. */
const ABANDONED_BEFORE: ReadonlySet<string> = new Set(abandonedCgroups());

/** The demo as a child that leads a process group, as a shell would start it. */
export class DemoProcess {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #output: AsyncIterator<Uint8Array>;
  readonly #stderr: Promise<string>;
  output = "";

  constructor(
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
    before: readonly string[] = [],
  ) {
    this.#child = Bun.spawn([...before, process.execPath, MAIN, ...args], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      detached: true,
      env: { ...process.env, ...env },
    });
    this.#output = this.#child.stdout[Symbol.asyncIterator]();
    this.#stderr = new Response(this.#child.stderr).text();
  }

  /** Reads on until the output has this text. */
  async until(text: string): Promise<void> {
    while (!this.output.includes(text)) {
      const { done, value } = await this.#output.next();
      if (done) throw new Error(`The demo ended before "${text}":\n${this.output}\n${await this.#stderr}`);
      this.output += Buffer.from(value).toString();
    }
  }

  /** To the demo alone, or as a terminal does it, to all programs of its group. */
  signal(signal: "SIGINT" | "SIGKILL", to: "process" | "group"): void {
    process.kill(to === "group" ? -this.#child.pid : this.#child.pid, signal);
  }

  async end(): Promise<{ readonly code: number; readonly output: string; readonly stderr: string }> {
    for (;;) {
      const { done, value } = await this.#output.next();
      if (done) break;
      this.output += Buffer.from(value).toString();
    }
    return { code: await this.#child.exited, output: this.output, stderr: await this.#stderr };
  }
}

/** Everything that a demo can leave on a machine; empty lists when it left nothing. */
export function leftovers(): Readonly<Record<string, readonly (string | number)[]>> {
  const isOurs = (path: string): boolean => path.includes(DIRECTORY) || path.startsWith(`${RUN_DIRECTORY}/`);
  return {
    files: [DIRECTORY, RUN_DIRECTORY].filter((path) => existsSync(path)),
    mounts: readMountinfo()
      .map(({ target }) => target)
      .filter(isOurs),
    commands: processesOf(DIRECTORY),
    inContainers: containerProcesses(),
    runtimeState: crioLxcContainers(DIRECTORY),
    cgroups: abandonedCgroups().filter((path) => !ABANDONED_BEFORE.has(path)),
    bridges: readdirSync("/sys/class/net").filter((name) => name === "atomfs-demo0"),
    halfMade: readdirSync(DEFAULT_CACHE_DIR).filter((name) => name.startsWith("tmp-")),
  };
}

export const NOTHING_LEFT: ReturnType<typeof leftovers> = {
  files: [],
  mounts: [],
  commands: [],
  inContainers: [],
  runtimeState: [],
  cgroups: [],
  bridges: [],
  halfMade: [],
};

/** Cgroups of Podman's containers whose id no process has in its command line: neither conmon nor whoever removes them. */
function abandonedCgroups(): string[] {
  const found = ["", ...readdirSync(CGROUPS)]
    .map((hierarchy) => join(CGROUPS, hierarchy, "libpod_parent"))
    .filter((parent) => existsSync(parent))
    .flatMap((parent) => readdirSync(parent).map((name) => join(parent, name)))
    .filter((path) => /[0-9a-f]{64}$/.test(path));
  if (found.length === 0) return [];
  const commands = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "latin1");
      } catch {
        return "";
      }
    })
    .join("\0");
  return found.filter((path) => !commands.includes(path.slice(-64)));
}

/** Processes whose root is a container's of the demo. */
function containerProcesses(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readMountinfo(pid).some(
          ({ target, superOptions }) =>
            target === "/" && superOptions.some((option) => option.includes(DIRECTORY)),
        );
      } catch {
        return false;
      }
    });
}
