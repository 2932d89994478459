import { AtomfsError } from "../core/errors.ts";

/** What happens at a container's start (docs/crio-lxc.md). */
export type AtCreatePolicy = {
  /** An image that AtomFS doesn't know: run it as the engine has it, or refuse. */
  readonly unknown: "run" | "refuse";
  /** A fix is there and the engine's root hasn't it: put the current molecule under it, say so, or refuse. */
  readonly outdated: "replace" | "warn" | "refuse";
  /** AtomFS itself fails: run on the engine's root, or refuse. */
  readonly onError: "run" | "refuse";
};

export const DEFAULT_POLICY: AtCreatePolicy = { unknown: "run", outdated: "replace", onError: "run" };

const CHOICES = {
  unknown: ["run", "refuse"],
  outdated: ["replace", "warn", "refuse"],
  "on-error": ["run", "refuse"],
} as const;

/**
 * The table `[at-create]` of /etc/atomfs/atomfs.toml. A word that isn't known is an error, never a default: a typing
 * mistake must not switch a protection off. @throws AtomfsError "bad-data"
 */
export function parseAtCreatePolicy(document: unknown): AtCreatePolicy {
  const table = (document as { readonly "at-create"?: unknown })["at-create"] ?? {};
  if (typeof table !== "object") throw bad("at-create is not a table");
  const given = table as Readonly<Record<string, unknown>>;
  for (const key of Object.keys(given))
    if (!Object.hasOwn(CHOICES, key)) throw bad(`unknown key at-create.${key}`);
  return {
    unknown: choose(given, "unknown", DEFAULT_POLICY.unknown),
    outdated: choose(given, "outdated", DEFAULT_POLICY.outdated),
    onError: choose(given, "on-error", DEFAULT_POLICY.onError),
  };
}

function choose<K extends keyof typeof CHOICES>(
  given: Readonly<Record<string, unknown>>,
  key: K,
  otherwise: (typeof CHOICES)[K][number],
): (typeof CHOICES)[K][number] {
  const value = given[key];
  if (value === undefined) return otherwise;
  const choices: readonly string[] = CHOICES[key];
  if (typeof value === "string" && choices.includes(value)) return value as (typeof CHOICES)[K][number];
  throw bad(
    `at-create.${key} is ${JSON.stringify(value)}, want ${choices.map((each) => `"${each}"`).join(" or ")}`,
  );
}

function bad(why: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot use /etc/atomfs/atomfs.toml: ${why}`);
}
