import { existsSync } from "node:fs";
import { AtomfsError } from "../core/errors.ts";
import { PodmanEngine } from "../engines/podman/containers.ts";
import { DEFAULT_ROOT_DIRECTORY } from "../mounts/molecule-mounts.ts";
import { Store } from "../store/store.ts";
import { Output } from "./output.ts";

export type GlobalOptions = { readonly root?: string; readonly json?: boolean };

/** What every verb gets: where the store is, where to write, when to stop. */
export type Context = {
  readonly root: string;
  readonly output: Output;
  readonly signal: AbortSignal;
  /** The command line, for the journal. */
  readonly commandLine: string;
  /** Says how the process ends if nothing is thrown: 0, or 3 if something is blocked or unproven. */
  readonly setExitCode: (code: number) => void;
};

export function makeContext(options: GlobalOptions, signal: AbortSignal): Context {
  return {
    root: options.root ?? process.env["ATOMFS_ROOT"] ?? DEFAULT_ROOT_DIRECTORY,
    output: new Output(options.json === true),
    signal,
    commandLine: `atomfs ${process.argv.slice(2).join(" ")}`,
    setExitCode: (code) => {
      process.exitCode = code;
    },
  };
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

export function openStore(context: Context, options: { readonly create?: boolean } = {}): Store {
  requireRoot();
  if (!existsSync("/proc/self/mountinfo")) {
    throw new AtomfsError("unsupported", "There is no /proc here: AtomFS runs on Linux");
  }
  return Store.open(context.root, options);
}

/** The machine's Podman, or undefined (with a line for people) if there is none. */
export async function openPodman(context: Context): Promise<PodmanEngine | undefined> {
  const podman = new PodmanEngine();
  const problem = await podman.describeUnavailable();
  if (problem === undefined) return podman;
  context.output.say(`note: ${problem}`);
  return undefined;
}
