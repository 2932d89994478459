import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { becomeSubreaper, readStat, waitChild } from "../../src/sys/pid.ts";
import { patience } from "./slowness.ts";

const REPOSITORY = join(import.meta.dir, "../..");
const APPLETS = [
  "sh",
  "cat",
  "echo",
  "env",
  "grep",
  "id",
  "kill",
  "ls",
  "ps",
  "readlink",
  "sed",
  "sleep",
  "stty",
  "touch",
  "true",
  "tty",
];

export type Answer = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** What `crio-lxc spec` writes, as far as tests change it. */
export type Config = {
  process: { args: string[]; terminal: boolean; [name: string]: unknown };
  linux: { namespaces: { type: string; path?: string }[]; [name: string]: unknown };
  [name: string]: unknown;
};

/**
 * Containers of the built crio-lxc (and, for comparison, of another runtime) out of bundles with busybox in them, without an
 * engine. This process is the subreaper, as conmon is.
 */
export class ContainerLab implements Disposable {
  readonly scratch: string;
  readonly root: string;
  readonly bundle: string;
  readonly program: string;
  #serial = 0;

  /** @param program a runtime; undefined: crio-lxc, built from this checkout */
  constructor(program?: string) {
    this.scratch = mkdtempSync("/var/tmp/atomfs-lab-");
    this.root = join(this.scratch, "run");
    this.bundle = join(this.scratch, "bundle");
    this.program = program ?? join(REPOSITORY, "dist/crio-lxc");
    if (program === undefined) build();
    becomeSubreaper();
    const rootfs = join(this.bundle, "rootfs");
    for (const name of ["bin", "dev", "etc", "proc", "sys", "tmp"])
      mkdirSync(join(rootfs, name), { recursive: true });
    const busybox = Bun.which("busybox");
    if (busybox === null) throw new Error("this test needs busybox-static");
    cpSync(busybox, join(rootfs, "bin/busybox"));
    for (const name of APPLETS) symlinkSync("busybox", join(rootfs, "bin", name));
  }

  [Symbol.dispose](): void {
    reapOrphans();
    for (const name of existsSync(this.root) ? readdirSync(this.root) : [])
      this.call("delete", "--force", name);
    reapOrphans();
    rmSync(this.scratch, { recursive: true, force: true });
  }

  /** A new id, and in the bundle a config.json for it: a container that sleeps, unless `change` makes it another. */
  container(change: (config: Config) => void = () => undefined): string {
    const id = `lab${process.pid}-${this.#serial++}`;
    const file = join(this.bundle, "config.json");
    rmSync(file, { force: true });
    const spec = Bun.spawnSync([join(REPOSITORY, "dist/crio-lxc"), "spec", "--bundle", this.bundle]);
    if (spec.exitCode !== 0) throw new Error(spec.stderr.toString());
    const config: Config = JSON.parse(readFileSync(file, "utf8"));
    config.process.terminal = false;
    config.process.args = ["sleep", "1000"];
    change(config);
    writeFileSync(file, JSON.stringify(config));
    return id;
  }

  /** Creates and starts a new container. */
  running(change?: (config: Config) => void): { readonly id: string; readonly pid: number } {
    const id = this.container(change);
    const pid = this.create(id);
    this.must("start", id);
    return { id, pid };
  }

  create(id: string): number {
    const pidFile = join(this.scratch, "pid");
    this.must("create", "--bundle", this.bundle, "--pid-file", pidFile, id);
    return Number(readFileSync(pidFile, "latin1"));
  }

  argv(...args: readonly string[]): string[] {
    return [this.program, "--root", this.root, ...args];
  }

  call(...args: readonly string[]): Answer {
    return this.spawn(this.argv(...args));
  }

  /** @throws Error with what the runtime said, unless it succeeds */
  must(...args: readonly string[]): string {
    const { code, stdout, stderr } = this.call(...args);
    if (code !== 0) throw new Error(`${args.join(" ")}: exit code ${code}: ${stderr}`);
    return stdout;
  }

