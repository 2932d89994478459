import { existsSync } from "node:fs";
import { readDpkgDatabase, readTreeFile } from "../atoms/dpkg-database.ts";
import { split } from "../atoms/split.ts";
import { fromBytes, type TreePath, treePath } from "../core/bytestring.ts";
import type { Sha256 } from "../core/digest.ts";
import { resolvePath } from "../core/resolve.ts";
import { type ContentSink, contentSize, type ReadObject, type Tree } from "../core/tree.ts";
import type { DebIdentity } from "../formats/atom/atom.ts";
import { readErofs } from "../formats/erofs/reader.ts";
import { COMPOSER_VERSION } from "../molecules/compose.ts";
import { flattenLayers, type Layer } from "../sources/flatten.ts";
import type { SourceImage } from "../sources/oci-layout.ts";
import { cameFromEngine } from "../store/engine-images.ts";
import { readMolecule } from "../store/molecule-file.ts";
import { isObjectOf, type ObjectStaging } from "../store/objects.ts";
import type { ImageRecord, Operation } from "../store/records.ts";
import { currentGeneration, namesOf, type State } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { ElfIndex } from "./elf-index.ts";
import { type Evaluation, Evaluator, type Settled } from "./evaluate.ts";
import { type PackageFinding, packageFindings } from "./package-findings.ts";

export type ImportOptions = {
  readonly names: readonly string[];
  /** For people: "oci:/srv/images:web". */
  readonly source: string;
  readonly command: string;
  readonly now: Date;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string) => void;
};

export type Imported = {
  readonly image: ImageRecord;
  readonly isNew: boolean;
  readonly entries: number;
  /** Bytes of all regular files of the tree, each path counted. */
  readonly totalBytes: number;
  /** Bytes of objects that the store did not have. */
  readonly newBytes: number;
  /** Of these, bytes that take no space: the objects share them with the engine that has the image. */
  readonly adoptedBytes: number;
  readonly sharedBytes: number;
  readonly packageAtoms: number;
  readonly layerAtoms: number;
  readonly newAtoms: number;
  readonly settled: Settled;
  /** Packages that are not what the image's package database says. */
  readonly findings: readonly PackageFinding[];
};

/**
 * Takes an image into the store: layers to entries and objects, split into atoms, the fixes of the store applied as far
 * as they fit, one transaction. An image that the store has only gets its names.
 */
export async function importImage(
  store: Store,
  source: SourceImage,
  options: ImportOptions,
): Promise<Imported> {
  using staging = store.beginObjects();
  return await importLayers(store, source, { staging, sink: staging }, options);
}

/** An image whose layers can be read in any way. */
export type LayeredImage = Omit<SourceImage, "layers"> & { readonly layers: readonly Layer[] };

/** The same with objects that came their own way: `sink` brings what it takes into `staging`. */
export async function importLayers(
  store: Store,
  source: LayeredImage,
  { staging, sink }: { readonly staging: ObjectStaging; readonly sink: ContentSink },
  options: ImportOptions,
): Promise<Imported> {
  const known = importKnown(store, source, options);
  if (known !== undefined) return known;
  const { tree, layerOf } = await flattenLayers(source.layers, sink, {
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    onProgress: ({ layer, layers, entries }) =>
      options.onProgress?.(`reading layer ${layer + 1} of ${layers}: ${entries} entries`),
  });
  const readObject: ReadObject = (digest) => staging.read(digest);
  options.onProgress?.("splitting into atoms");
  const database = readDpkgDatabase(tree, readObject);
  const diffIds = source.layers.map((layer) => layer.diffId);
  const atoms = split({ tree, layerOf, diffIds, database, readObject });
  const elves = new ElfIndex(store.catalog, readObject);
  elves.learn(tree);
  staging.publish();

  const knownAtoms = new Set<Sha256>([...store.state.images.values()].flatMap((image) => image.atoms));
  const ids = atoms.map((atom) => store.putAtom(atom));
  const found: ImageRecord = {
    config: source.configDigest,
    manifest: source.manifestDigest,
    atoms: ids,
    distribution: readDistribution(tree, readObject),
    architecture: debArchitecture(source.config.architecture),
    source: options.source,
    labels: Object.fromEntries(source.config.labels),
    env: source.config.env,
  };
  const packages = atoms.flatMap((atom, index) =>
    atom.origin.kind === "installed" ? [{ ...atom.origin.package, atom: ids[index] as Sha256 }] : [],
  );
  const { image, settled, isNew } = record(store, found, source, packages, options);
  return {
    image,
    isNew,
    entries: tree.size,
    totalBytes: totalBytes(tree),
    newBytes: staging.newBytes,
    adoptedBytes: staging.adoptedBytes,
    sharedBytes: staging.sharedBytes,
    packageAtoms: packages.length,
    layerAtoms: atoms.length - packages.length,
    newAtoms: ids.filter((id) => !knownAtoms.has(id)).length,
    settled,
    findings: packageFindings(store, image, { known: { tree, database } }),
  };
}

