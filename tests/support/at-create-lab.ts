import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  buildDemoImages,
  DEFAULT_CACHE_DIR,
  type DemoImageName,
  type DemoImages,
  VULNERABLE_PACKAGE,
} from "../../scripts/demo/images.ts";
import { writePodmanConfig } from "../../scripts/demo/podman-config.ts";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";
import { run } from "../../src/sys/process.ts";
import { ATOMFS } from "./atomfs-program.ts";

const REPOSITORY = join(import.meta.dir, "../..");
const RUNTIME_STATE = "/run/crio-lxc";
/** What Podman calls, and what it calls in turn. */
const PROGRAM = join(REPOSITORY, "dist/crio-lxc");
const ORDINARY_CALL = `exec ${PROGRAM} "$@"`;

/** What `atomfs containers --json` says of one. */
export type ListedContainer = {
  readonly name: string;
  readonly root: string;
  readonly findings: readonly string[];
  readonly atCreate?: Readonly<Record<string, string>>;
};

/** The real Podman with an ordinary storage of its own, crio-lxc as its runtime, and an empty AtomFS store. */
export class AtCreateLab implements AsyncDisposable {
  readonly place: string;
  readonly storeRoot: string;
  readonly env: Record<string, string | undefined>;
  readonly #images: DemoImages;

  private constructor(place: string, env: Record<string, string | undefined>, images: DemoImages) {
    this.place = place;
    this.storeRoot = join(place, "store");
    this.env = { ...env, ATOMFS_ROOT: this.storeRoot };
    this.#images = images;
  }

  /** Builds crio-lxc, and the demo's images if they are not there. */
  static async open(options: {
    readonly subnet: string;
    readonly bridge: string;
    /** Where the lab's own directory is made, with Podman's storage and the store; default: /var/tmp. */
    readonly parent?: string;
  }): Promise<AtCreateLab> {
    const { parent = "/var/tmp", ...network } = options;
    const place = mkdtempSync(join(parent, "atomfs-at-create-"));
    await run([process.execPath, join(REPOSITORY, "scripts/build.ts")], { cwd: REPOSITORY });
    const wrapper = join(place, "crio-lxc");
    writeWrapper(place, ORDINARY_CALL);
    mkdirSync(join(place, "podman"));
    const conf = await writePodmanConfig({
      directory: join(place, "podman"),
      imageStores: [],
      runtime: { name: "crio-lxc", path: wrapper },
      ...network,
    });
    const signal = new AbortController().signal;
    const images = await buildDemoImages({ cacheDir: DEFAULT_CACHE_DIR, log: () => undefined, signal });
    return new AtCreateLab(place, { ...process.env, ...conf }, images);
  }

  /** Podman's program of the runtime, which is a script that ends with `call`; ordinarily it calls crio-lxc. */
  callRuntimeBy(call: (program: string) => string): void {
    writeWrapper(this.place, call(PROGRAM));
  }

  /** `create` runs under strace(1) with these options, every other verb as always. */
  traceCreate(options: string): void {
    this.callRuntimeBy(
      (program) =>
        `case " $* " in *" create "*) exec strace ${options} ${program} "$@";; esac\nexec ${program} "$@"`,
    );
  }

  callRuntimeOrdinarily(): void {
    writeWrapper(this.place, ORDINARY_CALL);
  }

  /** The text of Podman's storage.conf becomes another one. */
  changeStorageConf(change: (text: string) => string): void {
    const file = this.env["CONTAINERS_STORAGE_CONF"] ?? "";
    writeFileSync(file, change(readFileSync(file, "utf8")));
  }

  layoutOf(name: DemoImageName): { readonly layout: string; readonly tag: string } {
    return this.#images[name];
  }

