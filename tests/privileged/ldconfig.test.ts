import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { fromText } from "../../src/core/bytestring.ts";
import { decodeLdCache } from "../../src/formats/ldcache/ldcache.ts";
import { buildLdCache, runLdconfig, usesLdCache } from "../../src/molecules/ldconfig.ts";
import { run } from "../../src/sys/process.ts";
import { copyRootfs, unpackPackages } from "../support/debian-rootfs.ts";
import { elfIndex } from "../support/elf-index.ts";
import { loadDirectory } from "../support/load-directory.ts";
import { patience } from "../support/slowness.ts";

let work: string;
let root: string;

beforeAll(async () => {
  work = mkdtempSync(`${tmpdir()}/atomfs-ldconfig-`);
  root = `${work}/root`;
  await copyRootfs(root);
}, patience(600_000));

afterAll(() => rmSync(work, { recursive: true, force: true }), 120_000);

async function compile(output: string, ...options: string[]): Promise<void> {
  mkdirSync(output.slice(0, output.lastIndexOf("/")), { recursive: true });
  await run(["gcc", "-shared", "-fPIC", "-x", "c", "-o", output, ...options, "-"], {
    stdin: Buffer.from("int answer(void) { return 42; }"),
  });
}

/** What the tree's own ldconfig writes, without changing any link. */
async function realCache(): Promise<Buffer> {
  await run(["chroot", root, "/sbin/ldconfig", "-X", "-C", "/tmp/cache"]);
  return readFileSync(`${root}/tmp/cache`);
}

function ourCache(): Uint8Array {
  const { tree, readObject } = loadDirectory(root);
  return buildLdCache(tree, readObject, elfIndex(readObject));
}

async function expectSameCache(): Promise<void> {
  const real = await realCache();
  rmSync(`${root}/tmp/cache`);
  const ours = ourCache();
  // The decoded form first: its difference can be read.
  expect(decodeLdCache(ours)).toEqual(decodeLdCache(real));
  expect(Buffer.compare(ours, real)).toBe(0);
}

