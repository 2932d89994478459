import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { elfIndex } from "../../tests/support/elf-index.ts";
import { loadDirectory } from "../../tests/support/load-directory.ts";
import type { ReadObject } from "../core/tree.ts";
import { run } from "../sys/process.ts";
import { type AbiProblem, checkAbi } from "./abi.ts";

// The compiler runs many times.
setDefaultTimeout(120_000);

const LIB = "/usr/lib/x86_64-linux-gnu";
/** Opens the library it is given, at once and wholly; its exit status is the loader's verdict. */
const OPENER =
  "#include <dlfcn.h>\n#include <stdio.h>\nint main(int c, char **v) { if (dlopen(v[1], RTLD_NOW)) return 0; puts(dlerror()); return 1; }";

let work: string;
let base: string;
let count = 0;

/** gcc with the C source on its standard input; libraries are looked for in the root that is being built. */
async function compile(root: string, path: string, source: string, ...options: string[]): Promise<void> {
  mkdirSync(dirname(root + path), { recursive: true });
  const search = [`-L${root}${LIB}`, `-Wl,-rpath-link,${root}${LIB}`, "-Wl,--unresolved-symbols=ignore-all"];
  await run(["gcc", "-x", "c", "-fno-builtin", "-o", root + path, "-", "-x", "none", ...search, ...options], {
    stdin: Buffer.from(source),
  });
}

async function library(root: string, name: string, source: string, ...options: string[]): Promise<void> {
  await compile(root, `${LIB}/${name}`, source, "-shared", "-fPIC", `-Wl,-soname,${name}`, ...options);
}

/** `name` = VERSION { global: symbols }; later ones inherit. */
function versionScript(...nodes: readonly (readonly [name: string, symbols: string])[]): string {
  const path = `${work}/version-${count++}`;
  writeFileSync(path, nodes.map(([name, symbols]) => `${name} { global: ${symbols} };\n`).join(""));
  return `-Wl,--version-script=${path}`;
}

async function program(root: string, source: string, ...options: string[]): Promise<void> {
  await compile(root, "/usr/bin/app", source, "-Wl,--no-as-needed", ...options);
}

/** A root with C library and loader, then what `build` puts there. */
async function newRoot(build: (root: string) => Promise<void>): Promise<string> {
  const root = `${work}/root-${count++}`;
  cpSync(base, root, { recursive: true, verbatimSymlinks: true });
  await build(root);
  return root;
}

async function changed(root: string, build: (root: string) => Promise<void>): Promise<string> {
  const copy = `${work}/root-${count++}`;
  cpSync(root, copy, { recursive: true, verbatimSymlinks: true });
  await build(copy);
  return copy;
}

function check(before: string, after: string, env: readonly string[] = []): AbiProblem[] {
  const old = loadDirectory(before);
  const now = loadDirectory(after);
  const readObject: ReadObject = (digest) => {
    try {
      return old.readObject(digest);
    } catch {
      return now.readObject(digest);
    }
  };
  return checkAbi(old.tree, now.tree, { readObject, elfOf: elfIndex(readObject), env });
}

function summary(problems: readonly AbiProblem[]): string[] {
  return problems.map((problem) => `${problem.kind} ${problem.path} ${problem.library}`).sort();
}

/** What the real loader says of the program (or of a library, by way of the opener). */
async function loads(root: string, path = "/usr/bin/app"): Promise<boolean> {
  const command = path === "/usr/bin/app" ? [path] : ["/usr/bin/open", path];
  // Without /proc the loader learns the program's directory only by LD_ORIGIN_PATH. It may die of a broken library.
  const env = { LD_BIND_NOW: "1", LD_ORIGIN_PATH: "/usr/bin", PATH: "/usr/bin" };
  return await run(["chroot", root, ...command], { env }).then(
    () => true,
    () => false,
  );
}