  /** As `call`; meanwhile children that end are reaped, as conmon would: a PID namespace waits for each of its processes. */
  async callReaping(...args: readonly string[]): Promise<Answer> {
    const files = new OutputFiles(this.scratch);
    const child = Bun.spawn(this.argv(...args), { stdin: "ignore", stdout: files.out, stderr: files.err });
    files.close();
    for (let ended = false; !ended; ) {
      ended = await Promise.race([child.exited.then(() => true), Bun.sleep(5).then(() => false)]);
      reapOrphans(child.pid);
    }
    return { code: child.exitCode, ...files.read() };
  }

  /** Output goes into files: a container keeps a pipe open as long as it lives. */
  spawn(
    argv: readonly string[],
    options: { readonly stdin?: string; readonly timeoutMs?: number } = {},
  ): Answer {
    const files = new OutputFiles(this.scratch);
    const child = Bun.spawnSync([...argv], {
      stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
      stdout: files.out,
      stderr: files.err,
      timeout: patience(options.timeoutMs ?? 60_000),
    });
    files.close();
    return { code: child.exitCode, ...files.read() };
  }

  status(id: string): string {
    return JSON.parse(this.must("state", id)).status;
  }

  /** What the container's record says. */
  record(id: string): {
    init?: { pid: number; startTime: number };
    cgroups: string[];
    [name: string]: unknown;
  } {
    return JSON.parse(readFileSync(join(this.root, id, "state.json"), "utf8"));
  }

  /** Everything on the machine that has the container's name, in a form that says where. */
  traces(id: string): string[] {
    reapOrphans();
    const found = cgroupDirectories().filter((path) => path.includes(id));
    for (const directory of [this.root, `/run/lxc/lock${this.root}`]) {
      for (const name of existsSync(directory) ? readdirSync(directory) : []) {
        if (name.includes(id)) found.push(join(directory, name));
      }
    }
    if (readFileSync("/proc/self/mountinfo", "latin1").includes(id)) found.push("a mount");
    for (const pid of readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name))) {
      // One that has ended is its parent's: of another container, in a shared PID namespace.
      if (readStat(Number(pid))?.state === "Z") continue;
      const line = readIfAlive(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
      const inside = readIfAlive(`/proc/${pid}/cgroup`).includes(id);
      if (inside || line.includes(id)) found.push(`process ${pid} ${line}`);
    }
    return found;
  }
}

class OutputFiles {
  readonly #names: readonly string[];
  readonly out: number;
  readonly err: number;

  constructor(directory: string) {
    this.#names = ["stdout", "stderr"].map((name) => join(directory, name));
    const [out = 1, err = 2] = this.#names.map((name) => openSync(name, "w"));
    this.out = out;
    this.err = err;
  }

  close(): void {
    closeSync(this.out);
    closeSync(this.err);
  }

  read(): { readonly stdout: string; readonly stderr: string } {
    const [stdout = "", stderr = ""] = this.#names.map((name) => readFileSync(name, "utf8"));
    return { stdout, stderr };
  }
}

function build(): void {
  const built = Bun.spawnSync([process.execPath, join(REPOSITORY, "scripts/build.ts")], { cwd: REPOSITORY });
  if (built.exitCode !== 0) throw new Error(built.stderr.toString());
}

function cgroupDirectories(): string[] {
  return Bun.spawnSync(["find", "/sys/fs/cgroup", "-type", "d"]).stdout.toString().split("\n");
}

function readIfAlive(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** This process adopts what the killed ones left. @param except a child that somebody else waits for */
export function reapOrphans(except?: number): void {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "latin1").trim();
  for (const pid of children.split(" ").map(Number)) {
    if (pid !== except && readStat(pid)?.state === "Z") waitChild(pid);
  }
}
