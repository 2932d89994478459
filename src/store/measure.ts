import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { VerityHasher } from "../core/verity.ts";

const CHUNK = 1 << 20;

/** Measures a file piece by piece; files may be larger than memory. Call `next` until it answers. */
export class FileMeasure implements Disposable {
  readonly #fd: number;
  readonly #hasher: VerityHasher = new VerityHasher();
  readonly #buffer: Buffer = Buffer.allocUnsafe(CHUNK);

  /** @throws AtomfsError "bad-data" if it is no regular file; Node's error if it cannot be opened */
  constructor(path: string) {
    using stack = new DisposableStack();
    this.#fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    stack.adopt(this.#fd, closeSync);
    if (!fstatSync(this.#fd).isFile()) throw new AtomfsError("bad-data", "it is not a regular file");
    stack.move();
  }

  /** Reads one MiB more. @returns the fs-verity digest at the end of the file, undefined before */
  next(): VerityDigest | undefined {
    const got = readSync(this.#fd, this.#buffer, 0, CHUNK, null);
    if (got === 0) return this.#hasher.digest();
    this.#hasher.update(this.#buffer.subarray(0, got));
    return undefined;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
