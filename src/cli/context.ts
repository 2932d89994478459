import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { CriEngine } from "../engines/cri/containers.ts";
import type { Engine, EngineContainer } from "../engines/engine.ts";
import { PodmanEngine } from "../engines/podman/containers.ts";
import { deployImages } from "../engines/podman/deploy.ts";
import { DEFAULT_ROOT_DIRECTORY } from "../store/layout.ts";
import { Store } from "../store/store.ts";
import { Output } from "./output.ts";

export type GlobalOptions = { readonly root?: string; readonly json?: boolean };

/** What every verb gets: where the store is, where to write, when to stop. */
export type Context = {
  /** Absolute: mounts and leases go by its spelling. */
  readonly root: string;
  /** The directory whose etc/apt says which repositories there are and which keys may sign them. */
  readonly aptRoot: string;
  readonly output: Output;
  readonly signal: AbortSignal;
  /** The command line, for the journal. */
  readonly commandLine: string;
  /** Says how the process ends if nothing is thrown: 0, or 3 if something is blocked or unproven. */
  readonly setExitCode: (code: number) => void;
};

export function makeContext(options: GlobalOptions, signal: AbortSignal): Context {
  return {
    root: resolve(options.root ?? environment("ATOMFS_ROOT") ?? DEFAULT_ROOT_DIRECTORY),
    aptRoot: resolve(environment("ATOMFS_APT_ROOT") ?? "/"),
    output: new Output(options.json === true),
    signal,
    commandLine: ["atomfs", ...process.argv.slice(2)].map(quoted).join(" "),
    setExitCode: (code) => {
      process.exitCode = code;
    },
  };
}

/** An empty variable is as good as none. */
export function environment(name: string): string | undefined {
  const value = process.env[name];
  return value === "" ? undefined : value;
}

/** As a shell would want it. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export function requireRoot(): void {
  if (process.geteuid?.() === 0) return;
  throw new AtomfsError(
    "unsupported",
    "AtomFS mounts filesystems and reads other users' processes: it needs root",
    {
      hints: ["run it with sudo"],
    },
  );
}

export function openStore(
  context: Context,
  options: { readonly create?: boolean; readonly damaged?: boolean } = {},
): Store {
  requireRoot();
  if (!existsSync("/proc/self/mountinfo")) {
    throw new AtomfsError("unsupported", "There is no /proc here: AtomFS runs on Linux");
  }
  return Store.open(context.root, options);
}

/**
 * The engines that this machine has: Podman, and on a node of Kubernetes what its kubelet uses. A line for people says which
 * cannot be asked, or that there is none.
 * @param options.mustWork an answer would be wrong if containers were left out: an engine that is there but fails ends
 * the command
 */
export async function openEngines(
  context: Context,
  options: { readonly mustWork: boolean },
): Promise<readonly Engine[]> {
  const isNode = CriEngine.isConfigured();
  const hasPodman = Bun.which("podman") !== null;
  const found: Engine[] = [];
  for (const engine of [
    ...(hasPodman || !isNode ? [new PodmanEngine()] : []),
    ...(isNode ? [new CriEngine()] : []),
  ]) {
    const problem = await engine.describeUnavailable();
    if (problem === undefined) found.push(engine);
    else if (options.mustWork && (engine.name === "cri" || hasPodman)) {
      throw new AtomfsError("unsupported", `Cannot ask for containers: ${problem}`, {
        hints: [`does \`${engine.name === "cri" ? "crictl ps" : "podman info"}\` work?`],
      });
    } else context.output.say(`note: ${problem}`);
  }
  return found;
}

/**
 * Where the engine under kubelet has its images and containers, which its own configuration says, not storage.conf. Nothing is
 * known of what it holds while it does not answer: a line for people says so.
 * @param otherwise what this means for the command, as a sentence
 */
export async function criStorageRoots(
  context: Context,
  otherwise = "Images that it was seen to hold are kept.",
): Promise<readonly string[]> {
  if (!CriEngine.isConfigured()) return [];
  const engine = new CriEngine();
  const problem = await engine.describeUnavailable();
  if (problem === undefined) return engine.storageRoots({ signal: context.signal });
  context.output.say(`note: ${problem} ${otherwise}`);
  return [];
}

/** The containers of all engines, as `openEngines`. */
export async function listContainers(
  context: Context,
  options: { readonly mustWork: boolean },
): Promise<readonly EngineContainer[]> {
  const engines = await openEngines(context, options);
  const lists = await Promise.all(engines.map((engine) => engine.listContainers({ signal: context.signal })));
  return lists.flat();
}

/**
 * Lets the engines' view follow the journal. An error is given back, not thrown: what the journal holds by now is
 * answered first, then the command fails with it.
 */
export function tryDeploy(store: Store, askedFor: readonly Sha256[] = []): unknown {
  try {
    deployImages(store, askedFor);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Ends a command whose answer is out with the error of `tryDeploy`, if there was one. */
export function failWith(error: unknown): void {
  if (error !== undefined) throw error;
}