  /**
   * Into Podman's storage, as `localhost/NAME:1.0`. @returns that name
   * @param storage another graph root
   */
  async pull(name: DemoImageName, storage?: string): Promise<string> {
    return this.pullLayout(name, this.#images[name], storage);
  }

  async pullLayout(
    name: string,
    { layout, tag }: { readonly layout: string; readonly tag: string },
    storage?: string,
  ): Promise<string> {
    const full = `localhost/${name}:1.0`;
    const place = storage === undefined ? "" : `[overlay@${storage}+${storage}-run]`;
    await run(["skopeo", "copy", "-q", `oci:${layout}:${tag}`, `containers-storage:${place}${full}`], {
      env: this.env,
    });
    return full;
  }

  async podman(...args: string[]): Promise<string> {
    return (await run(["podman", ...args], { env: this.env })).stdout.toString().trim();
  }

  /** `atomfs --json ARGS`; what it blocks is no error. */
  async atomfs<T>(...args: string[]): Promise<T> {
    return JSON.parse((await this.#atomfs(["--json", ...args])).stdout.toString()) as T;
  }

  /** `atomfs ARGS` as people see it, and how it ended. */
  async atomfsText(...args: string[]): Promise<{ readonly code: number; readonly text: string }> {
    const { code, stdout } = await this.#atomfs(args);
    return { code, text: stdout.toString() };
  }

  #atomfs(args: readonly string[]): ReturnType<typeof run> {
    const argv = [...ATOMFS, ...args] as const;
    return run(argv, { env: this.env, okCodes: [0, 3] });
  }

  async container(name: string): Promise<ListedContainer> {
    const rows = await this.atomfs<ListedContainer[]>("containers");
    const found = rows.find((row) => row.name === name);
    if (found === undefined) throw new Error(`atomfs containers does not list ${name}`);
    return found;
  }

  /** What `crio-lxc state` says AtomFS did, without the names' common beginning. */
  async atCreate(name: string): Promise<Readonly<Record<string, string>>> {
    const id = await this.podman("inspect", "--format", "{{.Id}}", name);
    const argv = [PROGRAM, "--root", RUNTIME_STATE, "state", id] as const;
    const state = JSON.parse((await run(argv)).stdout.toString()) as { annotations: Record<string, string> };
    const ours = Object.entries(state.annotations).filter(([key]) => key.startsWith("io.atomfs."));
    return Object.fromEntries(ours.map(([key, value]) => [key.slice("io.atomfs.".length), value]));
  }

  /** A container of this image that waits. */
  async start(name: string, image: string, ...options: string[]): Promise<void> {
    const waits = ["sh", "-c", "echo started; exec sleep 1000000"];
    await this.podman("run", "--detach", "--name", name, "--network", "none", ...options, image, ...waits);
  }

  async restart(name: string): Promise<void> {
    await this.podman("stop", "--time", "0", name);
    await this.podman("start", name);
  }

  /**
   * Podman's restart runs beside conmon's clean-up of what it stopped, and then a container's shm is mounted twice: each
   * `rm` unmounts it once.
   */
  async remove(...names: string[]): Promise<void> {
    const remove = (): Promise<string> => this.podman("rm", "--force", "--time", "0", ...names);
    await remove().catch((error) => {
      if (!/userdata\/shm: device or resource busy/.test(String(error))) throw error;
      return remove();
    });
  }

  /** A shell in the container, as its root. */
  async shell(name: string, script: string): Promise<string> {
    return this.podman("exec", "--user", "0", name, "sh", "-ec", script);
  }

  /** Runs a command in a new container and gives its output. */
  async inNew(image: string, ...command: string[]): Promise<string> {
    return this.podman("run", "--rm", "--network", "none", "--user", "0", image, ...command);
  }

  /** The version of the package that the demo fixes, as a new container's own database has it. */
  async newVersion(image: string): Promise<string> {
    return versionIn(await this.inNew(image, "dpkg-query", "-W", VULNERABLE_PACKAGE));
  }

  async version(name: string): Promise<string> {
    return versionIn(await this.podman("exec", name, "dpkg-query", "-W", VULNERABLE_PACKAGE));
  }

  /** What is mounted as the container's root. */
  async rootSource(name: string): Promise<string> {
    const merged = await this.podman("inspect", "--format", "{{.GraphDriver.Data.MergedDir}}", name);
    return readMountinfo().findLast((mount) => mount.target === merged)?.source ?? "none";
  }

  /** The `[at-create]` table; without text there is no file. */
  policy(...lines: readonly string[]): void {
    const file = join(this.place, "atomfs.toml");
    if (lines.length === 0) rmSync(file, { force: true });
    else writeFileSync(file, `[at-create]\n${lines.join("\n")}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { env, place, storeRoot } = this;
    await run(["podman", "pod", "rm", "--all", "--force", "--time", "0"], { env, okCodes: [0, 1, 125] });
    await run(["podman", "rm", "--all", "--force", "--time", "0"], { env, okCodes: [0, 1, 125] });
    await run([...ATOMFS, "unmount"], { env, okCodes: [0, 4] });
    const runDirectory = runDirectoryOf(storeRoot);
    for (const { target } of readMountinfo().reverse()) {
      if (target.startsWith(`${place}/`) || target.startsWith(`${runDirectory}/`))
        await run(["umount", target], { okCodes: [0, 1, 32] });
    }
    rmSync(runDirectory, { recursive: true, force: true });
    rmSync(place, { recursive: true, force: true });
  }
}

function writeWrapper(place: string, call: string): void {
  const file = join(place, "crio-lxc");
  const settings = `export ATOMFS_ROOT=${join(place, "store")} ATOMFS_CONFIG=${join(place, "atomfs.toml")}`;
  writeFileSync(file, `#!/bin/sh\n${settings}\n${call}\n`, { mode: 0o755 });
}

function versionIn(line: string): string {
  return line.split("\t")[1] ?? line;
}
