import { buildDemoImages, type DemoImages } from "../../scripts/demo/images.ts";
import { openWorkplace, type Place, type Workplace } from "../../scripts/demo/workplace.ts";
import { PodmanEngine } from "../../src/engines/podman/containers.ts";
import { Store } from "../../src/store/store.ts";
import { run } from "../../src/sys/process.ts";
import { ATOMFS } from "./atomfs-program.ts";
import { patience } from "./slowness.ts";

const CACHE = "/var/cache/atomfs-demo";

export type ContainerRow = {
  readonly name: string;
  readonly id: string;
  readonly root: string;
  readonly molecule?: string;
};

export type Verified = {
  readonly isFixed: boolean;
  readonly images: readonly { readonly problems: readonly string[] }[];
  readonly containers: readonly {
    readonly name: string;
    readonly root: string;
    readonly proof: string;
    readonly processes: number;
    readonly provenMappings: number;
    readonly problems: readonly string[];
  }[];
};

export type Answer<T> = { readonly code: number; readonly answer: T; readonly stderr: string };

/** A machine as an operator has it: a store, Podman with runc, the demo's images. Everything goes at the end. */
export class FixMachine implements AsyncDisposable {
  readonly workplace: Workplace;
  readonly images: DemoImages;
  readonly #starts = new Map<string, number>();

  private constructor(workplace: Workplace, images: DemoImages) {
    this.workplace = workplace;
    this.images = images;
  }

  static async open(place: Place): Promise<FixMachine> {
    const images = await buildDemoImages({ cacheDir: CACHE, log: () => undefined });
    return new FixMachine(await openWorkplace(place), images);
  }

  get root(): string {
    return this.workplace.root;
  }

  /** `atomfs --json ARGS`: whatever it ends with is an answer. */
  async atomfs<T>(...args: string[]): Promise<Answer<T>> {
    const { code, stdout, stderr } = await run([...ATOMFS, "--json", ...args], {
      env: this.workplace.env,
      okCodes: [0, 1, 2, 3, 4, 5, 6, 7, 8],
    });
    const text = stdout.toString();
    return { code, answer: (text === "" ? undefined : JSON.parse(text)) as T, stderr };
  }

  async podman(...args: string[]): Promise<string> {
    return (await run(["podman", ...args], { env: this.workplace.env })).stdout.toString().trim();
  }

  /** Runs a container that sleeps at the end of its Python program. Debian's python3 itself maps the library. */
  async python(name: string, program: string, options: readonly string[] = []): Promise<void> {
    const start = `import ctypes, mmap, os, shutil, threading, time\nLIB = "${LIBRARY}"\n`;
    const end = `\nprint("ready", flush=True)\ntime.sleep(1e6)\n`;
    await this.#start(name, ["python3", "-c", start + program + end], options);
  }

  /** The same of a shell script; neither it nor its sleep map the library. */
  async shell(name: string, script: string, options: readonly string[] = []): Promise<void> {
    await this.#start(
      name,
      ["sh", "-c", `LIB=${LIBRARY}\n${script}\necho ready\nexec sleep 1000000`],
      options,
    );
  }

  /** As root and without a grace time at its stop. */
  async #start(name: string, argv: readonly string[], options: readonly string[]): Promise<void> {
    const always = ["--detach", "--network", "none", "--user", "root", "--stop-signal", "KILL"];
    await this.podman("run", ...always, ...options, "--name", name, "web:1.0", ...argv);
    await this.untilReady(name);
  }

  /** Waits until a program has said "ready" once for each of its starts; Podman keeps what it said before. */
  async untilReady(name: string): Promise<void> {
    const starts = (this.#starts.get(name) ?? 0) + 1;
    this.#starts.set(name, starts);
    for (let left = patience(300); left > 0; left--) {
      const said = (await this.podman("logs", name)).split("\n").filter((line) => line === "ready");
      if (said.length >= starts) return;
      await Bun.sleep(200);
    }
    const { stderr } = await run(["podman", "logs", name], { env: this.workplace.env });
    const state = await this.podman("inspect", "--format", "{{json .State}}", name);
    throw new Error(`${name} is not ready: ${stderr} ${state}`);
  }

  async containers(...args: string[]): Promise<Map<string, ContainerRow>> {
    const { answer } = await this.atomfs<ContainerRow[]>("containers", ...args);
    return new Map(answer.map((row) => [row.name, row]));
  }

  async verify(): Promise<
    Answer<Verified> & { readonly of: (name: string) => Verified["containers"][number] }
  > {
    const { code, answer, stderr } = await this.atomfs<Verified[]>("fix", "verify");
    const [only] = answer;
    if (only === undefined) throw new Error(stderr);
    return {
      code,
      answer: only,
      stderr,
      of: (name) => {
        const found = only.containers.find((each) => each.name === name);
        if (found === undefined) throw new Error(`${name} was not verified`);
        return found;
      },
    };
  }

  engine(): PodmanEngine {
    const { CONTAINERS_CONF = "", CONTAINERS_STORAGE_CONF = "" } = this.workplace.env;
    return new PodmanEngine({ env: { CONTAINERS_CONF, CONTAINERS_STORAGE_CONF } });
  }

  store(): Store {
    return Store.open(this.root);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.workplace[Symbol.asyncDispose]();
  }
}

/** What the fix replaces, in all its versions. */
export const LIBRARY = "/usr/lib/x86_64-linux-gnu/libexpat.so.1.8.10";
