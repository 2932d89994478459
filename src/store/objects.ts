import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { fromBytes } from "../core/bytestring.ts";
import type { VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { type ContentSink, type FileContent, INLINE_MAX } from "../core/tree.ts";
import { VerityHasher, verityDigest } from "../core/verity.ts";
import { syncFilesystem } from "../sys/files.ts";
import { lockFile } from "../sys/lock.ts";
import { enableVerity } from "../sys/verity.ts";
import type { StoreLayout } from "./layout.ts";

/** What a container sees of mode and owner comes from the molecule alone. */
const OBJECT_MODE = 0o400;

/**
 * Takes file contents into a folder of its own under tmp/. Nothing is visible in objects/ until `publish`, which
 * syncs the filesystem as a whole: an fsync each would take a minute for a large image.
 * Left without `publish`, everything taken is removed. Until disposed it keeps `gc` away: what it relies on may not be
 * named by anything yet.
 */
export class ObjectStaging implements ContentSink, Disposable {
  readonly #layout: StoreLayout;
  readonly #directory: string;
  readonly #gcLock: Disposable;
  readonly #staged = new Map<VerityDigest, string>();
  #count = 0;
  /** Objects that others put there: perhaps a command that was killed before it could make them durable. */
  #reliesOnOthers = false;
  /** Bytes of the objects that the store did not have yet. */
  newBytes = 0;
  /** Bytes of the objects that the store had already, or that came twice. */
  sharedBytes = 0;
  /** Of `newBytes`, those that took no space: their files share the data of files outside of the store. */
  adoptedBytes = 0;

  constructor(layout: StoreLayout) {
    this.#layout = layout;
    using stack = new DisposableStack();
    this.#gcLock = stack.use(lockFile(layout.gcLock, "shared", { wait: true }));
    this.#directory = join(layout.tmp, `objects-${process.pid}-${crypto.randomUUID()}`);
    mkdirSync(this.#directory, { mode: 0o700 });
    stack.move();
  }

  async put(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, size: number): Promise<FileContent> {
    const first: Uint8Array[] = [];
    let whole: Uint8Array | undefined;
    let held = 0;
    let writer: StreamedObject | undefined;
    try {
      for await (const chunk of chunks) {
        if (chunk.length === 0) continue;
        held += chunk.length;
        if (held > size) break;
        if (writer !== undefined) writer.write(chunk);
        // A copy, because the source may use its buffer again.
        else if (chunk.length === size) whole = Buffer.from(chunk);
        else if (held <= INLINE_MAX) first.push(Uint8Array.from(chunk));
        else {
          writer = new StreamedObject(this.#newPath());
          for (const part of first) writer.write(part);
          writer.write(chunk);
        }
      }
      if (held !== size) {
        throw new AtomfsError(
          "bad-data",
          `A file has ${held > size ? "more" : "fewer"} bytes than its header's ${size}`,
        );
      }
      if (writer === undefined) return this.putBytes(whole ?? Buffer.concat(first));
      return this.#keep(writer.finish(), writer.path, size);
    } finally {
      writer?.[Symbol.dispose]();
    }
  }

  /** The same for bytes that are in memory: an object that the store has is not written again. */
  putBytes(bytes: Uint8Array): FileContent {
    if (bytes.length <= INLINE_MAX) return { kind: "inline", bytes: fromBytes(bytes) };
    const digest = verityDigest(bytes);
    if (this.#has(digest, bytes.length)) {
      this.sharedBytes += bytes.length;
      return { kind: "object", digest, size: bytes.length };
    }
    const path = this.#newPath();
    writeFileSync(path, bytes, { mode: OBJECT_MODE, flag: "wx" });
    return this.#keep(digest, path, bytes.length);
  }

  /** Where objects are until they are published: empty, on the filesystem of the store. */
  get directory(): string {
    return this.#directory;
  }

  /**
   * Takes a file of more than 64 bytes by a name for its data instead of its bytes.
   * @param place makes the file of this name in `directory`, and says whether it needed no space
   */
  adopt(digest: VerityDigest, size: number, place: (name: string) => boolean): FileContent {
    if (this.#has(digest, size)) {
      this.sharedBytes += size;
      return { kind: "object", digest, size };
    }
    const path = this.#newPath();
    if (place(basename(path))) this.adoptedBytes += size;
    return this.#keep(digest, path, size);
  }

  #newPath(): string {
    this.#count += 1;
    return join(this.#directory, String(this.#count));
  }

  /** An object that lost bytes, as on a damaged filesystem, counts as missing: `publish` puts a whole one in its place. */
  #has(digest: VerityDigest, size: number): boolean {
    if (this.#staged.has(digest)) return true;
    if (!isObjectOf(this.#layout.object(digest), size)) return false;
    this.#reliesOnOthers = true;
    return true;
  }

  #keep(digest: VerityDigest, path: string, size: number): FileContent {
    if (this.#has(digest, size)) {
      this.sharedBytes += size;
      rmSync(path);
    } else {
      this.newBytes += size;
      this.#staged.set(digest, path);
    }
    return { kind: "object", digest, size };
  }

  /** Reads what was taken or what the store has. */
  read(digest: VerityDigest): Uint8Array {
    return readFileSync(this.#staged.get(digest) ?? this.#layout.object(digest));
  }

  /**
   * After it returns the objects survive a power loss; only then may anything name them. Bytes become durable before
   * their names appear: an object that is in objects/ is whole, also after a power loss in the middle of this.
   */
  publish(): void {
    if (this.#staged.size === 0 && !this.#reliesOnOthers) return;
    if (this.#staged.size > 0) {
      enableVerityOnOwn(this.#staged.values());
      syncFilesystem(this.#layout.root);
    }
    const folders = new Set<string>();
    for (const [digest, path] of this.#staged) {
      const target = this.#layout.object(digest);
      const folder = dirname(target);
      if (!folders.has(folder)) mkdirSync(folder, { recursive: true, mode: 0o755 });
      folders.add(folder);
      renameSync(path, target);
    }
    syncFilesystem(this.#layout.root);
    this.#staged.clear();
    this.#reliesOnOthers = false;
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
    this.#gcLock[Symbol.dispose]();
  }
}

/** Is there a file of this size? Its bytes are not read. */
export function isObjectOf(path: string, size: number): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size === size;
}

/** Where the filesystem has fs-verity, the kernel checks objects whenever they are read. A hard link's inode is not ours. */
function enableVerityOnOwn(paths: Iterable<string>): void {
  for (const path of paths) {
    if (lstatSync(path).nlink === 1 && enableVerity(path) === "unsupported") return;
  }
}

class StreamedObject implements Disposable {
  readonly path: string;
  readonly #fd: number;
  readonly #hasher: VerityHasher = new VerityHasher();
  #open = true;

  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, "wx", OBJECT_MODE);
  }

  write(chunk: Uint8Array): void {
    this.#hasher.update(chunk);
    for (let at = 0; at < chunk.length; ) at += writeSync(this.#fd, chunk, at);
  }

  finish(): VerityDigest {
    this[Symbol.dispose]();
    return this.#hasher.digest();
  }

  [Symbol.dispose](): void {
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }
}
