import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
  static async open(network: { readonly subnet: string; readonly bridge: string }): Promise<AtCreateLab> {
    const place = mkdtempSync("/var/tmp/atomfs-at-create-");
    await run([process.execPath, join(REPOSITORY, "scripts/build.ts")], { cwd: REPOSITORY });
    const wrapper = join(place, "crio-lxc");
    const settings = `export ATOMFS_ROOT=${join(place, "store")} ATOMFS_CONFIG=${join(place, "atomfs.toml")}`;
    writeFileSync(wrapper, `#!/bin/sh\n${settings}\nexec ${REPOSITORY}/dist/crio-lxc "$@"\n`);
    chmodSync(wrapper, 0o755);
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

  /** Into Podman's storage, as `localhost/NAME:1.0`. @returns that name */
  async pull(name: DemoImageName): Promise<string> {
    const { layout, tag } = this.#images[name];
    const full = `localhost/${name}:1.0`;
    await run(["skopeo", "copy", "-q", `oci:${layout}:${tag}`, `containers-storage:${full}`], {
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
    const argv = [join(REPOSITORY, "dist/crio-lxc"), "--root", RUNTIME_STATE, "state", id] as const;
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

  async remove(...names: string[]): Promise<void> {
    await this.podman("rm", "--force", "--time", "0", ...names);
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
    for (const { target } of readMountinfo().reverse()) {
      if (target.startsWith(`${place}/`)) await run(["umount", target], { okCodes: [0, 1, 32] });
    }
    rmSync(runDirectoryOf(storeRoot), { recursive: true, force: true });
    rmSync(place, { recursive: true, force: true });
  }
}

function versionIn(line: string): string {
  return line.split("\t")[1] ?? line;
}