/** An image that the store has whole only gets its names; undefined if it must be read, also to mend what was lost. */
function importKnown(store: Store, source: LayeredImage, options: ImportOptions): Imported | undefined {
  const found = store.state.images.get(source.configDigest);
  const generation = currentGeneration(store.state, source.configDigest);
  if (found === undefined || generation === undefined || !store.hasMolecule(generation.molecule))
    return undefined;
  if (!found.atoms.every((id) => existsSync(store.layout.atom(id)))) return undefined;
  const tree = readErofs(readMolecule(store.layout, generation.molecule));
  for (const inode of tree.values()) {
    if (inode.type !== "file" || inode.content.kind !== "object") continue;
    const { digest, size } = inode.content;
    if (!isObjectOf(store.layout.object(digest), size)) return undefined;
  }
  using _lock = store.lock();
  // Another command may have removed it since the journal was read: its packages are not known any more then.
  if (!store.state.images.has(found.config)) return undefined;
  const { image, settled } = record(store, found, source, [], options);
  const packageAtoms = store.catalog.packagesOfImage(image.config).length;
  return {
    ...{ image, isNew: false, settled, findings: packageFindings(store, image) },
    ...{ entries: tree.size, totalBytes: totalBytes(tree) },
    ...{ newBytes: 0, adoptedBytes: 0, sharedBytes: totalBytes(tree) },
    ...{ packageAtoms, layerAtoms: image.atoms.length - packageAtoms, newAtoms: 0 },
  };
}

/** An image that the store has keeps its record and documents: the same config can come with another manifest. */
function record(
  store: Store,
  found: ImageRecord,
  documents: Pick<LayeredImage, "configBytes" | "manifestBytes">,
  packages: readonly (DebIdentity & { readonly atom: Sha256 })[],
  options: ImportOptions,
): { image: ImageRecord; settled: Settled; isNew: boolean } {
  using _lock = store.lock();
  const known = store.state.images.get(found.config);
  const { source } = options;
  const isTakenOver = known !== undefined && cameFromEngine(known) && !cameFromEngine({ source });
  const image = isTakenOver ? { ...known, source } : (known ?? found);
  const operations: Operation[] = isTakenOver ? addAgain(store.state, image) : [];
  if (known === undefined) {
    store.putImageDocuments(image.config, documents.configBytes, documents.manifestBytes);
    store.catalog.setImage(image.config, packages);
    operations.push({ op: "image-added", image });
  }
  for (const name of options.names) {
    if (store.state.names.get(name) !== image.config)
      operations.push({ op: "name-set", name, config: image.config });
  }
  const names = [...new Set([...namesOf(store.state, image.config), ...options.names])];
  using evaluator = new Evaluator(store);
  const settled = evaluator.settle(image, names, [...store.state.fixes.values()]);
  evaluator.publish();
  const reason = known === undefined ? "import" : "import of a known image";
  operations.push(...generationOf(store, settled.evaluation, reason));
  store.transact(options.command, options.now, operations);
  return { image, settled, isNew: known === undefined };
}

/**
 * Who imports an image that is in the store for an engine's sake makes it his own: no engine's removing it takes it away any more. The journal
 * says so by removing it and adding it, whole, with the other source.
 */
function addAgain(state: State, image: ImageRecord): Operation[] {
  const { config } = image;
  const generations = state.generations.get(config) ?? [];
  return [
    { op: "image-removed", config },
    { op: "image-added", image },
    ...namesOf(state, config).map((name): Operation => ({ op: "name-set", name, config })),
    ...generations.map(({ time: _, ...generation }): Operation => ({ op: "generation", generation })),
  ];
}

/** The next generation of an image, or nothing if its current one is the same already. */
export function generationOf(store: Store, evaluation: Evaluation, reason: string): Operation[] {
  const { image, molecule, fixes } = evaluation;
  const current = currentGeneration(store.state, image.config);
  if (current?.molecule === molecule && current.fixes.join() === fixes.join()) return [];
  const number = (current?.number ?? 0) + 1;
  return [
    {
      op: "generation",
      generation: { config: image.config, number, molecule, fixes, composer: COMPOSER_VERSION, reason },
    },
  ];
}

function totalBytes(tree: Tree): number {
  let total = 0;
  for (const inode of tree.values()) if (inode.type === "file") total += contentSize(inode.content);
  return total;
}

/** /etc/os-release (os-release(5)): which distribution's packages fit. Empty strings for an image that doesn't say. */
function readDistribution(tree: Tree, readObject: ReadObject): ImageRecord["distribution"] {
  const fields = new Map<string, string>();
  for (const name of ["/usr/lib/os-release", "/etc/os-release"]) {
    const path: TreePath | undefined = resolvePath(tree, treePath(name), true);
    const bytes = path === undefined ? undefined : readTreeFile(tree, path, readObject);
    for (const line of bytes === undefined ? [] : fromBytes(bytes).split("\n")) {
      const match = /^([A-Z_]+)=["']?(.*?)["']?$/.exec(line);
      if (match?.[1] !== undefined && match[2] !== undefined) fields.set(match[1], match[2]);
    }
  }
  const field = (name: string): string => fields.get(name) ?? "";
  return { id: field("ID"), codename: field("VERSION_CODENAME"), version: field("VERSION_ID") };
}

/** Debian's name of an OCI (Go) architecture. */
function debArchitecture(oci: string): string {
  const names: Readonly<Record<string, string>> = { "386": "i386", arm: "armhf", ppc64le: "ppc64el" };
  return names[oci] ?? oci;
}
