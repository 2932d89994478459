import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { isVerityDigest, type Sha256, type VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import type { Inode } from "../core/tree.ts";
import { verityDigest } from "../core/verity.ts";
import type { Atom } from "../formats/atom/atom.ts";
import { objectsOf } from "../formats/erofs/reader.ts";
import { readFileBounded } from "../sys/files.ts";
import { lockFile } from "../sys/lock.ts";
import { FileMeasure } from "./measure.ts";
import { MOLECULE_MAX_BYTES } from "./molecule-file.ts";
import { namedThings } from "./reachable.ts";
import type { ImageRecord } from "./records.ts";
import { currentGeneration } from "./state.ts";
import type { Store } from "./store.ts";

const DOCUMENT_MAX_BYTES = 64 * 1024 * 1024;
/** Signals are only seen between turns of the event loop. */
const TURN_MS = 50;

const SHARED_WITH_ENGINE = "; it is a hard link of an engine's layer file, which was changed there, too";

export type FsckReport = {
  readonly problems: readonly string[];
  readonly checked: { readonly atoms: number; readonly molecules: number; readonly objects: number };
  /** `current/` files that did not say what the journal says; they do now. */
  readonly repaired: number;
  /** Files that were taken away because they are not what their names say. */
  readonly removed: readonly string[];
};

export type FsckOptions = {
  /** Also measure every object: reads the whole store. Else only their sizes are looked at. */
  readonly readObjects: boolean;
  /** Take away files that are not what their names say, objects that nobody needs too: an import brings them again. */
  readonly removeDamaged?: boolean;
  readonly signal?: AbortSignal;
};

/** A file with other bytes than its name promises. */
class DamagedFile extends AtomfsError {
  readonly path: string;

  constructor(path: string, message: string) {
    super("bad-data", message);
    this.path = path;
  }
}

/** Who needs an object, and how large it must be if that is known. */
type Need = { readonly user: string; readonly size: number | undefined };

/**
 * Checks that all the journal names is there and is what its name says. Opening the store has checked the journal.
 * Others may add to the store meanwhile; gc waits.
 * @throws AtomfsError "interrupted"
 */
export async function checkStore(store: Store, options: FsckOptions): Promise<FsckReport> {
  using _adder = lockFile(store.layout.gcLock, "shared", { wait: true });
  store.refresh();
  const problems: string[] = [];
  const removed: string[] = [];
  const needed = new Map<VerityDigest, Need>();
  const pause = pauser(options.signal);
  const attempt = async (what: string, check: () => void | Promise<void>): Promise<void> => {
    await pause();
    try {
      await check();
    } catch (error) {
      if (error instanceof AtomfsError && error.kind === "interrupted") throw error;
      problems.push(`${what}: ${reasonOf(error)}`);
      if (options.removeDamaged !== true || !(error instanceof DamagedFile)) return;
      rmSync(error.path, { recursive: true });
      removed.push(error.path);
    }
  };
  const { state } = store;
  const { atoms, molecules } = namedThings(store);
  for (const id of atoms) await attempt(`atom ${id}`, () => checkAtom(store, id, needed));
  for (const id of molecules) await attempt(`molecule ${id}`, () => checkMolecule(store, id, needed));
  for (const image of state.images.values()) {
    await attempt(`image ${image.config}`, () => checkDocuments(store, image));
    await attempt(`image ${image.config}`, () => checkCatalog(store, image));
    if (currentGeneration(state, image.config) === undefined)
      problems.push(`image ${image.config}: it has no molecule`);
  }
  const { size: neededObjects } = needed;
  // An import takes an object that is there for what it says: none with wrong bytes may stay, whoever needs it.
  if (options.removeDamaged === true) {
    for (const digest of objectsIn(store.layout.objects))
      if (!needed.has(digest)) needed.set(digest, { user: "nobody", size: undefined });
  }
  for (const [digest, need] of needed) {
    await attempt(`object ${digest} of ${need.user}`, () =>
      checkObject(store.layout.object(digest), digest, need, options.readObjects, pause),
    );
  }
  const checked = { atoms: atoms.size, molecules: molecules.size, objects: neededObjects };
  using _lock = store.lock();
  return { problems, checked, repaired: store.repairCurrent(), removed };
}

type Pause = () => Promise<void>;

function pauser(signal: AbortSignal | undefined): Pause {
  let last = performance.now();
  return async () => {
    if (performance.now() - last >= TURN_MS) {
      await nextTurn();
      last = performance.now();
    }
    if (signal?.aborted === true) throw new AtomfsError("interrupted", "Interrupted while checking");
  };
}

function reasonOf(error: unknown): string {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return "it is missing";
  return error instanceof Error ? error.message : String(error);
}

function checkAtom(store: Store, id: Sha256, needed: Map<VerityDigest, Need>): void {
  const atom = readSoundAtom(store, id);
  const note = (inode: Inode): void => {
    if (inode.type !== "file" || inode.content.kind !== "object") return;
    const { digest, size } = inode.content;
    const known = needed.get(digest)?.size;
    if (known !== undefined && known !== size)
      throw new AtomfsError("bad-data", `it says that object ${digest} has ${size} bytes, others ${known}`);
    needed.set(digest, { user: `atom ${id.slice(0, 12)}`, size });
  };
  for (const { inode } of [...atom.entries, ...atom.control]) note(inode);
}

function readSoundAtom(store: Store, id: Sha256): Atom {
  try {
    return store.readAtom(id);
  } catch (error) {
    if (!(error instanceof AtomfsError) || !existsSync(store.layout.atom(id))) throw error;
    throw new DamagedFile(store.layout.atom(id), error.message);
  }
}

function checkMolecule(store: Store, id: VerityDigest, needed: Map<VerityDigest, Need>): void {
  const bytes = readFileBounded(store.layout.molecule(id), MOLECULE_MAX_BYTES);
  if (verityDigest(bytes) !== id)
    throw new DamagedFile(store.layout.molecule(id), "its bytes have another digest");
  for (const digest of objectsOf(bytes)) {
    if (!needed.has(digest)) needed.set(digest, { user: `molecule ${id.slice(0, 12)}`, size: undefined });
  }
}

function checkDocuments(store: Store, image: ImageRecord): void {
  for (const [what, path, digest] of [
    ["config", store.layout.imageConfig(image.config), image.config],
    ["manifest", store.layout.imageManifest(image.config), image.manifest],
  ] as const) {
    if (!existsSync(path)) throw new AtomfsError("bad-data", `its ${what} is missing`);
    const bytes = readFileBounded(path, DOCUMENT_MAX_BYTES);
    if (createHash("sha256").update(bytes).digest("hex") !== digest)
      throw new AtomfsError("bad-data", `its ${what} is damaged`);
  }
}

function checkCatalog(store: Store, image: ImageRecord): void {
  const key = (row: { name: string; architecture: string; version: string; atom: string }): string =>
    `${row.name}:${row.architecture} ${row.version} ${row.atom}`;
  const wanted = store.packagesIn(image).map(key).sort();
  const found = store.catalog.packagesOfImage(image.config).map(key).sort();
  if (wanted.join("\n") === found.join("\n") && store.catalog.images().has(image.config)) return;
  throw new AtomfsError("bad-data", "the catalog says something else: run `atomfs fsck --rebuild-catalog`");
}

function objectsIn(directory: string): VerityDigest[] {
  return readdirSync(directory, { withFileTypes: true })
    .filter((folder) => folder.isDirectory())
    .flatMap(({ name }) => readdirSync(join(directory, name)).map((rest) => `${name}${rest}`))
    .filter(isVerityDigest);
}

async function checkObject(
  path: string,
  digest: VerityDigest,
  need: Need,
  readIt: boolean,
  pause: Pause,
): Promise<void> {
  const stat = lstatSync(path);
  if (!stat.isFile()) throw new DamagedFile(path, "it is not a regular file");
  const whose = stat.nlink > 1 ? SHARED_WITH_ENGINE : "";
  if (need.size !== undefined && stat.size !== need.size)
    throw new DamagedFile(path, `it has ${stat.size} bytes, want ${need.size}${whose}`);
  if (!readIt) return;
  using measure = new FileMeasure(path);
  for (;;) {
    const found = measure.next();
    if (found === digest) return;
    if (found !== undefined) throw new DamagedFile(path, `its bytes have another digest${whose}`);
    await pause();
  }
}

/**
 * Makes the catalog again from the atoms. An image whose atoms are damaged is left out: `checkStore` names it.
 * @returns how many images it has
 */
export function rebuildCatalog(store: Store): number {
  using _lock = store.lock();
  store.catalog.clear();
  let indexed = 0;
  for (const image of store.state.images.values()) {
    try {
      store.catalog.setImage(image.config, store.packagesIn(image));
      indexed += 1;
    } catch (error) {
      if (!(error instanceof AtomfsError)) throw error;
    }
  }
  return indexed;
}
