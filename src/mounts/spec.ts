import type { VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";

/** What this machine's kernel and filesystem can do, found by trying (`probeMounts`), never by version number. */
export type MountCapabilities = {
  /** How an EROFS image is mounted: straight from its file, through a loop device, or not at all. */
  readonly erofs: "file" | "loop" | "none";
  /** Does overlay take its layers as descriptors of mounts that are attached nowhere? Else by path. */
  readonly layers: "fd" | "path";
  /** Data-only lower layers work without `metacopy=on`, only with it, or not. */
  readonly dataOnly: "plain" | "metacopy" | "none";
  /** `lowerdir=EROFS:objects` with `metacopy=on` finds the objects. */
  readonly singleColon: boolean;
  /** An overlay can be mounted over the read-only overlay of EROFS and objects. */
  readonly secondLevel: boolean;
  /** The objects' filesystem has fs-verity and overlay checks it; with `metacopy=off` too, or only with "on". */
  readonly verity: "plain" | "metacopy" | "none";
};

export type UpperRequest = {
  readonly upperdir: string;
  readonly workdir: string;
  /** Mount options as an engine gave them or as mountinfo shows them; what is ours to decide is left out. */
  readonly options?: readonly string[];
};

export type MountRequest = {
  readonly molecule: VerityDigest;
  readonly erofsPath: string;
  readonly objectsDir: string;
  /** Holds a checked-out tree per molecule, where one is needed. */
  readonly treesDir: string;
  /** Without one the mount is read-only. */
  readonly upper?: UpperRequest;
  /** A user namespace (`/proc/PID/ns/user`): owners appear as that namespace maps them. */
  readonly idmap?: string;
  /** An existing directory. */
  readonly target: string;
};

/** The result of the step with this index in `steps`, or a directory. */
export type Layer = { readonly step: number } | { readonly path: string };

export type MountAttribute = "rdonly" | "nosuid" | "nodev" | "noexec" | "noatime" | "nodiratime";

export type MountStep =
  | {
      readonly kind: "erofs";
      readonly source: string;
      readonly backing: "file" | "loop";
      readonly idmap?: string;
    }
  | {
      readonly kind: "overlay";
      /** Shown by mountinfo: tells which molecule a mount is. */
      readonly source: string;
      readonly lower: readonly Layer[];
      readonly dataOnly: readonly string[];
      /** The data layers are ordinary lowers: the image's own whiteouts 00 to ff hide what is in them. */
      readonly singleColon: boolean;
      readonly metacopy: boolean;
      readonly verity: boolean;
      readonly upper?: { readonly upperdir: string; readonly workdir: string };
      /** Further overlay options, "key" or "key=value". */
      readonly options: readonly string[];
      readonly attributes: readonly MountAttribute[];
    }
  | { readonly kind: "tree"; readonly path: string; readonly idmap?: string }
  | { readonly kind: "move"; readonly target: string };

export type OverlayStep = Extract<MountStep, { kind: "overlay" }>;

/** The rows of the table in docs/ARCHITECTURE.md, best first. */
export type MountRow = "one-overlay" | "two-levels" | "single-colon" | "tree";

/** All that there is to do, in order; each step makes one mount that is attached nowhere until the last one moves it. */
export type MountSpec = {
  readonly row: MountRow;
  readonly molecule: VerityDigest;
  readonly layers: "fd" | "path";
  readonly steps: readonly MountStep[];
};

const SOURCE_PREFIX = "atomfs:";
const SOURCE = /^atomfs:([0-9a-f]{64})$/;
const TREE_ROOT = /\/trees\/([0-9a-f]{64})$/;

/** The molecule of an overlay mounted by us, from the source that mountinfo shows. */
export function moleculeOfSource(source: string): VerityDigest | undefined {
  return SOURCE.exec(source)?.[1] as VerityDigest | undefined;
}

/**
 * The molecule that a line of mountinfo shows, in any row: a checked-out tree that is mounted read-only has no source
 * of its own, but its root in its filesystem ends with the digest.
 */
export function moleculeOfMount(mount: {
  readonly source: string;
  readonly root: string;
}): VerityDigest | undefined {
  return moleculeOfSource(mount.source) ?? (TREE_ROOT.exec(mount.root)?.[1] as VerityDigest | undefined);
}

/** Where a molecule's tree is checked out, for the row that needs it. */
export function treePathOf(treesDir: string, molecule: VerityDigest): string {
  return `${treesDir}/${molecule}`;
}

/** The best row that these capabilities allow. */
export function chooseRow(capabilities: MountCapabilities, hasUpper: boolean): MountRow {
  const { erofs, dataOnly, singleColon, secondLevel, verity } = capabilities;
  if (erofs === "none") return "tree";
  const canStack = secondLevel || !hasUpper;
  // Where verity brings metacopy along, it may not be on the overlay that has the upper.
  const verityParts = verity === "metacopy" && hasUpper && secondLevel;
  if (dataOnly === "plain" && !verityParts) return "one-overlay";
  if (dataOnly !== "none" && canStack) return "two-levels";
  return singleColon && canStack ? "single-colon" : "tree";
}

/**
 * Decides how a molecule is mounted. An overlay that has an upper never gets `metacopy` or `redirect_dir`: its upper
 * belongs to an engine, which could not read what they leave there.
 */
export function planMount(request: MountRequest, capabilities: MountCapabilities): MountSpec {
  const row = chooseRow(capabilities, request.upper !== undefined);
  return {
    row,
    molecule: request.molecule,
    layers: capabilities.layers,
    steps: [...rootSteps(row, request, capabilities), { kind: "move", target: request.target }],
  };
}

function rootSteps(row: MountRow, request: MountRequest, capabilities: MountCapabilities): MountStep[] {
  const { upper } = request;
  // An overlay cannot be id-mapped, what is below it can.
  const idmap = request.idmap === undefined ? {} : { idmap: request.idmap };
  if (row === "tree") {
    const tree = { kind: "tree", path: treePathOf(request.treesDir, request.molecule), ...idmap } as const;
    return upper === undefined ? [tree] : [tree, upperOverlay(request, upper, 0)];
  }
  const backing = capabilities.erofs === "none" ? "file" : capabilities.erofs;
  const image: MountStep = { kind: "erofs", source: request.erofsPath, backing, ...idmap };
  if (row === "one-overlay" && upper !== undefined) {
    const root = upperOverlay(request, upper, 0);
    return [image, { ...root, dataOnly: [request.objectsDir], verity: capabilities.verity === "plain" }];
  }
  const below: OverlayStep = {
    kind: "overlay",
    source: SOURCE_PREFIX + request.molecule,
    lower: [{ step: 0 }],
    dataOnly: [request.objectsDir],
    singleColon: row === "single-colon",
    metacopy: row !== "one-overlay",
    verity: row !== "single-colon" && capabilities.verity !== "none",
    options: [],
    attributes: ["rdonly"],
  };
  return upper === undefined ? [image, below] : [image, below, upperOverlay(request, upper, 1)];
}

function upperOverlay(request: MountRequest, upper: UpperRequest, below: number): OverlayStep {
  const { options, attributes } = sortOptions(upper.options ?? []);
  return {
    kind: "overlay",
    source: SOURCE_PREFIX + request.molecule,
    lower: [{ step: below }],
    dataOnly: [],
    singleColon: false,
    metacopy: false,
    verity: false,
    upper: { upperdir: upper.upperdir, workdir: upper.workdir },
    options: [...ABOVE_CHANGING_LOWERS, ...options],
    attributes,
  };
}

/**
 * Said aloud, because a kernel or module parameter may have them on by default. With an index, overlay refuses
 * an upper whose lower is another one than before, which is what a fix makes it.
 */
const ABOVE_CHANGING_LOWERS = ["metacopy=off", "redirect_dir=off", "index=off", "nfs_export=off"] as const;

/** Overlay options that are ours to decide, and those that mountinfo shows and nobody may set. */
const OURS = new Set([
  ...["lowerdir", "lowerdir+", "datadir+", "upperdir", "workdir", "source", "metacopy", "redirect_dir"],
  ...["index", "nfs_export", "verity", "seclabel"],
]);

const ATTRIBUTES: ReadonlyMap<string, MountAttribute | undefined> = new Map([
  ["ro", "rdonly"],
  ["nosuid", "nosuid"],
  ["nodev", "nodev"],
  ["noexec", "noexec"],
  ["noatime", "noatime"],
  ["nodiratime", "nodiratime"],
  // The defaults.
  ...(["rw", "suid", "dev", "exec", "relatime", "atime", "diratime", "defaults"] as const).map(
    (name) => [name, undefined] as const,
  ),
] as const);

/** Of a mount as mountinfo shows it: what its filesystem has of its own is left out. */
export function attributesOf(options: readonly string[]): readonly MountAttribute[] {
  return sortOptions(options).attributes;
}

function sortOptions(given: readonly string[]): { options: string[]; attributes: MountAttribute[] } {
  const options: string[] = [];
  const attributes: MountAttribute[] = [];
  for (const option of given) {
    const key = option.split("=", 1)[0] ?? "";
    if (option.includes("\0") || key === "") {
      throw new AtomfsError("bad-data", `Cannot use the mount option ${JSON.stringify(option)}`);
    }
    const attribute = ATTRIBUTES.get(option);
    if (attribute !== undefined) attributes.push(attribute);
    else if (!ATTRIBUTES.has(option) && !OURS.has(key)) options.push(option);
  }
  return { options, attributes };
}
