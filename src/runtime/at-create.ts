import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { parseVerityDigest, type Sha256, type VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { applyMount } from "../mounts/apply.ts";
import { prepareMolecule, runDirectoryOf } from "../mounts/molecule-mounts.ts";
import { type MountSpec, moleculeOfMount } from "../mounts/spec.ts";
import { parseCurrent } from "../store/current.ts";
import { storeLayout } from "../store/layout.ts";
import { hasCode } from "../sys/ffi.ts";
import { unmountAt } from "../sys/mount.ts";
import { type AtCreatePolicy, DEFAULT_POLICY, parseAtCreatePolicy } from "./at-create-policy.ts";
import { type EngineRoot, findEngineRoot } from "./engine-root.ts";

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
  readonly warn: (message: string) => void;
};

/** For `crio-lxc state`: what the container's root is. Empty where AtomFS has nothing to do with it. */
export type RootAnnotations = Readonly<Record<string, string>>;

/**
 * Decides and does what a container's start needs. An image without a fix costs one look at a small file.
 * @throws AtomfsError "blocked" where the policy refuses; what else goes wrong is refused or warned of as it says
 */
export function placeMolecule(options: AtCreateOptions): RootAnnotations {
  const layout = storeLayout(options.storeRoot);
  if (!existsSync(layout.current)) return {};
  const policy = readPolicy(options.policyFile);
  try {
    return place(options, policy);
  } catch (error) {
    if (error instanceof Refusal || policy.onError === "refuse") throw error;
    const why = error instanceof Error ? error.message : String(error);
    options.warn(`AtomFS failed, the container runs on the engine's own root, without fixes: ${why}`);
    return { "io.atomfs.root": "engine", "io.atomfs.error": why };
  }
}

/** The policy's own word, which no other policy overrules. */
class Refusal extends AtomfsError {
  constructor(message: string, hints: readonly string[]) {
    super("blocked", message, { hints });
  }
}

function readPolicy(file: string): AtCreatePolicy {
  if (!existsSync(file)) return DEFAULT_POLICY;
  return parseAtCreatePolicy(Bun.TOML.parse(readFileSync(file, "utf8")));
}

function place(options: AtCreateOptions, policy: AtCreatePolicy): RootAnnotations {
  const root = findEngineRoot(realpathSync(options.rootfs), realpathSync(options.bundle));
  if (root === undefined) return {};
  const wanted = readCurrent(storeLayout(options.storeRoot).current, root.image);
  if (wanted === undefined) {
    if (policy.unknown === "run") return {};
    throw new Refusal(`AtomFS does not know image ${root.image.slice(0, 12)}`, [
      "atomfs import containers-storage:NAME",
    ]);
  }
  const present = moleculeOfMount(root.mount);
  const molecule = wanted.fixes > 0 ? wanted.molecule : undefined;
  if (present === molecule) return annotationsOf(molecule);
  if (molecule !== undefined && policy.outdated === "refuse") {
    throw new Refusal(`The root of image ${root.image.slice(0, 12)} lacks ${wanted.fixes} fix(es)`, []);
  }
  if (molecule !== undefined && policy.outdated === "warn") {
    options.warn(`the container runs without ${wanted.fixes} fix(es) of image ${root.image.slice(0, 12)}`);
    return { "io.atomfs.root": "engine", "io.atomfs.outdated": molecule };
  }
  replaceRoot(options.storeRoot, root, molecule);
  return annotationsOf(molecule);
}

function annotationsOf(molecule: VerityDigest | undefined): RootAnnotations {
  return molecule === undefined ? {} : { "io.atomfs.root": "molecule", "io.atomfs.molecule": molecule };
}

/** `current/IMAGE`: "MOLECULE GENERATION FIXES" (docs/formats/store.md). */
function readCurrent(
  directory: string,
  image: Sha256,
): { molecule: VerityDigest; fixes: number } | undefined {
  try {
    return parseCurrent(readFileSync(join(directory, image), "utf8"));
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/**
 * Unmounts what is on the root and mounts the molecule, or the engine's own lowers, under the same upper. Everything
 * that can fail beforehand is done beforehand, since two overlays over one upper at a time are undefined; if the new
 * mount fails all the same, the engine's own is put back.
 */
function replaceRoot(storeRoot: string, root: EngineRoot, molecule: VerityDigest | undefined): void {
  const { upperdir, workdir, mount } = root;
  const upper = { upperdir, workdir, options: [...mount.options, ...mount.superOptions] };
  const layout = storeLayout(storeRoot);
  const spec =
    molecule === undefined
      ? engineSpec(root)
      : prepareMolecule(layout, molecule, { upper, target: mount.target });
  const runDirectory = runDirectoryOf(storeRoot);
  unmountAt(mount.target, { detach: false });
  try {
    applyMount(spec, { runDirectory }).release();
  } catch (error) {
    applyMount(engineSpec(root), { runDirectory }).release();
    throw error;
  }
}

const OF_LAYERS = /^(lowerdir|upperdir|workdir|datadir)\+?(=|$)/;
const OF_THE_MOUNT = new Set(["rw", "relatime"]);

/** The engine's own overlay, as it was mounted. */
function engineSpec({ mount, upperdir, workdir, lowers }: EngineRoot): MountSpec {
  const options = mount.superOptions.filter((option) => !OF_LAYERS.test(option) && !OF_THE_MOUNT.has(option));
  return {
    row: "tree",
    molecule: parseVerityDigest("0".repeat(64)),
    layers: "path",
    steps: [
      {
        kind: "overlay",
        source: "overlay",
        lower: lowers.map((path) => ({ path })),
        dataOnly: [],
        singleColon: false,
        metacopy: false,
        verity: false,
        upper: { upperdir, workdir },
        options,
        attributes: mount.options.includes("nodev") ? ["nodev"] : [],
      },
      { kind: "move", target: mount.target },
    ],
  };
}
