import { constants, fstatSync, readSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { TreePath } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import type { ChunkOrigins, SharedDirectory, SharedFile } from "../store/adopt.ts";
import { openInRoot } from "../sys/openat2.ts";

const CHUNK = 1024 * 1024;
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** Signals are only seen between turns of the event loop. */
const TURN_MS = 50;

/** Reads files of one directory, and remembers where each chunk came from, so that a sink can take the file instead. */
export class SharedFiles implements Disposable {
  readonly #directory: SharedDirectory;
  readonly #origins: ChunkOrigins;
  #open: SharedFile | undefined;
  #lastTurn: number = performance.now();

  constructor(directory: SharedDirectory, origins: ChunkOrigins) {
    this.#directory = directory;
    this.#origins = origins;
  }

  /**
   * The content of a regular file; symlinks on the way stay inside the directory, the last name is not followed.
   * The file stays open until the next one is read: a sink takes it after its last chunk.
   * @throws AtomfsError "bad-data" if it is missing, is no regular file or has another size
   */
  async *read(path: TreePath, size: number): AsyncGenerator<Uint8Array, void, void> {
    this.#close();
    const fd = openInRoot(this.#directory.root, path, OPEN_FLAGS);
    this.#open = { directory: this.#directory, fd, size };
    const stat = fstatSync(fd.number);
    if (!stat.isFile() || stat.size !== size) {
      const found = stat.isFile() ? `it has ${stat.size} bytes` : "it is no regular file";
      throw new AtomfsError("bad-data", `Cannot read the engine's copy: ${found}, want ${size} bytes`);
    }
    for (let at = 0; at < size; ) {
      if (performance.now() - this.#lastTurn >= TURN_MS) {
        await nextTurn();
        this.#lastTurn = performance.now();
      }
      // A new buffer each time: consumers may keep views, and its memory tells where it came from.
      const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK, size - at));
      for (let filled = 0; filled < chunk.length; ) {
        const got = readSync(fd.number, chunk, filled, chunk.length - filled, at + filled);
        if (got === 0) throw new AtomfsError("bad-data", "Cannot read the engine's copy: it became shorter");
        filled += got;
      }
      this.#origins.remember(chunk, this.#open, at);
      at += chunk.length;
      yield chunk;
    }
  }

  #close(): void {
    this.#open?.fd[Symbol.dispose]();
    this.#open = undefined;
  }

  [Symbol.dispose](): void {
    this.#close();
  }
}
