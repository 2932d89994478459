import { AtomfsError } from "../core/errors.ts";
import type { HookConfig } from "../formats/oci/runtime-config/types.ts";
import type { OciState } from "./oci-state.ts";

const OUTPUT_SHOWN = 1000;
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Runs hooks one after the other.
 * @throws AtomfsError at the first that fails; those after it do not run
 */
export async function runHostHooks(
  stage: string,
  hooks: readonly HookConfig[],
  state: OciState,
): Promise<void> {
  for (const [i, hook] of hooks.entries()) {
    const failure = await runHook(hook, state);
    if (failure !== undefined)
      throw new AtomfsError("failed", `error running ${stage} hook #${i}: ${failure}`);
  }
}

/** @returns why it failed */
async function runHook(hook: HookConfig, state: OciState): Promise<string | undefined> {
  let child: Bun.Subprocess<Buffer, "pipe", "pipe">;
  try {
    child = Bun.spawn([hook.path, ...hook.args.slice(1)], {
      argv0: hook.args[0] ?? hook.path,
      env: environment(hook.env),
      // As runc: hooks of later verbs are where their caller is.
      ...(state.status === "creating" ? { cwd: state.bundle } : {}),
      stdin: Buffer.from(JSON.stringify(state)),
      stdout: "pipe",
      stderr: "pipe",
    });
  } catch (error) {
    return `${hook.path}: ${error instanceof Error ? error.message : String(error)}`;
  }
  const inTime = await endsInTime(child, hook.timeout);
  if (!inTime) return `${hook.path}: hook ran past specified timeout of ${hook.timeout}.0s`;
  if (child.exitCode === 0) return undefined;
  const ending = child.signalCode === null ? `exit status ${child.exitCode}` : `ended by ${child.signalCode}`;
  const stdout = await shown(child.stdout);
  const stderr = await shown(child.stderr);
  return `${hook.path}: ${ending}, stdout: ${stdout}, stderr: ${stderr}`;
}

/** @param seconds undefined: it may take as long as it wants */
async function endsInTime(child: Bun.Subprocess, seconds: number | undefined): Promise<boolean> {
  let late = false;
  const end = (): void => {
    late = true;
    child.kill("SIGKILL");
  };
  const timer = seconds === undefined ? undefined : setTimeout(end, Math.min(seconds * 1000, MAX_TIMER_MS));
  await child.exited;
  clearTimeout(timer);
  return !late;
}

/** A hook may leave something running that keeps the pipe open: what is there after its end is all that counts. */
async function shown(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader();
  const none = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 50));
  const first = await Promise.race([reader.read(), none]);
  await reader.cancel().catch(() => undefined);
  return Buffer.from(first?.value ?? [])
    .toString("utf8")
    .trim()
    .slice(0, OUTPUT_SHOWN);
}

function environment(entries: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const entry of entries) {
    const at = entry.indexOf("=");
    if (at > 0) env[entry.slice(0, at)] = entry.slice(at + 1);
  }
  return env;
}
