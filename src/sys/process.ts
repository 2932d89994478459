import { AtomfsError } from "../core/errors.ts";

export type RunOptions = {
  readonly stdin?: Uint8Array;
  /** Replaces the whole environment; default is this process's own. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Ends the program by SIGTERM. */
  readonly signal?: AbortSignal;
  /** After the signal, milliseconds until SIGKILL; default: never. */
  readonly killAfterMs?: number;
  /** Milliseconds until SIGKILL, after which the call fails; default: it may take for ever. */
  readonly limitMs?: number;
  /** The name that the program is called by, if it is another than its file's. */
  readonly argv0?: string;
  /** In a session of its own from its first instruction on: no signal of a terminal or to this process's group reaches it. */
  readonly ownSession?: boolean;
  /** Exit codes that are an answer, not a failure. Default: 0 only. */
  readonly okCodes?: readonly number[];
};

export type RunResult = { readonly code: number; readonly stdout: Buffer; readonly stderr: string };

const STDERR_SHOWN = 2000;
const COMMAND_SHOWN = 300;

/**
 * Runs a program of the host and waits for its end.
 * @throws AtomfsError "unsupported" if it isn't installed, "interrupted" if the signal fired, "failed" (with what it
 * wrote to stderr) if its exit code is not in `okCodes` or it did not end within `limitMs`
 */
export async function run(
  argv: readonly [string, ...string[]],
  options: RunOptions = {},
): Promise<RunResult> {
  const program = Bun.which(argv[0], { PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin" });
  if (program === null) {
    throw new AtomfsError("unsupported", `Cannot run ${argv[0]}: it is not installed`, {
      hints: [`install the Debian package that has ${argv[0]}`],
    });
  }
  options.signal?.throwIfAborted();
  await using child = Bun.spawn([program, ...argv.slice(1)], {
    stdin: options.stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.ownSession === true ? { detached: true } : {}),
    ...(options.argv0 === undefined ? {} : { argv0: options.argv0 }),
  });
  using _kill = killLater(child, options);
  const ended = Promise.all([
    new Response(child.stdout).arrayBuffer(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  // A child of its own may hold its pipes open, so the killed program's end is not waited for.
  const [stdout, stderr, code] = await within(options.limitMs, ended, () => {
    child.kill("SIGKILL");
    return new AtomfsError("failed", `${argv[0]} did not end within ${(options.limitMs ?? 0) / 1000} s`, {
      hints: [`does \`${argv.join(" ").slice(0, COMMAND_SHOWN)}\` answer?`],
    });
  });
  if (options.signal?.aborted) throw new AtomfsError("interrupted", `Interrupted while ${argv[0]} ran`);
  if (!(options.okCodes ?? [0]).includes(code)) {
    const cause = child.signalCode === null ? `exit code ${code}` : `signal ${child.signalCode}`;
    const shown = stderr.trim().slice(-STDERR_SHOWN);
    throw new AtomfsError(
      "failed",
      `${argv.join(" ")} failed with ${cause}${shown === "" ? "" : `: ${shown}`}`,
    );
  }
  return { code, stdout: Buffer.from(stdout), stderr };
}

/** @param expire called when the time is over, for what is thrown then */
async function within<T>(limitMs: number | undefined, work: Promise<T>, expire: () => Error): Promise<T> {
  if (limitMs === undefined) return work;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expiry = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(expire()), limitMs);
  });
  try {
    return await Promise.race([work, expiry]);
  } finally {
    clearTimeout(timer);
  }
}

function killLater(child: Pick<Bun.Subprocess, "kill">, options: RunOptions): Disposable {
  const { signal, killAfterMs } = options;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const onAbort = (): void => {
    timer = setTimeout(() => child.kill("SIGKILL"), killAfterMs);
  };
  if (killAfterMs !== undefined) signal?.addEventListener("abort", onAbort, { once: true });
  return {
    [Symbol.dispose]: (): void => {
      signal?.removeEventListener("abort", onAbort);
      clearTimeout(timer);
    },
  };
}
