import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ByteString } from "../../src/core/bytestring.ts";
import { AtomfsError } from "../../src/core/errors.ts";
import { download } from "../../src/fixing/apt-transport.ts";
import { run } from "../../src/sys/process.ts";
import { archiveOf } from "../support/debian-rootfs.ts";
import { cached } from "../vm/trees.ts";

const SOURCE = "pool/main/b/busybox/busybox_1.35.0.orig.tar.bz2";
const DIGEST = "faeeb244c35a348a334f4a59e44626ee870fb07b6884d68c10ae8bc19f83a694";
const MAX_SOURCE = 16 * 1024 * 1024;
const RECIPE = "1";

/**
 * busybox as upstream configures it, static: Debian's own has no ipcs, and its shell runs applets without executing their
 * files, so that a masked /bin/ls is not seen. Built once a machine, of Debian's copy of the source.
 */
export async function upstreamBusybox(cache: string, log: (what: string) => void): Promise<string> {
  const directory = await cached(join(cache, `busybox-${RECIPE}`), async (work) => {
    log("Building busybox for the test images (once; 1 min of a processor)");
    const source = await download((await archiveOf("bookworm")) as ByteString, SOURCE as ByteString, {
      maxBytes: MAX_SOURCE,
    });
    const digest = new Bun.CryptoHasher("sha256").update(source).digest("hex");
    if (digest !== DIGEST)
      throw new AtomfsError("bad-data", `busybox's source has the digest ${digest}, want ${DIGEST}`);
    const tree = join(work, "source");
    mkdirSync(tree);
    writeFileSync(join(work, "source.tar.bz2"), source);
    await run(["tar", "-xf", "../source.tar.bz2", "--strip-components=1"], { cwd: tree });
    const options = { cwd: tree, env: { ...process.env, KCONFIG_NOTIMESTAMP: "1" } };
    await run(["make", "defconfig"], options);
    const config = readFileSync(join(tree, ".config"), "utf8")
      .replace("# CONFIG_STATIC is not set", "CONFIG_STATIC=y")
      // Does not compile with the headers of a newer kernel.
      .replace("CONFIG_TC=y", "# CONFIG_TC is not set");
    writeFileSync(join(tree, ".config"), config);
    await run(["make", "-j2"], options);
    renameSync(join(tree, "busybox"), join(work, "busybox"));
    rmSync(tree, { recursive: true });
  });
  return join(directory, "busybox");
}

/** @returns a static program of a C file of `programs/` */
export async function staticProgram(name: string, directory: string): Promise<string> {
  const program = join(directory, name);
  const source = join(import.meta.dir, "programs", `${name}.c`);
  await run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-o", program, source]);
  return program;
}
