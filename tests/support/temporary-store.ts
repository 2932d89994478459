import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Sha256, VerityDigest } from "../../src/core/digest.ts";
import type { FixRule, Generation, ImageRecord } from "../../src/store/records.ts";
import { Store } from "../../src/store/store.ts";

export const NOW: Date = new Date("2026-01-02T03:04:05Z");

/** A digest of one hex digit, repeated. */
export function digestOf(digit: string): Sha256 {
  return digit.repeat(64) as Sha256;
}

export function moleculeOf(digit: string): VerityDigest {
  return digit.repeat(64) as VerityDigest;
}

export function imageRecord(config: Sha256, atoms: readonly Sha256[] = []): ImageRecord {
  return {
    config,
    manifest: digestOf("f"),
    atoms,
    distribution: { id: "debian", codename: "bookworm", version: "12" },
    architecture: "amd64",
    source: "oci:/images:web",
    labels: { "org.example.a": "b" },
    env: ["PATH=/bin"],
  };
}

export function fixRule(id: string, atoms: readonly Sha256[] = []): FixRule {
  return {
    id,
    title: "demo 2",
    distribution: { id: "debian", codename: "bookworm" },
    architecture: "amd64",
    scope: { images: [], exclude: ["db*"] },
    replacements: atoms.map((atom) => ({ package: "demo", architecture: "amd64", version: "2", atom })),
    provenance: "Debian bookworm-security",
  };
}

export function generation(
  config: Sha256,
  number: number,
  molecule: VerityDigest,
  fixes: readonly string[] = [],
): Generation {
  return { config, number, molecule, fixes, composer: 1, reason: "test" };
}

/** A store in a new directory on disk, removed when disposed. */
export class TemporaryStore implements Disposable {
  readonly root: string = mkdtempSync("/var/tmp/atomfs-store-");
  #store: Store | undefined;

  get store(): Store {
    this.#store ??= Store.open(this.root, { create: true });
    return this.#store;
  }

  /** As another process would find it. */
  reopen(): Store {
    this.#store?.[Symbol.dispose]();
    this.#store = Store.open(this.root);
    return this.#store;
  }

  transact(...operations: Parameters<Store["transact"]>[2]): void {
    using _lock = this.store.lock();
    this.store.transact("test", NOW, operations);
  }

  path(...names: readonly string[]): string {
    return join(this.root, ...names);
  }

  list(...names: readonly string[]): string[] {
    return readdirSync(this.path(...names)).sort();
  }

  read(...names: readonly string[]): string {
    return readFileSync(this.path(...names), "utf8");
  }

  [Symbol.dispose](): void {
    this.#store?.[Symbol.dispose]();
    rmSync(this.root, { recursive: true, force: true });
  }
}
