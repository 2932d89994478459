import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Sha256 } from "../core/digest.ts";
import { AtomfsError, EXIT_CODES } from "../core/errors.ts";
import { runDirectoryOf } from "../mounts/molecule-mounts.ts";
import { lockFileLater } from "../sys/lock.ts";
import { run } from "../sys/process.ts";

/** The store is busy with another command's transaction: the next try may find it free. */
const BUSY_PAUSE_MS = 250;
/** So long an import may need to take away what it has staged, once it was told to end. */
const GRACE_MS = 5_000;

/** native/crio-lxc.c switches the compiler off, which pays for a short call only. */
const FOR_LONG_WORK = { BUN_JSC_useBaselineJIT: undefined };

export type ImportRequest = {
  readonly storeRoot: string;
  /** The engine's storage. */
  readonly graphRoot: string;
  readonly image: Sha256;
  readonly limitMs: number;
  /** Asked again when it is this create's turn: another one may have imported the image meanwhile. */
  readonly isKnown: () => boolean;
};

export type ImportedAtCreate = {
  readonly milliseconds: number;
  /** One sentence each: fixes that do not fit, packages that are not what their database says. */
  readonly findings: readonly string[];
};

/**
 * Imports an image out of the engine's storage, once also if several containers of it are made at a time. A process of
 * its own does it: what it needs is not this one's, and it can be ended.
 * @throws AtomfsError of any kind, "failed" when `limitMs` is over
 */
export async function importAtCreate(request: ImportRequest): Promise<ImportedAtCreate> {
  const start = performance.now();
  const signal = AbortSignal.timeout(request.limitMs);
  const locks = join(runDirectoryOf(request.storeRoot), "imports");
  mkdirSync(locks, { recursive: true, mode: 0o700 });
  try {
    using _turn = await lockFileLater(join(locks, request.image), "exclusive", {
      timeoutMs: request.limitMs,
      signal,
    });
    const findings = request.isKnown() ? [] : await importUntilDone(request, signal);
    return { milliseconds: performance.now() - start, findings };
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new AtomfsError(
      "failed",
      `Cannot import image ${request.image.slice(0, 12)} at create: it takes more than ${request.limitMs / 1000} s`,
      { cause: error, hints: [`atomfs ${importWords(request).join(" ")}`] },
    );
  }
}

async function importUntilDone(request: ImportRequest, signal: AbortSignal): Promise<readonly string[]> {
  for (;;) {
    const { program, before } = ownProgram();
    const { code, stdout, stderr } = await run([program, ...before, "--json", ...importWords(request)], {
      argv0: "atomfs",
      env: { ...process.env, ...FOR_LONG_WORK },
      signal,
      killAfterMs: GRACE_MS,
      okCodes: [0, ...Object.values(EXIT_CODES)],
    });
    if (code === 0 || code === EXIT_CODES.blocked) return findingsOf(stdout.toString());
    if (code !== EXIT_CODES.stale) throw failureOf(request.image, stderr);
    await Bun.sleep(BUSY_PAUSE_MS);
    signal.throwIfAborted();
  }
}

function importWords({ storeRoot, graphRoot, image }: ImportRequest): string[] {
  const places = ["--root", storeRoot, "--graph-root", graphRoot];
  return ["import", ...places, "--no-deploy", `containers-storage:${image}`];
}

/** One executable is both commands; from a checkout it is Bun with the sources. */
function ownProgram(): { readonly program: string; readonly before: readonly string[] } {
  const isCompiled = process.argv[1]?.startsWith("/$bunfs/") === true;
  return {
    program: process.execPath,
    before: isCompiled ? [] : [join(import.meta.dir, "../main.ts")],
  };
}

type Answer = {
  readonly findings: readonly { readonly reason: string }[];
  readonly refused: readonly {
    readonly fix: string;
    readonly results: readonly { readonly verdict: string; readonly reason: string }[];
  }[];
};

/** @param text the answer of `atomfs import --json` */
function findingsOf(text: string): readonly string[] {
  const { findings, refused } = JSON.parse(text) as Answer;
  return [
    ...findings.map(({ reason }) => reason),
    ...refused.map(({ fix, results }) => {
      const why = results.find(({ verdict }) => verdict === "block")?.reason ?? "";
      return `fix ${fix} does not fit: ${why}`;
    }),
  ];
}

/** @param stderr the error as `atomfs --json` writes it */
function failureOf(image: Sha256, stderr: string): AtomfsError {
  const { message, hints } = errorOf(stderr) ?? { message: stderr.trim().slice(-500), hints: [] };
  return new AtomfsError("failed", `Cannot import image ${image.slice(0, 12)} at create: ${message}`, {
    hints,
  });
}

function errorOf(
  stderr: string,
): { readonly message: string; readonly hints: readonly string[] } | undefined {
  type Told = { readonly error?: { readonly message?: unknown; readonly hints?: unknown } };
  try {
    const { error } = JSON.parse(stderr.trim()) as Told;
    if (typeof error?.message !== "string") return undefined;
    const hints = Array.isArray(error.hints) ? error.hints : [];
    return { message: error.message, hints: hints.filter((each) => typeof each === "string") };
  } catch {
    return undefined;
  }
}
