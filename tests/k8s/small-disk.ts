import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";

const SIZE = "700M";

/** An ext4 of its own, in a file, for a store whose disk is lost, full or read-only. */
export class SmallDisk {
  readonly #file: string;
  readonly #target: string;

  private constructor(file: string, target: string) {
    this.#file = file;
    this.#target = target;
  }

  static async make(file: string, target: string): Promise<SmallDisk> {
    await run(["truncate", "--size", SIZE, file]);
    await run(["mke2fs", "-q", "-t", "ext4", "-m", "0", file]);
    const disk = new SmallDisk(file, target);
    await disk.mount();
    return disk;
  }

  async mount(): Promise<void> {
    await run(["mount", "-o", "loop", this.#file, this.#target]);
  }

  async unmount(): Promise<void> {
    await run(["umount", this.#target]);
  }

  async setReadOnly(isReadOnly: boolean): Promise<void> {
    await run(["mount", "-o", `remount,${isReadOnly ? "ro" : "rw"}`, this.#target]);
  }

  /** Leaves no block. */
  fill(): void {
    const { bavail, bsize } = statfsSync(this.#target);
    const chunk = Buffer.alloc(bsize);
    // What the filesystem needs for the file itself is not known beforehand: the last blocks go one by one.
    writeFileSync(this.#filler(), Buffer.alloc((bavail - 64) * bsize));
    try {
      for (;;) writeFileSync(this.#filler(), chunk, { flag: "a" });
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
    }
  }

  empty(): void {
    rmSync(this.#filler(), { force: true });
  }

  #filler(): string {
    return join(this.#target, "lost+found/filler");
  }
}
