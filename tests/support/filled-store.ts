import { createHash } from "node:crypto";
import { ROOT, treePath } from "../../src/core/bytestring.ts";
import type { Sha256, VerityDigest } from "../../src/core/digest.ts";
import { DEFAULT_ROOT, EMPTY_XATTRS, type FileContent, type Inode, type Tree } from "../../src/core/tree.ts";
import type { AtomOrigin, DebIdentity } from "../../src/formats/atom/atom.ts";
import { writeErofs } from "../../src/formats/erofs/writer.ts";
import { digestOf, fixRule, generation, imageRecord, type TemporaryStore } from "./temporary-store.ts";

export type FilledImages = {
  readonly web: StoredImage;
  readonly fixedWeb: VerityDigest;
  readonly fixAtom: Sha256;
  readonly fixObject: VerityDigest;
};

export type StoredImage = {
  readonly config: Sha256;
  readonly atom: Sha256;
  readonly molecule: VerityDigest;
  readonly object: VerityDigest;
};

export function putObject(temporary: TemporaryStore, text: string): FileContent & { kind: "object" } {
  using staging = temporary.store.beginObjects();
  const content = staging.putBytes(Buffer.alloc(3000, text));
  staging.publish();
  if (content.kind !== "object") throw new Error("too small for an object");
  return content;
}

function treeOf(content: FileContent): Tree {
  const file: Inode = {
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: { sec: 1, nsec: 0 },
    xattrs: EMPTY_XATTRS,
    content,
  };
  return new Map<ReturnType<typeof treePath>, Inode>([
    [ROOT, DEFAULT_ROOT],
    [treePath("/file"), file],
  ]);
}

function putAtom(temporary: TemporaryStore, origin: AtomOrigin, content: FileContent): Sha256 {
  const entries = [...treeOf(content)].map(([path, inode]) => ({ path, inode }));
  return temporary.store.putAtom({ origin, control: [], entries });
}

export const identity: DebIdentity = {
  name: "demo",
  architecture: "amd64",
  version: "1",
  source: "demo",
  sourceVersion: "1",
};

/** Atom, object, molecule and documents that only the caller may name. */
export function putImage(temporary: TemporaryStore, text: string): StoredImage {
  const { store } = temporary;
  const content = putObject(temporary, text);
  const atom = putAtom(temporary, { kind: "installed", package: identity }, content);
  const molecule = store.putMolecule(writeErofs(treeOf(content)));
  const config = Buffer.from(`config ${text}`);
  const id = createHash("sha256").update(config).digest("hex") as Sha256;
  store.putImageDocuments(id, config, Buffer.from(`manifest ${text}`));
  return { config: id, atom, molecule, object: content.digest };
}

/** An image with a fix: two generations, two atoms, two objects. */
export function fillStore(temporary: TemporaryStore): FilledImages {
  const web = putImage(temporary, "web");
  const manifest = createHash("sha256").update("manifest web").digest("hex") as Sha256;
  const newContent = putObject(temporary, "fixed");
  const fixAtom = putAtom(
    temporary,
    { kind: "deb", package: { ...identity, version: "2" }, deb: digestOf("d") },
    newContent,
  );
  const fixedWeb = temporary.store.putMolecule(writeErofs(treeOf(newContent)));
  temporary.store.catalog.setImage(web.config, [{ ...identity, atom: web.atom }]);
  temporary.transact(
    { op: "image-added", image: { ...imageRecord(web.config, [web.atom]), manifest } },
    { op: "name-set", name: "localhost/web:latest", config: web.config },
    { op: "generation", generation: generation(web.config, 1, web.molecule) },
  );
  temporary.transact(
    { op: "fix-added", fix: fixRule("0123456789ab", [fixAtom]) },
    { op: "generation", generation: generation(web.config, 2, fixedWeb, ["0123456789ab"]) },
  );
  return { web, fixedWeb, fixAtom, fixObject: newContent.digest };
}
