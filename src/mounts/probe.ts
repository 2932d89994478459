import { chmodSync, constants, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ROOT, type TreePath, treePath } from "../core/bytestring.ts";
import { DEFAULT_ROOT, EMPTY_XATTRS, INLINE_MAX, type Inode, type Tree } from "../core/tree.ts";
import { verityDigest } from "../core/verity.ts";
import { objectPath } from "../formats/erofs/node.ts";
import { writeErofs } from "../formats/erofs/writer.ts";
import { hasCode } from "../sys/ffi.ts";
import { openInRoot } from "../sys/openat2.ts";
import { enableVerity } from "../sys/verity.ts";
import { buildMount } from "./apply.ts";
import { type MountCapabilities, type MountSpec, planMount } from "./spec.ts";

const NAME = treePath("/file");
const BYTES: Uint8Array = Buffer.alloc(INLINE_MAX + 1, "a");
const DIGEST = verityDigest(BYTES);

const NOTHING: MountCapabilities = {
  erofs: "none",
  layers: "path",
  dataOnly: "none",
  singleColon: false,
  secondLevel: false,
  verity: "none",
};

/** These say nothing of what the kernel can: without rights, space or descriptors nothing can be tried. */
const NO_ANSWER = ["EPERM", "EACCES", "ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "ENOMEM", "EIO"] as const;

/**
 * Finds out by mounting a tiny molecule in each way what this kernel and the filesystem of `directory` can do.
 * Nothing of it stays. Takes some milliseconds: keep the answer (`cachedProbe`).
 * @param directory on the filesystem that holds the objects; what is made there is removed
 * @throws AtomfsError "unsupported" without root's rights
 */
export function probeMounts(directory: string, runDirectory: string): MountCapabilities {
  using bench = new Bench(directory, runDirectory);
  const byFile = bench.hasErofs("file") ? probeWith(bench, "file") : undefined;
  if (byFile?.secondLevel) return byFile;
  // Some kernels count an image mounted from a file as a level of stacking, a loop device never.
  const byLoop = bench.hasErofs("loop") ? probeWith(bench, "loop") : undefined;
  return byLoop?.secondLevel ? byLoop : (byFile ?? byLoop ?? NOTHING);
}

function probeWith(bench: Bench, erofs: "file" | "loop"): MountCapabilities {
  const base: MountCapabilities = { ...NOTHING, erofs };
  const layers = (["plain", "metacopy"] as const).some((dataOnly) =>
    bench.reads({ ...base, layers: "fd", dataOnly }, "below"),
  )
    ? "fd"
    : "path";
  const kernel: MountCapabilities = { ...base, layers };
  const plain = bench.reads({ ...kernel, dataOnly: "plain" }, "upper");
  const metacopy = bench.reads({ ...kernel, dataOnly: "metacopy" }, "below");
  const singleColon = bench.reads({ ...kernel, singleColon: true }, "below");
  const stacked: MountCapabilities = { ...kernel, secondLevel: true };
  const found: MountCapabilities = {
    ...kernel,
    dataOnly: plain ? "plain" : metacopy ? "metacopy" : "none",
    singleColon,
    secondLevel:
      (metacopy && bench.reads({ ...stacked, dataOnly: "metacopy" }, "upper")) ||
      (!metacopy && singleColon && bench.reads({ ...stacked, singleColon }, "upper")),
  };
  return { ...found, verity: probeVerity(bench, found) };
}

function probeVerity(bench: Bench, found: MountCapabilities): MountCapabilities["verity"] {
  if (found.dataOnly === "none" || !bench.enableVerity()) return "none";
  const verityAlone: MountCapabilities = { ...found, dataOnly: "plain", verity: "plain" };
  if (found.dataOnly === "plain" && bench.reads(verityAlone, "upper")) return "plain";
  return bench.reads({ ...found, dataOnly: "metacopy", verity: "metacopy" }, "below") ? "metacopy" : "none";
}

/** A store of one molecule with one object, as `planMount` and `buildMount` want it. */
class Bench implements Disposable {
  readonly #directory: string;
  readonly #runDirectory: string;
  #uppers = 0;

  constructor(parent: string, runDirectory: string) {
    this.#runDirectory = runDirectory;
    this.#directory = mkdtempSync(join(parent, "probe-"));
    const object = this.#objectPath;
    mkdirSync(dirname(object), { recursive: true });
    writeFileSync(object, BYTES);
    chmodSync(object, 0o400);
    writeFileSync(this.#image, writeErofs(tinyTree()));
  }

  get #objectPath(): string {
    return join(this.#directory, "objects", objectPath(DIGEST));
  }

  get #image(): string {
    return join(this.#directory, "image.erofs");
  }

  hasErofs(backing: "file" | "loop"): boolean {
    const steps = [{ kind: "erofs", source: this.#image, backing }] as const;
    return this.#works({ row: "one-overlay", molecule: DIGEST, layers: "fd", steps }, false);
  }

  enableVerity(): boolean {
    return enableVerity(this.#objectPath) === "on";
  }

  /** Does the object's content come out of the mount that is planned with these capabilities? */
  reads(capabilities: MountCapabilities, layer: "below" | "upper"): boolean {
    const upper = layer === "upper" ? { upper: this.#newUpper() } : {};
    const spec = planMount(
      {
        molecule: DIGEST,
        erofsPath: this.#image,
        objectsDir: join(this.#directory, "objects"),
        treesDir: this.#directory,
        target: this.#directory,
        ...upper,
      },
      capabilities,
    );
    return spec.row !== "tree" && this.#works(spec, true);
  }

  #newUpper(): { upperdir: string; workdir: string } {
    const name = join(this.#directory, `upper-${this.#uppers++}`);
    const upper = { upperdir: join(name, "upper"), workdir: join(name, "work") };
    mkdirSync(upper.upperdir, { recursive: true });
    mkdirSync(upper.workdir);
    return upper;
  }

  #works(spec: MountSpec, read: boolean): boolean {
    try {
      using mount = buildMount(spec, { runDirectory: this.#runDirectory });
      if (!read) return true;
      using file = openInRoot(mount, NAME, constants.O_RDONLY);
      return readFileSync(file.number).equals(BYTES);
    } catch (error) {
      // EIO is the answer of an overlay that found no verity, for all else it is a broken disk.
      const isVerity = spec.steps.some((step) => step.kind === "overlay" && step.verity);
      if (hasCode(error, ...NO_ANSWER) && !(isVerity && hasCode(error, "EIO"))) throw error;
      if (!(error instanceof Error && "code" in error)) throw error;
      return false;
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function tinyTree(): Tree {
  const { mtime } = DEFAULT_ROOT;
  const content = { kind: "object", digest: DIGEST, size: BYTES.length } as const;
  return new Map<TreePath, Inode>([
    [ROOT, DEFAULT_ROOT],
    [NAME, { type: "file", mode: 0o644, uid: 0, gid: 0, mtime, xattrs: EMPTY_XATTRS, content }],
  ]);
}
