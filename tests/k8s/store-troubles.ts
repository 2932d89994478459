import { Database } from "bun:sqlite";
import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Sha256 } from "../../src/core/digest.ts";
import { objectSizesOf } from "../../src/formats/erofs/reader.ts";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { parseCurrent } from "../../src/store/current.ts";
import { storeLayout } from "../../src/store/layout.ts";
import type { SmallDisk } from "./small-disk.ts";

/** What is broken, and how it is told. */
export type Trouble = {
  readonly name: string;
  /** @returns what mends it */
  readonly make: () => Promise<Mend> | Mend;
  /** Of the error. */
  readonly why: RegExp;
  /** What to do. */
  readonly advice: RegExp;
  /** Of the container. Default: the one that the store knows, with a fix. */
  readonly image?: "known" | "unknown";
  /** Where waiting for it is what goes wrong: how long AtomFS may wait. */
  readonly importSeconds?: number;
};

type Mend = () => Promise<void> | void;

/** One after the other, each mended before the next. */
export function storeTroubles(storeRoot: string, disk: SmallDisk, config: Sha256): readonly Trouble[] {
  const layout = storeLayout(storeRoot);
  const moleculePath = (): string =>
    layout.molecule(parseCurrent(readFileSync(layout.currentOf(config), "utf8")).molecule);
  return [
    {
      name: "a store that is missing (its filesystem is not mounted)",
      make: async () => {
        await disk.unmount();
        return () => disk.mount();
      },
      why: /There is no AtomFS store at/,
      advice: /is the filesystem of .* mounted\?/,
    },
    {
      name: "a read-only store, and an image that must be imported",
      make: async () => {
        await disk.setReadOnly(true);
        return () => disk.setReadOnly(false);
      },
      why: /read-only/i,
      advice: /mount the filesystem of the store/,
      image: "unknown",
    },
    {
      name: "a read-only store after a boot, when what the kernel can do must be found out",
      make: async () => {
        rmSync(join(runDirectoryOf(storeRoot), "probe.json"), { force: true });
        await disk.setReadOnly(true);
        return () => disk.setReadOnly(false);
      },
      why: /read-only/i,
      advice: /mount the filesystem of the store/,
    },
    {
      name: "a full store after a boot",
      make: () => {
        rmSync(join(runDirectoryOf(storeRoot), "probe.json"), { force: true });
        disk.fill();
        return () => disk.empty();
      },
      why: /[Dd]isk is full/,
      advice: /free some space/,
    },
    {
      name: "a full store, and an image that must be imported",
      make: () => {
        disk.fill();
        return () => disk.empty();
      },
      why: /[Dd]isk is full/,
      advice: /free some space/,
      image: "unknown",
    },
    {
      name: "a locked store, and an image that must be imported",
      make: async () => {
        const holder = await holdLock(storeRoot);
        return () => holder[Symbol.asyncDispose]();
      },
      why: /more than 5 s/,
      importSeconds: 5,
      advice: /atomfs import/,
      image: "unknown",
    },
    {
      name: "a locked catalog, and an image that must be imported",
      make: () => {
        const database = new Database(layout.catalog);
        database.run("BEGIN EXCLUSIVE");
        return () => database.close();
      },
      why: /more than 5 s/,
      importSeconds: 5,
      advice: /atomfs import/,
      image: "unknown",
    },
    {
      name: "a molecule with a wrong bit",
      make: () =>
        replaced(moleculePath(), (bytes) => {
          bytes[2000] = (bytes[2000] ?? 0) ^ 1;
          return bytes;
        }),
      why: /not what was written/,
      advice: /atomfs fsck/,
    },
    {
      name: "a molecule that is cut off",
      make: () => replaced(moleculePath(), (bytes) => bytes.subarray(0, bytes.length / 2)),
      why: /not what was written/,
      advice: /atomfs fsck/,
    },
    {
      name: "an object that is cut off",
      make: () => {
        const sizes = objectSizesOf(readFileSync(moleculePath()));
        const [[largest] = []] = [...sizes].sort(([, a], [, b]) => b - a);
        if (largest === undefined) throw new TypeError("A molecule without any object");
        // As after a boot: that they are whole is believed for ten minutes.
        rmSync(join(runDirectoryOf(storeRoot), "whole"), { recursive: true, force: true });
        return replaced(layout.object(largest), (bytes) => bytes.subarray(0, 100));
      },
      why: /object [0-9a-f]{12} has 100 bytes instead of/,
      advice: /atomfs fsck/,
    },
    {
      name: "a file current/IMAGE that is cut off",
      make: () => {
        const path = layout.currentOf(config);
        const bytes = readFileSync(path);
        truncateSync(path, bytes.length - 3);
        return () => writeFileSync(path, bytes);
      },
      why: /current molecule is damaged/,
      advice: /atomfs fsck/,
    },
  ];
}

/** Another program's, as of an import that does not end. */
export async function holdLock(
  storeRoot: string,
): Promise<{ readonly [Symbol.asyncDispose]: () => Promise<void> }> {
  const { lock } = storeLayout(storeRoot);
  const hold = ["sh", "-c", "echo held; exec sleep 1000"];
  const holder = Bun.spawn(["flock", "--no-fork", lock, ...hold], { stdout: "pipe" });
  await holder.stdout.getReader().read();
  return {
    [Symbol.asyncDispose]: async () => {
      holder.kill();
      await holder.exited;
    },
  };
}

/** @returns what puts it back */
function replaced(path: string, change: (bytes: Buffer) => Buffer): () => void {
  const bytes = readFileSync(path);
  const write = (content: Buffer): void => {
    rmSync(path);
    writeFileSync(path, content, { mode: 0o400 });
  };
  write(change(Buffer.from(bytes)));
  return () => write(bytes);
}
