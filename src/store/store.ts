import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseVerityDigest, type Sha256, type VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { verityDigest } from "../core/verity.ts";
import type { Atom } from "../formats/atom/atom.ts";
import { decodeAtom, encodeAtom } from "../formats/atom/codec.ts";
import { readFileBounded, writeAtomic } from "../sys/files.ts";
import { lockFile } from "../sys/lock.ts";
import { Catalog } from "./catalog.ts";
import { appendRecord, readJournal } from "./journal.ts";
import { STORE_DIRECTORIES, type StoreLayout, storeLayout } from "./layout.ts";
import { ObjectStaging } from "./objects.ts";
import type { Generation, Operation } from "./records.ts";
import { applyRecord, currentGeneration, replay, type State } from "./state.ts";

const FORMAT_VERSION = 1;
const ATOM_MAX_BYTES = 512 * 1024 * 1024;

/** Unknown `incompatible` features: refuse. Unknown `readOnlyCompatible`: read only. Unknown `compatible`: go on. */
type Meta = {
  readonly version: number;
  readonly compatible: readonly string[];
  readonly readOnlyCompatible: readonly string[];
  readonly incompatible: readonly string[];
};

const OWN_META: Meta = { version: FORMAT_VERSION, compatible: [], readOnlyCompatible: [], incompatible: [] };

/** Implements docs/formats/store.md. Reading needs no lock; every change is one `transact`. */
export class Store implements Disposable {
  readonly layout: StoreLayout;
  readonly catalog: Catalog;
  #journal: ReturnType<typeof readJournal>;
  #state: State;

  private constructor(layout: StoreLayout) {
    this.layout = layout;
    this.#journal = readJournal(layout.journal);
    this.#state = replay(this.#journal.records);
    this.catalog = new Catalog(layout.catalog);
  }

  /** Opens the store at `root`; makes an empty one if there is none and `create` is set. */
  static open(root: string, options: { readonly create?: boolean } = {}): Store {
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
    return new Store(layout);
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
    const id = createHash("sha256").update(bytes).digest("hex") as Sha256;
    if (!existsSync(this.layout.atom(id))) this.#write(this.layout.atom(id), bytes, 0o400);
    return id;
  }

  readAtom(id: Sha256): Atom {
    const bytes = readFileBounded(this.layout.atom(id), ATOM_MAX_BYTES);
    if (createHash("sha256").update(bytes).digest("hex") !== id) {
      throw new AtomfsError("bad-data", `Atom ${id} is not what was written`, {
        hints: ["run `atomfs fsck`"],
      });
    }
    return decodeAtom(bytes);
  }

  putImageDocuments(config: Sha256, configBytes: Uint8Array, manifestBytes: Uint8Array): void {
    this.#write(this.layout.imageConfig(config), configBytes, 0o400);
    this.#write(this.layout.imageManifest(config), manifestBytes, 0o400);
  }

  /** Idempotent. @returns the molecule's name, the fs-verity digest of the bytes */
  putMolecule(erofs: Uint8Array): VerityDigest {
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

  /** Takes the store for changes until disposed, and sees what others changed before. Waits for others to finish. */
  lock(): Disposable {
    const lock = lockFile(this.layout.lock, "exclusive", { wait: true });
    this.refresh();
    return lock;
  }

  /** Reads what other processes have added to the journal. */
  refresh(): void {
    this.#journal = readJournal(this.layout.journal);
    this.#state = replay(this.#journal.records);
  }

  /**
   * Makes the operations true, all or none. Call it while holding `lock`. What they name must be in the store.
   * `current/` follows the journal; where a crash came between, the next `transact` or `repairCurrent` mends it.
   */
  transact(command: string, time: Date, operations: readonly Operation[]): State {
    if (operations.length === 0) return this.#state;
    const entry = { time: time.toISOString(), command, operations };
    const { journal, record } = appendRecord(this.layout, this.#journal, entry);
    this.#journal = journal;
    this.#state = applyRecord(this.#state, record);
    this.repairCurrent();
    return this.#state;
  }

  /** Makes `current/` say what the journal says. @returns how many files were wrong */
  repairCurrent(): number {
    let wrong = 0;
    const known = new Set<string>(this.#state.images.keys());
    for (const name of readdirSync(this.layout.current)) {
      if (known.has(name)) continue;
      rmSync(join(this.layout.current, name));
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
    this.catalog[Symbol.dispose]();
  }
}

/** `<molecule digest> <generation number> <number of fixes>`: all that a runtime reads at a container's start. */
function currentText(generation: Generation): string {
  return `${generation.molecule} ${generation.number} ${generation.fixes.length}\n`;
}

function readCurrent(layout: StoreLayout, config: Sha256): string | undefined {
  try {
    return readFileSync(layout.currentOf(config), "utf8");
  } catch {
    return undefined;
  }
}

/** Parses what a `current/` file says of the molecule. */
export function parseCurrent(text: string): VerityDigest {
  return parseVerityDigest(text.slice(0, 64));
}

function createStore(layout: StoreLayout): void {
  mkdirSync(layout.root, { recursive: true, mode: 0o700 });
  for (const name of STORE_DIRECTORIES) mkdirSync(join(layout.root, name), { recursive: true, mode: 0o700 });
  writeAtomic(layout.meta, Buffer.from(`${JSON.stringify(OWN_META)}\n`), { mode: 0o600 });
}

function checkMeta(layout: StoreLayout): void {
  let meta: Meta;
  try {
    meta = JSON.parse(readFileSync(layout.meta, "utf8")) as Meta;
  } catch (cause) {
    throw new AtomfsError("bad-data", `Cannot read ${layout.meta}`, {
      cause,
      hints: ["is this an AtomFS store?"],
    });
  }
  const unknown = [...(meta.incompatible ?? []), ...(meta.readOnlyCompatible ?? [])];
  if (meta.version !== FORMAT_VERSION || unknown.length > 0) {
    const what =
      meta.version === FORMAT_VERSION ? `features ${unknown.join(", ")}` : `format version ${meta.version}`;
    throw new AtomfsError(
      "unsupported",
      `The store at ${layout.root} has ${what}, which this version does not know`,
      {
        hints: ["use the version of atomfs that made it, or a newer one"],
      },
    );
  }
}
