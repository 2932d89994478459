import type { Kubectl } from "../../scripts/k8s/kubectl.ts";
import { CONTROL_NETWORK, inNetwork } from "../../scripts/k8s/place.ts";
import { run } from "../../src/sys/process.ts";
import { patience } from "../support/slowness.ts";

const ANY_CODE: readonly number[] = Array.from({ length: 256 }, (_, code) => code);
const WAIT_MS = 120_000;

/** `kubectl attach`, which is ended after the container was given `input`. */
export async function attached(
  kubectl: Kubectl,
  pod: string,
  container: string,
  input: string,
  signal: AbortSignal,
): Promise<void> {
  const child = Bun.spawn(kubectl.argv(["attach", pod, `--container=${container}`, "--stdin"]), {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
    signal,
  });
  child.stdin.write(input);
  await child.stdin.flush();
  await said(child, /heard/);
  child.kill("SIGTERM");
  await child.exited;
}

/** A shell's script in a container: what it wrote. @throws AtomfsError "failed" if it fails */
export function inContainer(
  kubectl: Kubectl,
  pod: string,
  container: string,
  script: string,
): Promise<string> {
  return kubectl.run(["exec", pod, `--container=${container}`, "--", "sh", "-c", script]);
}

/** The same in a terminal of 33 lines of 77 characters, where somebody types. */
export async function inTerminal(
  kubectl: Kubectl,
  pod: string,
  container: string,
  script: string,
  typed: string,
  signal: AbortSignal,
): Promise<{ readonly code: number; readonly text: string }> {
  const exec = ["exec", "--stdin", "--tty", pod, `--container=${container}`, "--", "sh", "-c", script];
  const words = kubectl.argv(exec).map((word) => `'${word.replaceAll("'", "'\\''")}'`);
  const command = `stty rows 33 cols 77; exec ${words.join(" ")}`;
  const child = Bun.spawn(["script", "-qefc", command, "/dev/null"], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
    signal,
  });
  const limit = setTimeout(() => child.kill("SIGTERM"), patience(2 * WAIT_MS));
  // It stays open: script(1) would type the end of its own input into the terminal.
  child.stdin.write(typed);
  await child.stdin.flush();
  const text = (await new Response(child.stdout).text()).replaceAll("\r\n", "\n");
  const code = await child.exited;
  clearTimeout(limit);
  return { code, text };
}

/** A request through `kubectl port-forward`, from where the API server is. */
export async function forwarded(
  kubectl: Kubectl,
  target: string,
  port: number,
  path: string,
  signal: AbortSignal,
): Promise<{ readonly code: number; readonly text: string }> {
  const child = Bun.spawn(kubectl.argv(["port-forward", target, `:${port}`]), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    signal,
  });
  try {
    const local = /127\.0\.0\.1:(\d+)/.exec(await said(child, /127\.0\.0\.1:(\d+)/))?.[1];
    const url = `http://127.0.0.1:${local}${path}`;
    const ask = inNetwork(CONTROL_NETWORK, ["curl", "-sf", "--max-time", "60", url]);
    const { code, stdout } = await run(ask, { okCodes: ANY_CODE, signal });
    return { code, text: stdout.toString() };
  } finally {
    child.kill("SIGTERM");
    await child.exited;
  }
}

/** @returns what it wrote, as soon as the pattern is in it, or until it ends or is too slow */
async function said(
  child: Bun.Subprocess<"pipe" | "ignore", "pipe", "ignore">,
  pattern: RegExp,
): Promise<string> {
  const limit = setTimeout(() => child.kill("SIGTERM"), patience(WAIT_MS));
  const decoder = new TextDecoder();
  let text = "";
  // Not to its end, and not closed: it would end by SIGPIPE.
  const reader = child.stdout.getReader();
  while (!pattern.test(text)) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
  clearTimeout(limit);
  return text;
}
