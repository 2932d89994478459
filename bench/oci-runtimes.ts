import { existsSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY } from "../scripts/demo/commands.ts";
import { AtomfsError } from "../src/core/errors.ts";
import { run } from "../src/sys/process.ts";
import { type Command, foreignPrograms } from "../tests/interop/foreign-programs.ts";
import type { Bench } from "./bench.ts";

export type OciRuntime = {
  /** With its version. */
  readonly name: string;
  /** With a state directory of its own. */
  readonly command: Command;
  /** What the meter is started by. */
  readonly around: readonly string[];
};

const HYBRID = "/sys/fs/cgroup/unified/cgroup.controllers";
/** crun refuses a machine that has both versions of control groups: it is shown version 1 alone. */
const WITHOUT_V2 = [
  "unshare",
  "--mount",
  "sh",
  "-c",
  'umount /sys/fs/cgroup/unified && exec "$@"',
  "without-v2",
] as const;

/** crio-lxc first, then its peers. */
export async function ociRuntimes(
  bench: Bench,
  stateDirectory: string,
): Promise<readonly [OciRuntime, ...OciRuntime[]]> {
  const ours = await runtime(stateDirectory, [`${REPOSITORY}/dist/crio-lxc`]);
  const runc = await runtime(stateDirectory, ["/usr/sbin/runc"]);
  const crun = await crunOfTrixie(bench, stateDirectory);
  return crun === undefined ? [ours, runc] : [ours, runc, crun];
}

/** Debian 12's refuses today's version of the specification. Without the network and without a copy from before it is left out. */
async function crunOfTrixie(bench: Bench, stateDirectory: string): Promise<OciRuntime | undefined> {
  try {
    const program = await foreignPrograms({
      name: "crun",
      suite: "trixie",
      packages: ["crun", "libc6", "libcap2", "libseccomp2", "libsystemd0", "libyajl2"],
    });
    return await runtime(stateDirectory, program("usr/bin/crun"), existsSync(HYBRID) ? WITHOUT_V2 : []);
  } catch (error) {
    if (!(error instanceof AtomfsError) || error.kind === "interrupted") throw error;
    bench.say(`crun is not to be had: ${error.message}`);
    return undefined;
  }
}

async function runtime(
  stateDirectory: string,
  program: Command,
  around: readonly string[] = [],
): Promise<OciRuntime> {
  const { stdout } = await run([...program, "--version"]);
  const [, name = "runtime", version = ""] = /^(\S+) version (\S+)/.exec(stdout.toString()) ?? [];
  return { name: `${name} ${version}`, command: [...program, "--root", join(stateDirectory, name)], around };
}
