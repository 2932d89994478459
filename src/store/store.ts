import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { verityDigest } from "../core/verity.ts";
import type { Atom } from "../formats/atom/atom.ts";
import { decodeAtom, encodeAtom } from "../formats/atom/codec.ts";
import { readFileBounded, writeAtomic } from "../sys/files.ts";
import { lockFile } from "../sys/lock.ts";
import { Catalog, type IndexedPackage } from "./catalog.ts";
import { currentText } from "./current.ts";
import { appendRecord, nextRecord, readJournal } from "./journal.ts";
import { type StoreLayout, storeLayout } from "./layout.ts";
import { checkMeta, createStore } from "./meta.ts";
import { MOLECULE_MAX_BYTES } from "./molecule-file.ts";
import { ObjectStaging } from "./objects.ts";
import type { ImageRecord, Operation } from "./records.ts";
import { applyRecord, currentGeneration, replay, type State } from "./state.ts";

const ATOM_MAX_BYTES = 512 * 1024 * 1024;

/** Implements docs/formats/store.md. Reading needs no lock; every change is one `transact`. */
export class Store implements Disposable {
  readonly layout: StoreLayout;
  readonly #damaged: boolean;
  #catalog: Catalog | undefined;
  #journal: ReturnType<typeof readJournal>;
  #state: State;

  #lock: Disposable | undefined;
  #lockDepth = 0;

  private constructor(layout: StoreLayout, damaged: boolean) {
    this.layout = layout;
    this.#damaged = damaged;
    this.#journal = readJournal(layout.journal);
    this.#state = replay(this.#journal.records);
  }

  /**
   * Opens the store at `root`; makes an empty one if there is none and `create` is set.
   * @param options.damaged use the catalog also if it lacks images whose atoms are damaged: for fsck only, a fix would
   * leave those images out
   * @throws AtomfsError "not-found", "unsupported" (of another version), "bad-data" (damaged), "usage" (`root` is
   * something else)
   */
  static open(root: string, options: { readonly create?: boolean; readonly damaged?: boolean } = {}): Store {
    const layout = storeLayout(root);
    if (!existsSync(layout.meta)) {
      if (options.create !== true) {
        throw new AtomfsError("not-found", `There is no AtomFS store at ${root}`, {
          hints: ["`atomfs import` makes one", "--root or ATOMFS_ROOT say where it is"],
        });
      }
      createStore(layout);
    }
    checkMeta(layout);
    return new Store(layout, options.damaged === true);
  }

