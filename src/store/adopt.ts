import { fstatSync, linkSync, lstatSync, openSync, readlinkSync, rmSync } from "node:fs";
import { type ByteString, fromBytes, toBytes } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { type ContentSink, type FileContent, INLINE_MAX } from "../core/tree.ts";
import { VerityHasher } from "../core/verity.ts";
import { Fd } from "../sys/fd.ts";
import { copyOrReflink, reflink } from "../sys/files.ts";
import { type DirectoryPair, openDirectoryPair } from "../sys/same-mount.ts";
import type { ObjectStaging } from "./objects.ts";

const OBJECT_MODE = 0o400;

/** How an object came to its data; only "copy" takes space. */
export type AdoptedBy = "reflink" | "link" | "copy";

/** A regular file below a `SharedDirectory`, open for reading. */
export type SharedFile = { readonly directory: SharedDirectory; readonly fd: Fd; readonly size: number };

/**
 * A directory of immutable files of somebody else, whose data objects may share: by reflink where the filesystem can, else
 * by hard link, else by a copy. A hard link's mode, owner, xattrs and times stay what they are, because they
 * are its owner's (docs/formats/store.md); it is never written, and `gc` removes only our name.
 */
export class SharedDirectory implements Disposable {
  readonly #pair: DirectoryPair;
  /** Its own path as the kernel tells it, to find files below it. */
  readonly #prefix: ByteString;
  #canReflink = true;
  #canLink = true;

  constructor(directory: string, staging: ObjectStaging) {
    this.#pair = openDirectoryPair(directory, staging.directory);
    this.#prefix = fromBytes(readlinkSync(this.#pair.source.procPath, { encoding: "buffer" }));
  }

  get root(): Fd {
    return this.#pair.source;
  }

  /** Makes a file of the staging directory out of one of this directory. */
  place(file: SharedFile, name: string): AdoptedBy {
    const target = `${this.#pair.target.procPath}/${name}`;
    if (this.#canReflink && this.#reflink(file, target)) return "reflink";
    if (this.#canLink && this.#link(file, target)) return "link";
    using copy = new Fd(openSync(target, "wx", OBJECT_MODE));
    return copyOrReflink(file.fd.number, copy.number, file.size, target);
  }

  #reflink(file: SharedFile, target: string): boolean {
    using copy = new Fd(openSync(target, "wx", OBJECT_MODE));
    if (reflink(file.fd.number, copy.number)) return true;
    // The filesystem cannot: 7,000 files need not ask again.
    this.#canReflink = false;
    rmSync(target);
    return false;
  }

  #link(file: SharedFile, target: string): boolean {
    const path = fromBytes(readlinkSync(file.fd.procPath, { encoding: "buffer" }));
    if (!path.startsWith(`${this.#prefix}/`)) return false;
    const below = toBytes(path.slice(this.#prefix.length) as ByteString);
    try {
      linkSync(Buffer.concat([Buffer.from(this.root.procPath), below]), target);
    } catch (error) {
      if (!(error instanceof Error && "code" in error)) throw error;
      // EMLINK and EPERM (an immutable file) are of this file alone.
      if (error.code === "EXDEV") this.#canLink = false;
      return false;
    }
    const [linked, read] = [lstatSync(target, { bigint: true }), fstatSync(file.fd.number, { bigint: true })];
    if (linked.ino === read.ino && linked.dev === read.dev) return true;
    rmSync(target);
    return false;
  }

  [Symbol.dispose](): void {
    this.#pair[Symbol.dispose]();
  }
}

/** Remembers which chunk of memory holds which part of which file. */
export class ChunkOrigins {
  readonly #origins: WeakMap<ArrayBufferLike, { readonly file: SharedFile; readonly at: number }> =
    new WeakMap();

  /** @param chunk read from `file` at `at`; it has its memory for itself */
  remember(chunk: Uint8Array, file: SharedFile, at: number): void {
    this.#origins.set(chunk.buffer, { file, at: at - chunk.byteOffset });
  }

  find(chunk: Uint8Array): { readonly file: SharedFile; readonly at: number } | undefined {
    const origin = this.#origins.get(chunk.buffer);
    return origin === undefined ? undefined : { file: origin.file, at: origin.at + chunk.byteOffset };
  }
}

/**
 * Takes contents that are whole files of a `SharedDirectory` without writing their bytes again; all others as the
 * staging takes them.
 */
export class AdoptingSink implements ContentSink {
  readonly #staging: ObjectStaging;
  readonly #origins: ChunkOrigins;

  constructor(staging: ObjectStaging, origins: ChunkOrigins) {
    this.#staging = staging;
    this.#origins = origins;
  }

  async put(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, size: number): Promise<FileContent> {
    if (size <= INLINE_MAX) return this.#staging.put(chunks, size);
    const hasher = new VerityHasher();
    let file: SharedFile | undefined;
    for await (const chunk of chunks) {
      const origin = this.#origins.find(chunk);
      if (hasher.size === 0) file = origin?.file;
      if (origin === undefined || origin.file !== file || origin.at !== hasher.size)
        throw new AtomfsError("bad-data", "its content is not the whole of one file");
      hasher.update(chunk);
    }
    if (file === undefined || file.size !== size || hasher.size !== size)
      throw new AtomfsError("bad-data", `its file has ${file?.size ?? 0} bytes, want ${size}`);
    const { directory } = file;
    const adopted = file;
    return this.#staging.adopt(hasher.digest(), size, (name) => directory.place(adopted, name) !== "copy");
  }
}
