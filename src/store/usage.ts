import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import type { Inode } from "../core/tree.ts";
import { objectsOf } from "../formats/erofs/reader.ts";
import { sharedBytes, supportsReflink } from "../sys/extents.ts";
import { readMolecule } from "./molecule-file.ts";
import { namesOf } from "./state.ts";
import type { Store } from "./store.ts";

/** Sums of files' sizes, in bytes. */
export type Usage = {
  /** All files that this needs, each counted once. */
  readonly bytes: number;
  /** Of these, what others in the store need, too: it stays when this goes. */
  readonly shared: number;
  /** Of these, what only this needs. */
  readonly unique: number;
  /** Of these, what takes no space of its own: hard links and reflinks of an engine's files. */
  readonly engineShared: number;
  /** What would be free without this: `unique` without the engine's part of it. */
  readonly freed: number;
};

export type ImageUsage = Usage & { readonly config: Sha256; readonly names: readonly string[] };
export type FixUsage = Usage & { readonly id: string; readonly title: string };

export type StoreUsage = {
  readonly images: readonly ImageUsage[];
  /** Packages of fixes, apart from the molecules, which are their images'. */
  readonly fixes: readonly FixUsage[];
  /** Everything below each of the store's directories; `.` is for the files beside them. */
  readonly parts: readonly { readonly name: string; readonly bytes: number; readonly engineShared: number }[];
  readonly bytes: number;
  readonly engineShared: number;
};

/** A file of the store, by its path. */
type Part = { readonly size: number; readonly engineShared: number };

/**
 * Whose bytes are whose. Reads every atom and molecule, no object.
 * @throws AtomfsError "bad-data" if one is damaged or missing
 */
export function measureStore(store: Store): StoreUsage {
  const { layout, state } = store;
  const canReflink = supportsReflink(layout.tmp);
  const owners: { readonly files: Set<string> }[] = [];
  const own = (files: Set<string>): { readonly files: Set<string> } => {
    const owner = { files };
    owners.push(owner);
    return owner;
  };
  const images = [...state.images.values()].map((image) => {
    const files = new Set([layout.imageConfig(image.config), layout.imageManifest(image.config)]);
    for (const atom of image.atoms) addAtom(store, atom, files);
    for (const { molecule } of state.generations.get(image.config) ?? []) addMolecule(store, molecule, files);
    return { config: image.config, names: namesOf(state, image.config), owner: own(files) };
  });
  const fixes = [...state.fixes.values()].map((fix) => {
    const files = new Set<string>();
    for (const { atom } of fix.replacements) addAtom(store, atom, files);
    return { id: fix.id, title: fix.title, owner: own(files) };
  });
  const users = new Map<string, number>();
  for (const { files } of owners) for (const file of files) users.set(file, (users.get(file) ?? 0) + 1);
  const parts = new Map<string, Part>();
  for (const file of users.keys()) parts.set(file, partOf(file, isObject(layout.objects, file), canReflink));
  const usage = ({ files }: { readonly files: Set<string> }): Usage => sumUp(files, users, parts);
  const folders = measureFolders(store, parts, canReflink);
  return {
    images: images.map(({ owner, ...image }) => ({ ...image, ...usage(owner) })),
    fixes: fixes.map(({ owner, ...fix }) => ({ ...fix, ...usage(owner) })),
    parts: folders,
    bytes: folders.reduce((sum, folder) => sum + folder.bytes, 0),
    engineShared: folders.reduce((sum, folder) => sum + folder.engineShared, 0),
  };
}

function addAtom(store: Store, id: Sha256, files: Set<string>): void {
  const atom = store.readAtom(id);
  files.add(store.layout.atom(id));
  const note = (inode: Inode): void => {
    if (inode.type === "file" && inode.content.kind === "object")
      files.add(store.layout.object(inode.content.digest));
  };
  for (const { inode } of [...atom.entries, ...atom.control]) note(inode);
}

function addMolecule(store: Store, molecule: VerityDigest, files: Set<string>): void {
  files.add(store.layout.molecule(molecule));
  for (const digest of objectsOf(readMolecule(store.layout, molecule)))
    files.add(store.layout.object(digest));
}

function isObject(objects: string, path: string): boolean {
  return path.startsWith(`${objects}/`);
}

/** Only objects share anything with engines. @throws AtomfsError "bad-data" if it is missing */
function partOf(path: string, isObject: boolean, canReflink: boolean): Part {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined)
    throw new AtomfsError("bad-data", `The store has lost ${path}`, { hints: ["run `atomfs fsck`"] });
  const { size, nlink } = stat;
  if (!isObject || !stat.isFile()) return { size, engineShared: 0 };
  if (nlink > 1) return { size, engineShared: size };
  return { size, engineShared: canReflink ? sharedBytes(path, size) : 0 };
}

function sumUp(
  files: ReadonlySet<string>,
  users: ReadonlyMap<string, number>,
  parts: ReadonlyMap<string, Part>,
): Usage {
  let [bytes, unique, engineShared, freed] = [0, 0, 0, 0];
  for (const file of files) {
    const part = parts.get(file);
    if (part === undefined) continue;
    bytes += part.size;
    engineShared += part.engineShared;
    if (users.get(file) !== 1) continue;
    unique += part.size;
    freed += part.size - part.engineShared;
  }
  return { bytes, shared: bytes - unique, unique, engineShared, freed };
}

/** What is needed was measured already; the rest is garbage, cache and what has no owner. */
function measureFolders(
  store: Store,
  known: ReadonlyMap<string, Part>,
  canReflink: boolean,
): StoreUsage["parts"] {
  const { root, objects } = store.layout;
  const total = (path: string): Part => {
    const entry = lstatSync(path, { throwIfNoEntry: false });
    // Another command may be at work.
    if (entry === undefined) return { size: 0, engineShared: 0 };
    if (!entry.isDirectory()) return known.get(path) ?? partOf(path, isObject(objects, path), canReflink);
    return readdirSync(path)
      .map((name) => total(join(path, name)))
      .reduce(
        (sum, { size, engineShared }) => ({
          size: sum.size + size,
          engineShared: sum.engineShared + engineShared,
        }),
        {
          size: 0,
          engineShared: 0,
        },
      );
  };
  const sums = new Map<string, Part>();
  for (const entry of readdirSync(root, { withFileTypes: true })) {
    const name = entry.isDirectory() ? entry.name : ".";
    const { size, engineShared } = total(join(root, entry.name));
    const before = sums.get(name) ?? { size: 0, engineShared: 0 };
    sums.set(name, { size: before.size + size, engineShared: before.engineShared + engineShared });
  }
  return [...sums]
    .map(([name, { size, engineShared }]) => ({ name, bytes: size, engineShared }))
    .sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1));
}
