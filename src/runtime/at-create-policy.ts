import { AtomfsError } from "../core/errors.ts";

/** What happens at a container's start (docs/crio-lxc.md). */
export type AtCreatePolicy = {
  /** An image that AtomFS doesn't know: run it as the engine has it, import it first, or refuse. */
  readonly unknown: "run" | "import" | "refuse";
  /** A fix is there and the engine's root hasn't it: put the current molecule under it, say so, or refuse. */
  readonly outdated: "replace" | "warn" | "refuse";
  /** AtomFS itself fails: run on the engine's root, or refuse. */
  readonly onError: "run" | "refuse";
  /** An import at create that takes longer has failed. Engines wait for a create only so long. */
  readonly importSeconds: number;
};

export const DEFAULT_POLICY: AtCreatePolicy = {
  unknown: "run",
  outdated: "replace",
  onError: "run",
  importSeconds: 60,
};

const CHOICES = {
  unknown: ["run", "import", "refuse"],
  outdated: ["replace", "warn", "refuse"],
  "on-error": ["run", "refuse"],
} as const;

const IMPORT_SECONDS = "import-seconds";
const MAX_IMPORT_SECONDS = 3600;

const TABLE = "at-create";

/**
 * atomfs.toml, whose only table is `[at-create]`. A word that isn't known is an error, never a default: a typing mistake must
 * not switch a protection off.
 * @param text the file, in TOML
 * @param file its path, for errors
 * @throws AtomfsError "bad-data"
 */
export function parseAtCreatePolicy(text: string, file: string): AtCreatePolicy {
  try {
    return policyOf(parseToml(text));
  } catch (cause) {
    if (!(cause instanceof BadPolicy)) throw cause;
    throw new AtomfsError("bad-data", `Cannot use ${file}: ${cause.message}`, { cause });
  }
}

/** What is wrong, by whoever does not know the file's name. */
class BadPolicy extends Error {}

function parseToml(text: string): unknown {
  try {
    return Bun.TOML.parse(text);
  } catch (cause) {
    // Bun gives no line of the file.
    const why = cause instanceof Error ? cause.message.replace(/^TOML Parse error: /, "") : String(cause);
    throw new BadPolicy(`it is not TOML: ${why}`, { cause });
  }
}

function policyOf(document: unknown): AtCreatePolicy {
  const whole = tableOf(document, "the file");
  for (const key of Object.keys(whole))
    if (key !== TABLE) throw new BadPolicy(`unknown key ${key}, want only the table [${TABLE}]`);
  const given = tableOf(whole[TABLE] ?? {}, TABLE);
  for (const key of Object.keys(given))
    if (!Object.hasOwn(CHOICES, key) && key !== IMPORT_SECONDS)
      throw new BadPolicy(`unknown key at-create.${key}`);
  return {
    unknown: choose(given, "unknown", DEFAULT_POLICY.unknown),
    outdated: choose(given, "outdated", DEFAULT_POLICY.outdated),
    onError: choose(given, "on-error", DEFAULT_POLICY.onError),
    importSeconds: secondsOf(given[IMPORT_SECONDS] ?? DEFAULT_POLICY.importSeconds),
  };
}

function tableOf(value: unknown, name: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new BadPolicy(`${name} is not a table`);
  return value as Readonly<Record<string, unknown>>;
}

function secondsOf(value: unknown): number {
  if (Number.isSafeInteger(value) && Number(value) >= 1 && Number(value) <= MAX_IMPORT_SECONDS)
    return Number(value);
  throw new BadPolicy(
    `at-create.${IMPORT_SECONDS} is ${JSON.stringify(value)}, want a whole number from 1 to ${MAX_IMPORT_SECONDS}`,
  );
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
  throw new BadPolicy(
    `at-create.${key} is ${JSON.stringify(value)}, want ${choices.map((each) => `"${each}"`).join(" or ")}`,
  );
}
