import { AtomfsError } from "../core/errors.ts";
import { readRecord } from "./state.ts";

/*
 * What AtomFS did about a container's root at create, as it stands in the container's state: annotations that
 * `crio-lxc state` prints and `atomfs containers` reads (docs/crio-lxc.md).
 */

export type AtCreateOutcome = {
  /** What the container was started on. */
  readonly root: "molecule" | "engine";
  readonly why: (typeof REASONS)[number];
  /** The image by its config digest, where it was found out. */
  readonly image?: string;
  /** The molecule that is the root. */
  readonly molecule?: string;
  /** The molecule that the root should have been. */
  readonly outdated?: string;
  readonly error?: string;
  /** The word of the policy that decided, as "unknown=run". */
  readonly policy?: string;
  /** Milliseconds that the image's import at this create took, waiting for another create's import included. */
  readonly importMs?: number;
  /** What is not as it should be, though the container runs; one sentence each. */
  readonly findings?: readonly string[];
};

const REASONS = ["fix", "no-fix", "unknown-image", "policy", "error"] as const;
const PREFIX = "io.atomfs.";

/** For the container's record. Empty where AtomFS has nothing to do with the container. */
export type RootAnnotations = Readonly<Record<string, string>>;

export function annotationsOf(outcome: AtCreateOutcome): RootAnnotations {
  const { findings = [], importMs, ...texts } = outcome;
  const all: Record<string, string> = {};
  for (const [key, value] of Object.entries(texts)) if (value !== undefined) all[`${PREFIX}${key}`] = value;
  if (importMs !== undefined) all[`${PREFIX}import-ms`] = String(Math.round(importMs));
  if (findings.length > 0) all[`${PREFIX}findings`] = JSON.stringify(findings);
  return all;
}

/** Is this annotation one of those above? */
export function isOfRoot(key: string): boolean {
  return key.startsWith(PREFIX);
}

/** Undefined for a container that AtomFS had nothing to do with, or whose annotations are of another program's making. */
export function outcomeOf(annotations: Readonly<Record<string, string>>): AtCreateOutcome | undefined {
  const text = (key: string): string | undefined => annotations[`${PREFIX}${key}`];
  const root = text("root");
  const why = REASONS.find((each) => each === text("why"));
  if ((root !== "molecule" && root !== "engine") || why === undefined) return undefined;
  const importMs = Number(text("import-ms"));
  const findings = listOf(text("findings"));
  const some = (["image", "molecule", "outdated", "error", "policy"] as const).flatMap((key) => {
    const value = text(key);
    return value === undefined ? [] : [[key, value] as const];
  });
  return {
    root,
    why,
    ...Object.fromEntries(some),
    ...(Number.isSafeInteger(importMs) ? { importMs } : {}),
    ...(findings.length === 0 ? {} : { findings }),
  };
}

/**
 * What was done about the root of a container of crio-lxc.
 * @param directory of crio-lxc's state
 * @returns undefined for one that crio-lxc doesn't have, or has no readable record of
 */
export function readOutcome(directory: string, id: string): AtCreateOutcome | undefined {
  try {
    return outcomeOf(readRecord(directory, id)?.annotations ?? {});
  } catch (error) {
    if (error instanceof AtomfsError) return undefined;
    throw error;
  }
}

function listOf(text: string | undefined): readonly string[] {
  if (text === undefined) return [];
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
  } catch {
    return [text];
  }
}
