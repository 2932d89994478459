import { AtomfsError } from "../../src/core/errors.ts";
import { run } from "../../src/sys/process.ts";

/**
 * A namespace of its own for mounts and processes: whatever ends the program (Ctrl-C too), the kernel takes the mounts away
 * and kills what the package scripts started. `unshare --fork` blocks SIGTERM, so `timeout` (without a time limit)
 * stands before it, which sends SIGKILL one second after the SIGTERM that it got: from here, or from the kernel if this
 * program was killed.
 */
const ISOLATED = [
  "setpriv",
  "--pdeathsig",
  "TERM",
  "timeout",
  "--kill-after=1",
  "0",
  "unshare",
  "--mount",
  "--pid",
  "--fork",
  "--kill-child=SIGKILL",
] as const;

/** The environment for debootstrap and apt: as plain as possible, with the proxy that apt is told to use. */
async function packagingEnvironment(): Promise<Record<string, string>> {
  const env: Record<string, string> = {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    LC_ALL: "C",
    DEBIAN_FRONTEND: "noninteractive",
    DEBCONF_NONINTERACTIVE_SEEN: "true",
  };
  for (const name of ["http_proxy", "https_proxy", "no_proxy"]) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  const { stdout } = await run([
    "apt-config",
    "shell",
    "http_proxy",
    "Acquire::http::Proxy",
    "https_proxy",
    "Acquire::https::Proxy",
  ]);
  for (const [, name, value] of stdout.toString().matchAll(/^(\w+)='(.*)'$/gm)) {
    if (name !== undefined && value !== undefined && value !== "DIRECT") env[name] = value;
  }
  return env;
}

/** Runs a packaging program in its own namespace; its failure is told as "Cannot <act>: ..." with the hint. */
export async function runIsolated(
  act: string,
  hint: string,
  argv: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    const { code, stdout, stderr } = await run([...ISOLATED, ...argv], {
      env: await packagingEnvironment(),
      okCodes: ANY_CODE,
      ...(signal === undefined ? {} : { signal }),
    });
    if (code === 0) return;
    throw new AtomfsError("failed", `Cannot ${act}: ${lastError(`${stdout}\n${stderr}`)}`, { hints: [hint] });
  } catch (cause) {
    if (!(cause instanceof AtomfsError) || cause.kind !== "interrupted") throw cause;
    throw new AtomfsError("interrupted", `Interrupted: did not ${act}`, { cause });
  }
}

const ANY_CODE: readonly number[] = Array.from({ length: 256 }, (_, code) => code);

/** debootstrap and apt begin the line that says why with "E: "; debootstrap writes it to stdout. */
function lastError(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const line = lines.findLast((each) => each.startsWith("E: ")) ?? lines.at(-1) ?? "it says nothing";
  return line.replace(/^E: /, "").slice(0, 500);
}
