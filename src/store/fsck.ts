import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import type { Inode } from "../core/tree.ts";
import { verityDigest } from "../core/verity.ts";
import { objectsOf } from "../formats/erofs/reader.ts";
import { readFileBounded } from "../sys/files.ts";
import { namedThings } from "./reachable.ts";
import type { Store } from "./store.ts";

const FILE_MAX_BYTES = Number.MAX_SAFE_INTEGER;

export type FsckReport = {
  readonly problems: readonly string[];
  readonly checked: { readonly atoms: number; readonly molecules: number; readonly objects: number };
  /** `current/` files that did not say what the journal says; they do now. */
  readonly repaired: number;
};

/**
 * Checks that all the journal names is there and is what its name says. Opening the store has checked the journal.
 * @param options.readObjects also measure every object: reads the whole store
 */
export function checkStore(
  store: Store,
  options: { readonly readObjects: boolean; readonly signal?: AbortSignal },
): FsckReport {
  using _lock = store.lock();
  const problems: string[] = [];
  const needed = new Map<VerityDigest, string>();
  const attempt = (what: string, check: () => void): void => {
    options.signal?.throwIfAborted();
    try {
      check();
    } catch (error) {
      problems.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const { images, atoms, molecules } = namedThings(store);
  for (const id of atoms) attempt(`atom ${id}`, () => checkAtom(store, id, needed));
  for (const id of molecules) attempt(`molecule ${id}`, () => checkMolecule(store, id, needed));
  for (const config of images) attempt(`image ${config}`, () => checkImageDocuments(store, config));
  for (const [digest, user] of needed)
    attempt(`object ${digest} of ${user}`, () => checkObject(store, digest, options.readObjects));
  for (const config of images) {
    if (!store.catalog.hasImage(config))
      problems.push(`the catalog lacks image ${config}: run \`atomfs fsck --rebuild-catalog\``);
  }
  const checked = { atoms: atoms.size, molecules: molecules.size, objects: needed.size };
  return { problems, checked, repaired: store.repairCurrent() };
}

function checkAtom(store: Store, id: Sha256, needed: Map<VerityDigest, string>): void {
  const atom = store.readAtom(id);
  const note = (inode: Inode): void => {
    if (inode.type === "file" && inode.content.kind === "object")
      needed.set(inode.content.digest, `atom ${id.slice(0, 12)}`);
  };
  for (const { inode } of [...atom.entries, ...atom.control]) note(inode);
}

function checkMolecule(store: Store, id: VerityDigest, needed: Map<VerityDigest, string>): void {
  const bytes = readFileBounded(store.layout.molecule(id), FILE_MAX_BYTES);
  if (verityDigest(bytes) !== id) throw new AtomfsError("bad-data", "its bytes have another digest");
  for (const digest of objectsOf(bytes)) needed.set(digest, `molecule ${id.slice(0, 12)}`);
}

function checkImageDocuments(store: Store, config: Sha256): void {
  const image = store.state.images.get(config);
  for (const [path, digest] of [
    [store.layout.imageConfig(config), config],
    [store.layout.imageManifest(config), image?.manifest],
  ] as const) {
    const bytes = readFileBounded(path, FILE_MAX_BYTES);
    if (createHash("sha256").update(bytes).digest("hex") !== digest)
      throw new AtomfsError("bad-data", `${path} is damaged`);
  }
}

function checkObject(store: Store, digest: VerityDigest, readIt: boolean): void {
  const path = store.layout.object(digest);
  if (!existsSync(path)) throw new AtomfsError("bad-data", "it is missing");
  if (readIt && verityDigest(readFileBounded(path, FILE_MAX_BYTES)) !== digest) {
    throw new AtomfsError("bad-data", "its bytes have another digest");
  }
}

/** Makes the catalog again from the atoms. */
export function rebuildCatalog(store: Store): number {
  using _lock = store.lock();
  for (const image of store.state.images.values()) {
    const packages = image.atoms.flatMap((id) => {
      const { origin } = store.readAtom(id);
      return origin.kind === "installed" ? [{ ...origin.package, atom: id }] : [];
    });
    store.catalog.setImage(image.config, packages);
  }
  return store.state.images.size;
}
