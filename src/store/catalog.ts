import { Database, SQLiteError } from "bun:sqlite";
import { chmodSync, rmSync } from "node:fs";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import type { DebIdentity } from "../formats/atom/atom.ts";
import { ELF_INFO_VERSION, type ElfInfo } from "../formats/elf/elf.ts";

/** Raised when a table changes; an older catalog is thrown away and made again, it holds nothing of its own. */
const CATALOG_VERSION: number = 2000 + ELF_INFO_VERSION;

const SCHEMA = [
  "CREATE TABLE image (config TEXT PRIMARY KEY) WITHOUT ROWID, STRICT",
  `CREATE TABLE image_package (
    config TEXT NOT NULL, name TEXT NOT NULL, architecture TEXT NOT NULL, version TEXT NOT NULL,
    source TEXT NOT NULL, source_version TEXT NOT NULL, atom TEXT NOT NULL,
    PRIMARY KEY (config, name, architecture)
  ) WITHOUT ROWID, STRICT`,
  "CREATE INDEX image_package_by_name ON image_package (name)",
  "CREATE INDEX image_package_by_source ON image_package (source)",
  "CREATE TABLE elf (digest TEXT PRIMARY KEY, info TEXT) WITHOUT ROWID, STRICT",
] as const;

const MODE = 0o600;

export type IndexedPackage = DebIdentity & { readonly atom: Sha256 };
export type PackageRow = IndexedPackage & { readonly config: Sha256 };

/** An index over the store's files (SQLite, WAL). Whatever it says can be read from the files again. */
export class Catalog implements Disposable {
  readonly #path: string;
  readonly #isImage: (config: Sha256) => boolean;
  #db: Database;

  /**
   * A file that is no database is made anew.
   * @param isImage is this an image of the journal? An import that was killed, or runs just now, has rows too.
   */
  constructor(path: string, isImage: (config: Sha256) => boolean) {
    this.#path = path;
    this.#isImage = isImage;
    try {
      this.#db = openDatabase(path);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#db = recreate(path);
    }
  }

  /** Forgets everything, whatever state the file is in. */
  clear(): void {
    this.#db.close();
    this.#db = recreate(this.#path);
  }

  /** Images that are indexed, also those without any package. */
  images(): Set<Sha256> {
    const rows = this.#db.query("SELECT config FROM image").all() as { config: Sha256 }[];
    return new Set(rows.map((row) => row.config));
  }

  setImage(config: Sha256, packages: readonly IndexedPackage[]): void {
    const insert = this.#db.prepare("INSERT INTO image_package VALUES (?, ?, ?, ?, ?, ?, ?)");
    this.#db
      .transaction(() => {
        this.#db.run("INSERT OR IGNORE INTO image VALUES (?)", [config]);
        this.#db.run("DELETE FROM image_package WHERE config = ?", [config]);
        for (const p of packages)
          insert.run(config, p.name, p.architecture, p.version, p.source, p.sourceVersion, p.atom);
      })
      .immediate();
  }

  removeImage(config: Sha256): void {
    this.#db
      .transaction(() => {
        this.#db.run("DELETE FROM image WHERE config = ?", [config]);
        this.#db.run("DELETE FROM image_package WHERE config = ?", [config]);
      })
      .immediate();
  }

  /** Installed packages with this binary name, in all images of the journal. */
  packagesNamed(name: string): PackageRow[] {
    return this.#select("WHERE name = ?", name).filter((row) => this.#isImage(row.config));
  }

  packagesOfSource(source: string): PackageRow[] {
    return this.#select("WHERE source = ?", source).filter((row) => this.#isImage(row.config));
  }

  /** Also of an image that the journal will only name a moment later. */
  packagesOfImage(config: Sha256): PackageRow[] {
    return this.#select("WHERE config = ?", config);
  }

  #select(where: string, value: string): PackageRow[] {
    const columns = "config, name, architecture, version, source, source_version AS sourceVersion, atom";
    return this.#db
      .query(`SELECT ${columns} FROM image_package ${where} ORDER BY config, name, architecture`)
      .all(value) as PackageRow[];
  }

  /** What `readElf` said of an object: null for "not an ELF file", undefined for "not asked yet". */
  elf(digest: VerityDigest): ElfInfo | null | undefined {
    const row = this.#db.query("SELECT info FROM elf WHERE digest = ?").get(digest) as {
      info: string | null;
    } | null;
    if (row === null) return undefined;
    return row.info === null ? null : (JSON.parse(row.info) as ElfInfo);
  }

  setElf(entries: ReadonlyMap<VerityDigest, ElfInfo | null>): void {
    const insert = this.#db.prepare("INSERT OR REPLACE INTO elf VALUES (?, ?)");
    this.#db
      .transaction(() => {
        for (const [digest, info] of entries) insert.run(digest, info === null ? null : JSON.stringify(info));
      })
      .immediate();
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

function openDatabase(path: string): Database {
  using stack = new DisposableStack();
  const db = stack.adopt(new Database(path, { create: true, strict: true }), (each) => each.close());
  chmodSync(path, MODE);
  // First of all: two first openers wait for each other.
  db.run("PRAGMA busy_timeout = 10000");
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA synchronous = FULL");
  if (versionOf(db) !== CATALOG_VERSION) {
    db.transaction(() => {
      // Another opener may have been faster.
      if (versionOf(db) === CATALOG_VERSION) return;
      for (const table of ["image", "image_package", "elf"]) db.run(`DROP TABLE IF EXISTS ${table}`);
      for (const statement of SCHEMA) db.run(statement);
      db.run(`PRAGMA user_version = ${CATALOG_VERSION}`);
    }).immediate();
  }
  stack.move();
  return db;
}

function versionOf(db: Database): number {
  return (db.query("PRAGMA user_version").get() as { user_version: number }).user_version;
}

function recreate(path: string): Database {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
  return openDatabase(path);
}

function isDamage(error: unknown): boolean {
  return error instanceof SQLiteError && /^SQLITE_(NOTADB|CORRUPT)/.test(error.code ?? "");
}