beforeAll(async () => {
  work = mkdtempSync(`${tmpdir()}/atomfs-abi-`);
  base = `${work}/base`;
  mkdirSync(`${base}${LIB}`, { recursive: true });
  mkdirSync(`${base}/lib64`);
  symlinkSync("usr/lib", `${base}/lib`);
  for (const name of ["libc.so.6", "libm.so.6"])
    cpSync(`${LIB}/${name}`, `${base}${LIB}/${name}`, { dereference: true });
  cpSync("/lib64/ld-linux-x86-64.so.2", `${base}/lib64/ld-linux-x86-64.so.2`, { dereference: true });
  await compile(base, "/usr/bin/open", OPENER);
}, 60_000);

afterAll(() => rmSync(work, { recursive: true, force: true }), 60_000);

const APP = "int one(void); int main(void) { return one() != 1; }";
const ONE = "int one(void) { return 1; } ";
const TWO = "int two(void) { return 2; } ";

describe("checkAbi, with the real loader as witness,", () => {
  test("finds nothing where only the code changed", async () => {
    const before = await newRoot(async (root) => {
      await library(root, "liba.so.1", ONE + TWO);
      await program(root, APP, "-l:liba.so.1");
    });
    const after = await changed(before, (root) => library(root, "liba.so.1", `${ONE}${TWO}int three;`));
    expect(await loads(after)).toBe(true);
    expect(check(before, after)).toEqual([]);
    expect(check(before, before)).toEqual([]);
  });

  test("finds a symbol that is gone, and not one that nobody asks for", async () => {
    const before = await newRoot(async (root) => {
      await library(root, "liba.so.1", ONE + TWO);
      await program(root, APP, "-l:liba.so.1");
    });
    const lost = await changed(before, (root) => library(root, "liba.so.1", TWO));
    expect(await loads(lost)).toBe(false);
    expect(check(before, lost)).toEqual([
      {
        kind: "missing-symbol",
        path: check(before, lost)[0]?.path as AbiProblem["path"],
        library: "liba.so.1",
        detail: "needs one, which neither liba.so.1 nor another library that it loads has",
      },
    ]);
    const unused = await changed(before, (root) => library(root, "liba.so.1", ONE));
    expect(await loads(unused)).toBe(true);
    expect(check(before, unused)).toEqual([]);
    // What was broken before is not told again.
    const other = await changed(lost, (root) => library(root, "liba.so.1", `${TWO}int more;`));
    expect(check(lost, other)).toEqual([]);
  });

  test("lets a weak reference go unresolved", async () => {
    const before = await newRoot(async (root) => {
      await library(root, "liba.so.1", ONE + TWO);
      await program(
        root,
        `${APP} __attribute__((weak)) int two(void); int (*use)(void) = two;`,
        "-l:liba.so.1",
      );
    });
    const after = await changed(before, (root) => library(root, "liba.so.1", ONE));
    expect(await loads(after)).toBe(true);
    expect(check(before, after)).toEqual([]);
  });

  test("finds a version node that is gone, though the symbol is there", async () => {
    const before = await newRoot(async (root) => {
      await library(root, "liba.so.1", ONE, versionScript(["A_1", "one;"]));
      await program(root, APP, "-l:liba.so.1");
    });
    const after = await changed(before, (root) =>
      library(root, "liba.so.1", ONE, versionScript(["A_2", "one;"])),
    );
    expect(await loads(after)).toBe(false);
    expect(summary(check(before, after))).toEqual(["missing-version /usr/bin/app liba.so.1"]);
  });

  test("finds a symbol that lost its version while the node stays", async () => {
    const before = await newRoot(async (root) => {
      await library(root, "liba.so.1", ONE + TWO, versionScript(["A_1", "one; two;"]));
      await program(root, APP, "-l:liba.so.1");
    });
    const after = await changed(before, (root) =>
      library(root, "liba.so.1", ONE + TWO, versionScript(["A_1", "two;"], ["A_2", "one;"])),
    );
    expect(await loads(after)).toBe(false);
    expect(summary(check(before, after))).toEqual(["missing-symbol /usr/bin/app liba.so.1"]);
  });

  test("takes an unversioned definition for a versioned reference, and a versioned one for an unversioned", async () => {
    const both = ONE + TWO;
    const versioned = (root: string): Promise<void> =>
      library(root, "liba.so.1", both, versionScript(["A_1", "one; two;"]));
    // As zlib: the node is there, but this symbol is outside of it.
    const outside = (root: string): Promise<void> =>
      library(root, "liba.so.1", both, versionScript(["A_1", "two;"]));
    const plain = (root: string): Promise<void> => library(root, "liba.so.1", both);
    for (const [first, second, works] of [
      [versioned, outside, true],
      [plain, versioned, true],
      [versioned, plain, false],
    ] as const) {
      const before = await newRoot(async (root) => {
        await first(root);
        await program(root, APP, "-l:liba.so.1");
      });
      const after = await changed(before, second);
      expect(await loads(after)).toBe(works);
      expect(summary(check(before, after))).toEqual(works ? [] : ["missing-version /usr/bin/app liba.so.1"]);
    }
  });

  test("finds a soname that changed", async () => {
    const before = await newRoot(async (root) => {
      await library(root, "libxml.so.2", ONE);
      await program(root, APP, "-l:libxml.so.2");
    });
    const after = await changed(before, async (root) => {
      rmSync(`${root}${LIB}/libxml.so.2`);
      await library(root, "libxml.so.16", ONE);
    });
    expect(await loads(after)).toBe(false);
    expect(summary(check(before, after))).toEqual(["soname-lost /usr/bin/app libxml.so.2"]);
    const renamed = await changed(before, async (root) => {
      await library(root, "libxml.so.16", ONE);
      cpSync(`${root}${LIB}/libxml.so.16`, `${root}${LIB}/libxml.so.2`);
    });
    expect(summary(check(before, renamed))).toEqual(["soname-lost /usr/bin/app libxml.so.2"]);
  });

  test("finds a library that is gone, or of another architecture", async () => {
    const before = await newRoot(async (root) => {
      await library(root, "liba.so.1", ONE);
      await library(root, "libb.so.1", "int one(void); int b(void) { return one(); }", "-l:liba.so.1");
      await program(root, "int b(void); int main(void) { return b() != 1; }", "-l:libb.so.1");
    });
    expect(await loads(before)).toBe(true);
    const gone = await changed(before, async (root) => rmSync(`${root}${LIB}/liba.so.1`));
    expect(await loads(gone)).toBe(false);
    expect(summary(check(before, gone))).toEqual([`missing-library ${LIB}/libb.so.1 liba.so.1`]);
    const foreign = await changed(before, async (root) => {
      const file = await Bun.file(`${root}${LIB}/liba.so.1`).bytes();
      file[18] = 183;
      writeFileSync(`${root}${LIB}/liba.so.1`, file);
    });
    expect(await loads(foreign)).toBe(false);
    expect(summary(check(before, foreign))).toEqual([`missing-library ${LIB}/libb.so.1 liba.so.1`]);
  });

  test("takes a symbol that moved to another library of the closure", async () => {
    const before = await newRoot(async (root) => {
      await library(root, "libp.so.0", ONE, versionScript(["P_1", "one;"]));
      await program(root, APP, "-l:libp.so.0");
    });
    // As glibc 2.34 did: the old library keeps the version node, the symbol is elsewhere under the same version.
    const after = await changed(before, async (root) => {
      await library(root, "liball.so.6", ONE, versionScript(["P_1", "one;"]));
      await library(
        root,
        "libp.so.0",
        "int rest;",
        versionScript(["P_1", "rest;"]),
        "-Wl,--no-as-needed",
        "-l:liball.so.6",
      );
    });
    expect(await loads(after)).toBe(true);
    expect(check(before, after)).toEqual([]);
  });

  test("follows RUNPATH with $ORIGIN to a private copy", async () => {
    const before = await newRoot(async (root) => {
      await library(root, "liba.so.1", ONE);
      await compile(root, "/opt/app/lib/liba.so.1", ONE, "-shared", "-fPIC", "-Wl,-soname,liba.so.1");
      await program(root, APP, "-l:liba.so.1", "-Wl,-rpath,$ORIGIN/../../opt/app/lib");
    });
    const system = await changed(before, (root) => library(root, "liba.so.1", TWO));
    expect(await loads(system)).toBe(true);
    expect(check(before, system)).toEqual([]);
    const own = await changed(before, (root) =>
      compile(root, "/opt/app/lib/liba.so.1", TWO, "-shared", "-fPIC", "-Wl,-soname,liba.so.1"),
    );
    expect(await loads(own)).toBe(false);
    expect(summary(check(before, own))).toEqual(["missing-symbol /usr/bin/app liba.so.1"]);
  });

  test("lets a library find its libraries by the DT_RPATH of the program, but not by its DT_RUNPATH", async () => {
    for (const [tags, works] of [
      ["-Wl,--disable-new-dtags", true],
      ["-Wl,--enable-new-dtags", false],
    ] as const) {
      const before = await newRoot(async (root) => {
        await library(root, "libdeep.so.1", ONE);
        await library(root, "libb.so.1", "int one(void); int b(void) { return one(); }", "-l:libdeep.so.1");
        await program(
          root,
          "int b(void); int main(void) { return b() != 1; }",
          "-l:libb.so.1",
          tags,
          "-Wl,-rpath,/opt/deep",
        );
      });
      const after = await changed(before, async (root) => {
        mkdirSync(`${root}/opt/deep`, { recursive: true });
        cpSync(`${root}${LIB}/libdeep.so.1`, `${root}/opt/deep/libdeep.so.1`);
        rmSync(`${root}${LIB}/libdeep.so.1`);
      });
      expect(await loads(after)).toBe(works);
      const forProgram = check(before, after).filter(
        (problem) => problem.path === ("/usr/bin/app" as string),
      );
      const forLibrary = check(before, after).filter((problem) => problem.path.endsWith("libb.so.1"));
      expect(forProgram).toEqual([]);
      expect(summary(forLibrary)).toEqual([`missing-library ${LIB}/libb.so.1 libdeep.so.1`]);
    }
  });

  test("does not blame a plugin for symbols of its host, but the host for losing them", async () => {
    const host = "int host_call(void) { return 1; } int main(void) { return 0; }";
    const plugin = "int host_call(void); int run(void) { return host_call(); }";
    const build = (root: string, source: string, more: string): Promise<void> =>
      compile(root, "/usr/lib/app/plugin.so", source + more, "-shared", "-fPIC");
    const before = await newRoot(async (root) => {
      await program(root, host, "-rdynamic");
      await build(root, plugin, "");
    });
    const newer = await changed(before, async (root) => {
      await program(root, `${host}int host_more(void) { return 2; }`, "-rdynamic");
      await build(root, plugin, "int host_more(void); int run2(void) { return host_more(); }");
    });
    expect(check(before, newer)).toEqual([]);
    const lost = await changed(before, (root) => program(root, "int main(void) { return 0; }", "-rdynamic"));
    expect(summary(check(before, lost))).toEqual(["missing-symbol /usr/lib/app/plugin.so "]);
    const nobody = await changed(before, (root) =>
      build(root, plugin, "int nowhere(void); int run3(void) { return nowhere(); }"),
    );
    expect(summary(check(before, nobody))).toEqual(["missing-symbol /usr/lib/app/plugin.so "]);
  });

  test("checks the new library itself: it may need a newer C library than the image has", async () => {
    const before = await newRoot(async (root) => {
      await library(root, "libold.so.6", ONE, versionScript(["GLIBC_2.36", "one;"]));
      await library(root, "liba.so.1", "int one(void); int a(void) { return one(); }", "-l:libold.so.6");
      await program(root, "int a(void); int main(void) { return a() != 1; }", "-l:liba.so.1");
    });
    const after = await changed(before, async (root) => {
      const elsewhere = await changed(root, (other) =>
        library(
          other,
          "libold.so.6",
          ONE + TWO,
          versionScript(["GLIBC_2.36", "one;"], ["GLIBC_2.38", "two;"]),
        ),
      );
      const source = "int one(void); int two(void); int a(void) { return one() + two() - 2; }";
      await library(elsewhere, "liba.so.1", source, "-l:libold.so.6");
      cpSync(`${elsewhere}${LIB}/liba.so.1`, `${root}${LIB}/liba.so.1`);
    });
    expect(await loads(before)).toBe(true);
    expect(await loads(after)).toBe(false);
    expect(await loads(after, `${LIB}/liba.so.1`)).toBe(false);
    expect(summary(check(before, after))).toEqual([`missing-version ${LIB}/liba.so.1 libold.so.6`]);
  });

  test("finds a copied object whose size changed", async () => {
    const before = await newRoot(async (root) => {
      await library(root, "liba.so.1", "int table[4] = {1};");
      await program(
        root,
        "extern int table[]; int main(void) { return table[0] != 1; }",
        "-no-pie",
        "-fno-pie",
        "-l:liba.so.1",
      );
    });
    const after = await changed(before, (root) => library(root, "liba.so.1", "int table[8] = {1};"));
    expect(await loads(before)).toBe(true);
    expect(summary(check(before, after))).toEqual(["object-size /usr/bin/app liba.so.1"]);
    const gone = await changed(before, (root) => library(root, "liba.so.1", "int chair[4];"));
    expect(await loads(gone)).toBe(false);
    expect(summary(check(before, gone))).toEqual(["missing-symbol /usr/bin/app liba.so.1"]);
  });

  test("minds LD_LIBRARY_PATH and LD_PRELOAD of the image", async () => {
    const before = await newRoot(async (root) => {
      await library(root, "liba.so.1", ONE);
      await compile(root, "/opt/lib/liba.so.1", ONE, "-shared", "-fPIC", "-Wl,-soname,liba.so.1");
      await program(root, APP, "-l:liba.so.1");
    });
    const after = await changed(before, (root) =>
      compile(root, "/opt/lib/liba.so.1", TWO, "-shared", "-fPIC", "-Wl,-soname,liba.so.1"),
    );
    expect(check(before, after)).toEqual([]);
    expect(summary(check(before, after, ["LD_LIBRARY_PATH=/opt/lib:/x"]))).toEqual([
      "missing-symbol /usr/bin/app liba.so.1",
    ]);
    const both = await changed(before, (root) => library(root, "liba.so.1", TWO));
    expect(summary(check(before, both))).toEqual(["missing-symbol /usr/bin/app liba.so.1"]);
    expect(check(before, both, ["LD_PRELOAD=/opt/lib/liba.so.1"])).toEqual([]);
  });

  test("prefers glibc-hwcaps variants as a newer machine would, and so finds one left behind", async () => {
    const before = await newRoot(async (root) => {
      await library(root, "liba.so.1", ONE);
      await compile(
        root,
        `${LIB}/glibc-hwcaps/x86-64-v3/liba.so.1`,
        ONE,
        "-shared",
        "-fPIC",
        "-Wl,-soname,liba.so.1",
      );
      await program(root, APP, "-l:liba.so.1");
    });
    const after = await changed(before, async (root) => {
      await library(root, "liba.so.1", ONE + TWO);
      await program(root, "int two(void); int main(void) { return two() != 2; }", "-l:liba.so.1");
    });
    expect(summary(check(before, after))).toEqual(["missing-symbol /usr/bin/app "]);
  });
});

test("a malformed library is one that is not there", async () => {
  const before = await newRoot(async (root) => {
    await library(root, "liba.so.1", ONE);
    await program(root, APP, "-l:liba.so.1");
  });
  const after = await changed(before, async (root) => {
    const file = await Bun.file(`${root}${LIB}/liba.so.1`).bytes();
    writeFileSync(`${root}${LIB}/liba.so.1`, file.subarray(0, 1000));
  });
  expect(await loads(after)).toBe(false);
  expect(summary(check(before, after))).toEqual(["missing-library /usr/bin/app liba.so.1"]);
});