describe("ld.so.cache is the one that ldconfig writes", () => {
  test(
    "of a minimal Debian",
    async () => {
      const { tree } = loadDirectory(root);
      expect(usesLdCache(tree)).toBe(true);
      await expectSameCache();
      expect(Buffer.compare(ourCache(), readFileSync(`${root}/etc/ld.so.cache`))).toBe(0);
    },
    patience(120_000),
  );

  test(
    "with packages of unusual layout, 32-bit libraries and a directory in ld.so.conf.d",
    async () => {
      await unpackPackages(root, [
        "libc6-i386",
        "lib32z1",
        "libc6-x32",
        "libfakeroot",
        "libblas3",
        "libopenblas0-pthread",
        "libgl1-mesa-dri",
        "libgomp1",
        "libgfortran5",
        "libxml2",
        "libicu72",
        "libperl5.36",
        "libpython3.11",
      ]);
      await expectSameCache();
    },
    patience(600_000),
  );

  test(
    "with hwcaps directories, also empty, linked and badly named ones",
    async () => {
      const lib = `${root}/usr/lib/x86_64-linux-gnu`;
      const soname = "-Wl,-soname,libanswer.so.3";
      await compile(`${lib}/libanswer.so.3.1`, soname);
      await compile(`${lib}/glibc-hwcaps/x86-64-v3/libanswer.so.3.1`, soname, "-Wl,-z,x86-64-v3");
      await compile(`${lib}/glibc-hwcaps/x86-64-v2/libanswer.so.3.10`, soname, "-Wl,-z,x86-64-v2");
      await compile(`${lib}/glibc-hwcaps/x86-64-v2/libanswer.so.3.9`, soname);
      await compile(`${lib}/glibc-hwcaps/.hidden/libanswer.so.3`, soname);
      await compile(`${lib}/glibc-hwcaps/a:b/libanswer.so.3`, soname);
      mkdirSync(`${lib}/glibc-hwcaps/empty-and-unused-name`);
      await compile(`${root}/srv/elsewhere/libanswer.so.3`, soname);
      symlinkSync("/srv/elsewhere", `${lib}/glibc-hwcaps/link`);
      symlinkSync("libanswer.so.3.9", `${lib}/glibc-hwcaps/x86-64-v2/any-name`);
      await compile(`${lib}/haswell/libanswer.so.3`, soname);
      await compile(`${lib}/haswell/avx512_1/libanswer.so.3`, soname);
      await compile(`${lib}/tls/libanswer.so.3`, soname);
      await expectSameCache();
    },
    patience(120_000),
  );

  test(
    "with every directive of ld.so.conf",
    async () => {
      await compile(`${root}/opt/a/libone.so.1`, "-Wl,-soname,libone.so.1");
      await compile(`${root}/opt/b//libone.so.01`, "-Wl,-soname,libone.so.01");
      await compile(`${root}/opt/c/libtwo.so`);
      await compile(`${root}/opt/d/libthree.so`, "-m32", "-nostdlib").catch(() => undefined);
      mkdirSync(`${root}/etc/more.d`);
      writeFileSync(
        `${root}/etc/ld.so.conf`,
        "/opt/./a//  # comment\n  include /etc/ld.so.conf.d/*.conf more.d/[!a]*.con? \n hwcap 1 nosegneg\n/opt/../opt/b/ \n" +
          "\n/usr/lib32=libc6\n/usr/libx32=nonsense\n/missing\nopt/c\n#/opt/never\ninclude /nowhere/*\n/\n/etc/passwd",
      );
      writeFileSync(`${root}/etc/more.d/aaa.conf`, "/opt/never\n");
      writeFileSync(`${root}/etc/more.d/bbb.conf`, "/opt/d");
      writeFileSync(`${root}/etc/more.d/.hidden.conf`, "/opt/never\n");
      await compile(`${root}/opt/never/libnever.so.1`);
      await expectSameCache();
    },
    patience(120_000),
  );

  test(
    "with links of all kinds, files that are no libraries, and two versions of one soname",
    async () => {
      const lib = `${root}/usr/local/lib`;
      const soname = "-Wl,-soname,libdup.so.2";
      await compile(`${lib}/libdup.so.2.9`, soname);
      await compile(`${lib}/libdup.so.2.10`, soname);
      symlinkSync("libdup.so.2.9", `${lib}/libdup.so.2`);
      symlinkSync("libdup.so.2.9", `${lib}/libdup.so`);
      symlinkSync("libdup.so.2.9", `${lib}/libother.so`);
      symlinkSync("libdup.so.2.10", `${lib}/libother.so.5`);
      symlinkSync("/usr/local/lib/gone", `${lib}/libgone.so.1`);
      symlinkSync("gone", `${lib}/libgone.so`);
      symlinkSync("libloop.so.1", `${lib}/libloop.so.1`);
      symlinkSync("/usr/lib", `${lib}/libdirectory.so.1`);
      writeFileSync(
        `${lib}/libtext.so`,
        "GROUP ( /lib/x86_64-linux-gnu/libc.so.6 ) -- a linker script, which is no library\n",
      );
      writeFileSync(`${lib}/libshort.so.1`, "\x7fELF");
      writeFileSync(`${lib}/libempty.so.1`, "");
      await compile(`${lib}/libdup.so.2.11.#prelink#`, soname);
      await compile(`${lib}/libdup.so.2.11.#prelink#.abcdef`, soname);
      await compile(`${lib}/notalib.so.1`, soname);
      await compile(`${lib}/ld-own.so.1`);
      await compile(`${lib}/libno\xffutf8.so.1`);
      await expectSameCache();
    },
    patience(120_000),
  );

  test(
    "and so are the links that it would make and remove",
    async () => {
      const { tree, readObject } = loadDirectory(root);
      const { missingSonameLinks, danglingLinks } = runLdconfig(tree, readObject, elfIndex(readObject));
      await run(["chroot", root, "/sbin/ldconfig"]);
      const after = loadDirectory(root).tree;
      for (const link of missingSonameLinks) {
        expect(readlinkSync(root + link.path)).toBe(link.target);
      }
      const made = [...after].filter(([path, inode]) => {
        const old = tree.get(path);
        if (inode.type !== "symlink") return false;
        return old === undefined || (old.type === "symlink" && old.target !== inode.target);
      });
      expect(made.map(([path]) => path).sort()).toEqual(missingSonameLinks.map((link) => link.path).sort());
      expect([...tree.keys()].filter((path) => !after.has(path)).sort()).toEqual([...danglingLinks].sort());
      // A link of a foreign name counts as one more library, and "libother.so.5" sorts after "libdup.so.2.10".
      expect(missingSonameLinks.map((link) => link.target)).toContain(fromText("libother.so.5"));
      expect(danglingLinks.length).toBeGreaterThan(0);
    },
    patience(120_000),
  );
});
