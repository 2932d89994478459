import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Sha256, VerityDigest } from "../../src/core/digest.ts";
import type { ReadObject, Tree } from "../../src/core/tree.ts";
import { readDebAtom } from "../../src/fixing/deb-atom.ts";
import { type Evaluation, Evaluator } from "../../src/fixing/evaluate.ts";
import { type Imported, importImage } from "../../src/fixing/import-image.ts";
import { makeRule } from "../../src/fixing/rule.ts";
import { readErofs } from "../../src/formats/erofs/reader.ts";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { openOciLayout } from "../../src/sources/oci-layout.ts";
import type { FixRule, ImageRecord } from "../../src/store/records.ts";
import { namesOf } from "../../src/store/state.ts";
import { Store } from "../../src/store/store.ts";
import { tarDirectory, writeOciLayout } from "./oci-image.ts";

const NOW = new Date("2026-01-02T03:04:05Z");

/** A store of its own on a disk filesystem, and what tests do with it. Removed when disposed. */
export class FixLab implements Disposable {
  readonly directory: string = mkdtempSync("/var/tmp/atomfs-fix-");
  readonly store: Store = Store.open(join(this.directory, "store"), { create: true });
  #count = 0;

  readonly readObject: ReadObject = (digest) => this.store.readObject(digest);

  /** A new, empty directory. */
  newDirectory(name: string): string {
    this.#count += 1;
    const path = join(this.directory, `${name}-${this.#count}`);
    mkdirSync(path, { mode: 0o755 });
    return path;
  }

  async importLayout(layout: string, tag: string, name: string): Promise<Imported> {
    return importImage(this.store, await openOciLayout(layout, tag), {
      names: [`localhost/${name}:latest`],
      source: `oci:${layout}`,
      command: "test",
      now: NOW,
    });
  }

  /** Imports an image of these uncompressed layers. */
  async importLayers(
    name: string,
    layers: readonly string[],
    labels?: Record<string, string>,
  ): Promise<Imported> {
    const layout = this.newDirectory("layout");
    writeOciLayout(layout, layers, labels);
    const imported = await this.importLayout(layout, "test", name);
    rmSync(layout, { recursive: true });
    return imported;
  }

  /** Imports an image whose only layer is this directory. */
  async importDirectory(name: string, directory: string): Promise<Imported> {
    const layer = join(this.newDirectory("layer"), "layer.tar");
    await tarDirectory(directory, layer);
    const imported = await this.importLayers(name, [layer]);
    rmSync(layer);
    return imported;
  }

  /** The rule that replaces packages of this image's release by these package files. */
  async makeRule(image: ImageRecord, debs: readonly string[]): Promise<FixRule> {
    using evaluator = new Evaluator(this.store);
    const replacements: FixRule["replacements"][number][] = [];
    for (const deb of debs) {
      const atom = await evaluator.addDeb((sink) => readDebAtom(deb, sink));
      const { origin } = this.store.readAtom(atom);
      if (origin.kind !== "deb") throw new Error("A package file made another atom");
      const { name, architecture, version } = origin.package;
      replacements.push({ package: name, architecture, version, atom });
    }
    const { id, codename } = image.distribution;
    return makeRule({
      title: "test",
      distribution: { id, codename },
      architecture: image.architecture,
      scope: { images: [], exclude: [] },
      replacements,
      provenance: "test",
    });
  }

  /** What an image becomes under these rules; its molecule and objects are in the store then. */
  evaluate(image: ImageRecord, rules: readonly FixRule[]): Evaluation {
    using evaluator = new Evaluator(this.store);
    const evaluation = evaluator.evaluate(image, namesOf(this.store.state, image.config), rules);
    evaluator.publish();
    return evaluation;
  }

  molecule(digest: VerityDigest): Tree {
    return readErofs(readFileSync(this.store.layout.molecule(digest)));
  }

  current(config: Sha256): Tree {
    return this.molecule(this.store.currentMolecule(config));
  }

  [Symbol.dispose](): void {
    this.store[Symbol.dispose]();
    rmSync(runDirectoryOf(this.store.layout.root), { recursive: true, force: true });
    rmSync(this.directory, { recursive: true, force: true });
  }
}
