import { Database } from "bun:sqlite";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import type { DebIdentity } from "../formats/atom/atom.ts";
import { ELF_INFO_VERSION, type ElfInfo } from "../formats/elf/elf.ts";

/** Raised when a table changes; an older catalog is thrown away and made again, it holds nothing of its own. */
const CATALOG_VERSION: number = 1000 + ELF_INFO_VERSION;

const SCHEMA = `
CREATE TABLE image_package (
  config TEXT NOT NULL, name TEXT NOT NULL, architecture TEXT NOT NULL, version TEXT NOT NULL,
  source TEXT NOT NULL, source_version TEXT NOT NULL, atom TEXT NOT NULL,
  PRIMARY KEY (config, name, architecture)
) WITHOUT ROWID, STRICT;
CREATE INDEX image_package_by_name ON image_package (name);
CREATE INDEX image_package_by_source ON image_package (source);
CREATE TABLE elf (digest TEXT PRIMARY KEY, info TEXT) WITHOUT ROWID, STRICT;
`;

export type PackageRow = DebIdentity & { readonly config: Sha256; readonly atom: Sha256 };

/** An index over the store's files (SQLite, WAL). Whatever it says can be read from the files again. */
export class Catalog implements Disposable {
  readonly #db: Database;

  constructor(path: string) {
    this.#db = new Database(path, { create: true, strict: true });
    this.#db.run("PRAGMA journal_mode = WAL");
    this.#db.run("PRAGMA synchronous = FULL");
    this.#db.run("PRAGMA busy_timeout = 10000");
    const { user_version: version } = this.#db.query("PRAGMA user_version").get() as { user_version: number };
    if (version === CATALOG_VERSION) return;
    this.#db.transaction(() => {
      this.#db.run("DROP TABLE IF EXISTS image_package");
      this.#db.run("DROP TABLE IF EXISTS elf");
      for (const statement of SCHEMA.split(";")) if (statement.trim() !== "") this.#db.run(statement);
      this.#db.run(`PRAGMA user_version = ${CATALOG_VERSION}`);
    })();
  }

  hasImage(config: Sha256): boolean {
    return this.#db.query("SELECT 1 FROM image_package WHERE config = ? LIMIT 1").get(config) !== null;
  }

  setImage(config: Sha256, packages: readonly (DebIdentity & { readonly atom: Sha256 })[]): void {
    const insert = this.#db.prepare("INSERT INTO image_package VALUES (?, ?, ?, ?, ?, ?, ?)");
    this.#db.transaction(() => {
      this.#db.run("DELETE FROM image_package WHERE config = ?", [config]);
      for (const p of packages)
        insert.run(config, p.name, p.architecture, p.version, p.source, p.sourceVersion, p.atom);
    })();
  }

  removeImage(config: Sha256): void {
    this.#db.run("DELETE FROM image_package WHERE config = ?", [config]);
  }

  /** Installed packages with this binary name, in all images. */
  packagesNamed(name: string): PackageRow[] {
    return this.#select("WHERE name = ?", name);
  }

  packagesOfSource(source: string): PackageRow[] {
    return this.#select("WHERE source = ?", source);
  }

  packagesOfImage(config: Sha256): PackageRow[] {
    return this.#select("WHERE config = ?", config);
  }

  #select(where: string, value: string): PackageRow[] {
    const columns = "config, name, architecture, version, source, source_version AS sourceVersion, atom";
    return this.#db
      .query(`SELECT ${columns} FROM image_package ${where} ORDER BY config, name`)
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
    this.#db.transaction(() => {
      for (const [digest, info] of entries) insert.run(digest, info === null ? null : JSON.stringify(info));
    })();
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
