import { existsSync, lstatSync, readFileSync, realpathSync } from "node:fs";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { moleculeOfMount } from "../mounts/spec.ts";
import { parseCurrent } from "../store/current.ts";
import { storeLayout } from "../store/layout.ts";
import { hasCode } from "../sys/ffi.ts";
import { machineFailure } from "../sys/machine-failure.ts";
import type { IdMaps } from "../sys/user-namespace.ts";
import { type AtCreateOutcome, annotationsOf, type RootAnnotations } from "./at-create-outcome.ts";
import { type AtCreatePolicy, DEFAULT_POLICY, parseAtCreatePolicy } from "./at-create-policy.ts";
import { type EngineRoot, EngineRootLost, findEngineRoot } from "./engine-root.ts";

/*
 * The way "at create" of docs/crio-lxc.md: the engine mounts its own overlay as always; before init is made, the current
 * molecule of the image is put under the engine's own upper directory, if a fix applies and it isn't there already.
 */

export type AtCreateOptions = {
  readonly rootfs: string;
  readonly bundle: string;
  /** AtomFS's store. */
  readonly storeRoot: string;
  /** /etc/atomfs/atomfs.toml, which may be absent. */
  readonly policyFile: string;
  /** Of the container's user namespace, if it has one: asked only if something is to be mounted. */
  readonly idMaps?: () => IdMaps | undefined;
  /** What was done, and what is not as it should be. */
  readonly log: (level: "info" | "warning", message: string) => void;
};

/**
 * Decides and does what a container's start needs. An image without a fix costs one look at a small file.
 * @returns nothing where AtomFS has nothing to do with the container
 * @throws AtomfsError "blocked" where the policy refuses; what else goes wrong is refused or warned of as it says
 */
export async function placeMolecule(options: AtCreateOptions): Promise<RootAnnotations> {
  const outcome = await decideAndPlace(options);
  return outcome === undefined ? {} : annotationsOf(outcome);
}

async function decideAndPlace(options: AtCreateOptions): Promise<AtCreateOutcome | undefined> {
  const policy = readAtCreatePolicy(options.policyFile);
  try {
    return await place(options, policy);
  } catch (cause) {
    if (cause instanceof Refusal || cause instanceof EngineRootLost) throw cause;
    const error = machineFailure(cause) ?? cause;
    if (policy.onError === "refuse") throw refusedByError(error, options.policyFile);
    const why = explain(error);
    options.log(
      "warning",
      `AtomFS failed, the container runs on the engine's own root, without fixes: ${why}`,
    );
    return { root: "engine", why: "error", error: why, policy: "on-error=run" };
  }
}

/** One sentence, and what to do about it. */
function explain(error: unknown): string {
  if (!(error instanceof AtomfsError)) return error instanceof Error ? error.message : String(error);
  return [error.message, ...error.hints].join("; ");
}

function refusedByError(cause: unknown, policyFile: string): AtomfsError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const hints = cause instanceof AtomfsError ? cause.hints : [];
  return new AtomfsError(
    cause instanceof AtomfsError ? cause.kind : "failed",
    `AtomFS failed, and on-error = "refuse" lets no container start then: ${why}`,
    { cause, hints: [...hints, `on-error = "run" in ${policyFile} starts containers without their fixes`] },
  );
}

/** The policy's own word, which no other policy overrules. */
class Refusal extends AtomfsError {
  constructor(message: string, hints: readonly string[]) {
    super("blocked", message, { hints });
  }
}

/** @param file atomfs.toml; absent: all defaults @throws AtomfsError "bad-data" */
export function readAtCreatePolicy(file: string): AtCreatePolicy {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return DEFAULT_POLICY;
    throw error;
  }
  return parseAtCreatePolicy(text, file);
}

type Current = ReturnType<typeof parseCurrent>;
type Found = Pick<AtCreateOutcome, "image" | "importMs" | "findings">;

async function place(options: AtCreateOptions, policy: AtCreatePolicy): Promise<AtCreateOutcome | undefined> {
  const root = findEngineRoot(realpathSync(options.rootfs), realpathSync(options.bundle));
  if (root === undefined) return undefined;
  const known = readCurrent(options.storeRoot, root.image);
  if (known !== undefined) return placeKnown(options, policy, root, known, { image: root.image });
  const shown = root.image.slice(0, 12);
  const lost = policy.unknown === "refuse" ? undefined : lostStore(options.storeRoot);
  // Whoever wants images imported wants a store made; not in place of one that must not fail.
  const mayMake = policy.unknown === "import" && policy.onError === "run" && lost?.kind === "not-found";
  if (lost !== undefined && !mayMake) throw lost;
  if (lost !== undefined) options.log("warning", `${lost.message}: a new one is made, which has no fixes`);
  if (policy.unknown === "refuse")
    throw new Refusal(`AtomFS does not know image ${shown}`, [
      `atomfs import containers-storage:${root.image}`,
    ]);
  if (policy.unknown === "run") {
    options.log("info", `AtomFS does not know image ${shown}: it runs as the engine has it`);
    return { root: "engine", why: "unknown-image", image: root.image, policy: "unknown=run" };
  }
  const { importAtCreate } = await import("./import-at-create.ts");
  const { milliseconds, findings } = await importAtCreate({
    storeRoot: options.storeRoot,
    graphRoot: root.graphRoot,
    image: root.image,
    limitMs: policy.importSeconds * 1000,
    isKnown: () => readCurrent(options.storeRoot, root.image) !== undefined,
  });
  options.log("info", `AtomFS imported image ${shown} in ${(milliseconds / 1000).toFixed(2)} s`);
  for (const finding of findings) options.log("warning", `image ${shown}: ${finding}`);
  const all = lost === undefined ? findings : [`${lost.message}: a new one was made`, ...findings];
  const imported = readCurrent(options.storeRoot, root.image);
  if (imported === undefined)
    throw new AtomfsError("failed", `Image ${shown} was imported, but the store does not name it`);
  return placeKnown(options, policy, root, imported, {
    image: root.image,
    importMs: milliseconds,
    ...(all.length === 0 ? {} : { findings: all }),
  });
}