  /**
   * Opened at its first use: to read the state, or to make room with gc, must also work on a full disk.
   * It may be new, lost or of an older version, so images that it lacks are added.
   * @throws AtomfsError "bad-data" if atoms that it needs for that are damaged
   */
  get catalog(): Catalog {
    if (this.#catalog !== undefined) return this.#catalog;
    using stack = new DisposableStack();
    const catalog = stack.use(new Catalog(this.layout.catalog, (config) => this.#state.images.has(config)));
    this.#indexMissingImages(catalog);
    stack.move();
    this.#catalog = catalog;
    return catalog;
  }

  #indexMissingImages(catalog: Catalog): void {
    const indexed = catalog.images();
    for (const image of this.#state.images.values()) {
      if (indexed.has(image.config)) continue;
      try {
        catalog.setImage(image.config, this.packagesIn(image));
      } catch (error) {
        if (!this.#damaged || !(error instanceof AtomfsError)) throw error;
      }
    }
  }

  /** What the catalog must say of an image, read from its atoms. */
  packagesIn(image: ImageRecord): IndexedPackage[] {
    return image.atoms.flatMap((id) => {
      const { origin } = this.readAtom(id);
      return origin.kind === "installed" ? [{ ...origin.package, atom: id }] : [];
    });
  }

  get state(): State {
    return this.#state;
  }

  beginObjects(): ObjectStaging {
    return new ObjectStaging(this.layout);
  }

  readObject(digest: VerityDigest): Uint8Array {
    try {
      return readFileSync(this.layout.object(digest));
    } catch (cause) {
      throw new AtomfsError("bad-data", `The store has lost object ${digest}`, {
        cause,
        hints: ["run `atomfs fsck`"],
      });
    }
  }

  /** Idempotent. Every object that the atom names must have been published. */
  putAtom(atom: Atom): Sha256 {
    const bytes = encodeAtom(atom);
    if (bytes.length > ATOM_MAX_BYTES)
      throw new AtomfsError("unsupported", "A layer or package has too many files for one atom");
    const id = createHash("sha256").update(bytes).digest("hex") as Sha256;
    if (!existsSync(this.layout.atom(id))) this.#write(this.layout.atom(id), bytes, 0o400);
    return id;
  }

  readAtom(id: Sha256): Atom {
    const bytes = readStored(this.layout.atom(id), `atom ${id}`, ATOM_MAX_BYTES);
    if (createHash("sha256").update(bytes).digest("hex") !== id) {
      throw new AtomfsError("bad-data", `Atom ${id} is not what was written`, {
        hints: ["run `atomfs fsck`"],
      });
    }
    return decodeAtom(bytes);
  }

  /** An image that the journal has keeps its documents: another manifest may lead to the same config. */
  putImageDocuments(config: Sha256, configBytes: Uint8Array, manifestBytes: Uint8Array): void {
    using _lock = this.lock();
    if (this.#state.images.has(config)) return;
    this.#write(this.layout.imageConfig(config), configBytes, 0o400);
    this.#write(this.layout.imageManifest(config), manifestBytes, 0o400);
  }

  /** Idempotent. @returns the molecule's name, the fs-verity digest of the bytes */
  putMolecule(erofs: Uint8Array): VerityDigest {
    if (erofs.length > MOLECULE_MAX_BYTES)
      throw new AtomfsError("unsupported", "An image has too many files for one molecule");
    const digest = verityDigest(erofs);
    if (!existsSync(this.layout.molecule(digest))) this.#write(this.layout.molecule(digest), erofs, 0o400);
    return digest;
  }

  hasMolecule(digest: VerityDigest): boolean {
    return existsSync(this.layout.molecule(digest));
  }

  /** The molecule that a new container of the image gets. */
  currentMolecule(config: Sha256): VerityDigest {
    const generation = currentGeneration(this.#state, config);
    if (generation === undefined)
      throw new AtomfsError("not-found", `Image ${config.slice(0, 12)} has no molecule`);
    return generation.molecule;
  }

  #write(path: string, bytes: Uint8Array, mode: number): void {
    writeAtomic(path, bytes, { mode, temporaryDirectory: this.layout.tmp });
  }

  /**
   * Takes the store for changes until disposed, and sees what others changed before. Waits for others to finish.
   * Whoever holds it may take it again. Anyone who also needs the gc lock (`beginObjects`) takes that one first.
   * @throws AtomfsError "stale" if another command does not let go of it
   */
  lock(): Disposable {
    if (this.#lockDepth === 0) {
      using stack = new DisposableStack();
      const lock = stack.use(lockFile(this.layout.lock, "exclusive", { wait: true }));
      this.refresh();
      this.#lock = lock;
      stack.move();
    }
    this.#lockDepth += 1;
    return {
      [Symbol.dispose]: (): void => {
        this.#lockDepth -= 1;
        if (this.#lockDepth === 0) this.#lock?.[Symbol.dispose]();
      },
    };
  }

  /** Reads what other processes have added to the journal. */
  refresh(): void {
    this.#journal = readJournal(this.layout.journal);
    this.#state = replay(this.#journal.records);
  }

  /**
   * Makes the operations true, all or none. What they name must be in the store. Only while holding `lock`.
   * `current/` follows the journal; where a crash came between, the next `transact` or `repairCurrent` mends it.
   * @throws AtomfsError "bad-data" if the operations do not fit the state; nothing is written then
   */
  transact(command: string, time: Date, operations: readonly Operation[]): State {
    if (this.#lockDepth === 0) throw new TypeError("A transaction needs the store's lock");
    if (operations.length > 0) {
      const record = nextRecord(this.#journal, { time: time.toISOString(), command, operations });
      const state = applyRecord(this.#state, record);
      this.#journal = appendRecord(this.layout, this.#journal, record);
      this.#state = state;
    }
    this.repairCurrent();
    return this.#state;
  }

  /** Makes `current/` say what the journal says. @returns how many files were wrong */
  repairCurrent(): number {
    let wrong = 0;
    const known = new Set<string>(this.#state.images.keys());
    mkdirSync(this.layout.current, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(this.layout.current)) {
      if (known.has(name)) continue;
      rmSync(join(this.layout.current, name), { recursive: true });
      wrong += 1;
    }
    for (const config of this.#state.images.keys()) {
      const generation = currentGeneration(this.#state, config);
      if (generation === undefined || readCurrent(this.layout, config) === currentText(generation)) continue;
      this.#write(this.layout.currentOf(config), Buffer.from(currentText(generation)), 0o600);
      wrong += 1;
    }
    return wrong;
  }

  [Symbol.dispose](): void {
    this.#catalog?.[Symbol.dispose]();
  }
}

function readCurrent(layout: StoreLayout, config: Sha256): string | undefined {
  try {
    return readFileSync(layout.currentOf(config), "utf8");
  } catch {
    return undefined;
  }
}

/** @throws AtomfsError "bad-data" if it is missing */
function readStored(path: string, what: string, maxBytes: number): Uint8Array {
  if (!existsSync(path)) {
    throw new AtomfsError("bad-data", `The store has lost ${what}`, { hints: ["run `atomfs fsck`"] });
  }
  return readFileBounded(path, maxBytes);
}
