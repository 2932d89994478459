import { join } from "node:path";

const BUILT = process.env["TEST_ATOMFS"];

/**
 * How to call `atomfs` of this checkout: its source, or, with TEST_ATOMFS, an executable that was built of the same checkout, which
 * starts with a quarter of the work.
 */
export const ATOMFS: readonly [string, ...string[]] =
  BUILT === undefined ? [process.execPath, join(import.meta.dir, "../../src/main.ts")] : [BUILT];

export type ProgramResult = { readonly code: number; readonly stdout: string; readonly stderr: string };

export type RunningProgram = {
  readonly pid: number;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly ended: Promise<ProgramResult & { readonly signal: string | null }>;
};

/** Starts `atomfs` of this checkout. */
export function startAtomfs(args: readonly string[], env: Readonly<Record<string, string>>): RunningProgram {
  const child = Bun.spawn([...ATOMFS, ...args], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const ended = Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]).then(([stdout, stderr]) => ({
    code: child.exitCode ?? -1,
    signal: child.signalCode === null ? null : String(child.signalCode),
    stdout,
    stderr,
  }));
  return { pid: child.pid, kill: (signal) => child.kill(signal), ended };
}

/** Runs `atomfs` to its end. @throws Error with its output if the exit code is not as wanted */
export async function atomfs(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  wanted = 0,
): Promise<ProgramResult> {
  const result = await startAtomfs(args, env).ended;
  if (result.code === wanted) return result;
  throw new Error(
    `atomfs ${args.join(" ")}: exit code ${result.code} (${result.signal})\n${result.stdout}${result.stderr}`,
  );
}