/**
 * Whoever has settings, or a directory for the store, wants fixes: that there is no store is a failure then. What is
 * unknown to a store that has gone may have had a fix.
 */
function lostStore(root: string): AtomfsError | undefined {
  const layout = storeLayout(root);
  if (!existsSync(layout.meta)) {
    return new AtomfsError("not-found", `There is no AtomFS store at ${root}`, {
      hints: [
        `is the filesystem of ${root} mounted?`,
        "`atomfs import --all` makes a store; fixes have to be applied again then",
      ],
    });
  }
  if (existsSync(layout.current)) return undefined;
  return new AtomfsError("bad-data", `The AtomFS store at ${root} has lost its directory current/`, {
    hints: ["run `atomfs fsck`"],
  });
}

async function placeKnown(
  options: AtCreateOptions,
  policy: AtCreatePolicy,
  root: EngineRoot,
  wanted: Current,
  found: Found,
): Promise<AtCreateOutcome> {
  const outcome = await decide(options, policy, root, wanted, found);
  const is = outcome.molecule ?? (outcome.why === "no-fix" ? wanted.molecule : undefined);
  if (is === undefined || !hasOwnDatabase(root.upperdir)) return outcome;
  const more = await ownDatabaseFindings(options, is as VerityDigest);
  for (const finding of more) options.log("warning", finding);
  const findings = [...(outcome.findings ?? []), ...more];
  return findings.length === 0 ? outcome : { ...outcome, findings };
}

/** The root is as it should be by now: a check that cannot be made changes nothing of that. */
async function ownDatabaseFindings(
  { storeRoot, rootfs }: AtCreateOptions,
  molecule: VerityDigest,
): Promise<readonly string[]> {
  const { databaseFindingsAt } = await import("./database-at-create.ts");
  try {
    return databaseFindingsAt(storeLayout(storeRoot), rootfs, molecule);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [`the container wrote its package database, which could not be checked: ${why}`];
  }
}

/**
 * Did the container itself write into the package database? Only then can it be of another time than the files. It is not
 * running, and nothing is opened: that this is only a hint is enough.
 */
function hasOwnDatabase(upperdir: string): boolean {
  let path = upperdir;
  return ["var", "lib", "dpkg"].every((name) => {
    path += `/${name}`;
    return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  });
}

async function decide(
  options: AtCreateOptions,
  policy: AtCreatePolicy,
  root: EngineRoot,
  wanted: Current,
  found: Found,
): Promise<AtCreateOutcome> {
  const shown = root.image.slice(0, 12);
  const present = moleculeOfMount(root.mount);
  const molecule = wanted.fixes > 0 ? wanted.molecule : undefined;
  if (molecule === undefined) {
    if (present !== undefined) {
      await replace(options, root, undefined);
      options.log("info", `image ${shown} has no fix any more: the container is back on the engine's root`);
    }
    return { root: "engine", why: "no-fix", ...found };
  }
  if (present !== molecule && policy.outdated === "refuse") {
    throw new Refusal(`The root of image ${shown} lacks ${wanted.fixes} fix(es)`, []);
  }
  if (present !== molecule && policy.outdated === "warn") {
    options.log("warning", `the container runs without ${wanted.fixes} fix(es) of image ${shown}`);
    const older = present === undefined ? undefined : { root: "molecule" as const, molecule: present };
    return { root: "engine", ...older, why: "policy", outdated: molecule, policy: "outdated=warn", ...found };
  }
  if (present !== molecule) await replace(options, root, molecule);
  options.log(
    "info",
    `the root is molecule ${molecule.slice(0, 12)} of image ${shown}, with ${wanted.fixes} fix(es)`,
  );
  return { root: "molecule", why: "fix", molecule, policy: "outdated=replace", ...found };
}

/** What mounts is loaded only here: most starts have nothing to mount. */
async function replace(
  { storeRoot, idMaps }: AtCreateOptions,
  root: EngineRoot,
  molecule: VerityDigest | undefined,
): Promise<void> {
  const { replaceRoot } = await import("./replace-root.ts");
  replaceRoot(storeRoot, root, molecule, idMaps?.());
}

/** `current/IMAGE`: "MOLECULE GENERATION FIXES" (docs/formats/store.md). */
function readCurrent(storeRoot: string, image: Sha256): Current | undefined {
  try {
    return parseCurrent(readFileSync(storeLayout(storeRoot).currentOf(image), "utf8"));
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
