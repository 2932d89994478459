import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { fromText } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";
import { run } from "../../sys/process.ts";
import { type ElfInfo, readElf } from "./elf.ts";
import { isElf } from "./image.ts";
import { DEFINES_HIDDEN, DEFINES_TLS } from "./symbols.ts";

// The compiler runs many times.
setDefaultTimeout(120_000);

let work: string;

async function compile(name: string, source: string, ...options: string[]): Promise<Uint8Array> {
  await run(["gcc", "-x", "c", "-o", `${work}/${name}`, "-", "-x", "none", ...options], {
    stdin: Buffer.from(source),
  });
  return readFileSync(`${work}/${name}`);
}

function info(bytes: Uint8Array): ElfInfo {
  const result = readElf(bytes);
  if (result === undefined) throw new Error("not an ELF program or library");
  return result;
}

beforeAll(() => {
  work = mkdtempSync(`${tmpdir()}/atomfs-elf-`);
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** `readelf` as witness: NAME@VERSION of all global and weak symbols, defined or not. */
async function symbolsByReadelf(path: string): Promise<{ defined: string[]; undefined: string[] }> {
  const { stdout } = await run(["readelf", "--dyn-syms", "--wide", path], { env: { LC_ALL: "C" } });
  const defined: string[] = [];
  const missing: string[] = [];
  for (const line of stdout.toString().split("\n")) {
    const [index, value, , type, binding, , section, name] = line.trim().split(/\s+/);
    if (name === undefined || !/^\d+:$/.test(index ?? "") || !/^(GLOBAL|WEAK|UNIQUE)$/.test(binding ?? ""))
      continue;
    const plain = name.replace("@@", "@");
    if (section === "UND") missing.push(plain);
    else if (section === "ABS" || type === "TLS" || !/^0+$/.test(value ?? "")) defined.push(plain);
  }
  return { defined: defined.sort(), undefined: missing.sort() };
}

describe("readElf", () => {
  for (const path of [
    "/bin/ls",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/x86_64-linux-gnu/libstdc++.so.6",
    "/usr/bin/gcc",
  ]) {
    test(`sees the symbols of ${path} that readelf sees`, async () => {
      const elf = info(readFileSync(path));
      const witness = await symbolsByReadelf(path);
      const text = ([name, version]: readonly [string, string, ...unknown[]]): string =>
        version === "" ? name : `${name}@${version}`;
      // readelf leaves the version out where a symbol only stands for it.
      const named = elf.defines.filter(([name, version]) => name !== version).map(text);
      const isVersion = new Set<string>(elf.definedVersions);
      expect(named.sort()).toEqual(witness.defined.filter((symbol) => !isVersion.has(symbol)));
      expect(elf.requires.map(text).sort()).toEqual(witness.undefined);
    });
  }

  test("reads names, search paths and flags", async () => {
    const library = info(
      await compile(
        "liba.so",
        'extern int puts(const char *); __thread int local; int call(void) { return puts("") + local; }',
        ...[
          "-shared",
          "-fPIC",
          "-Wl,-soname,liba.so.1",
          "-Wl,-rpath,/a:$ORIGIN/b",
          "-Wl,-z,execstack",
          "-Wl,-z,nodefaultlib",
        ],
        ...["-Wl,-z,x86-64-v3", "-ftls-model=initial-exec"],
      ),
    );
    expect(library).toMatchObject({
      machine: 62,
      class: 64,
      littleEndian: true,
      type: "dyn",
      dynamic: true,
      interpreter: "",
      soname: "liba.so.1",
      needed: ["libc.so.6"],
      rpath: [],
      runpath: ["/a", "$ORIGIN/b"],
      staticTls: true,
      noDefaultLibraries: true,
      executableStack: true,
      isaLevel: 2,
    } as unknown as Partial<ElfInfo>);
    expect(library.neededVersions.map(([file]) => file)).toContain(fromText("libc.so.6"));
    expect(library.defines.find(([name]) => name === ("local" as string))?.[2]).toBeGreaterThanOrEqual(
      DEFINES_TLS,
    );
    expect(library.requires.find(([name]) => name === ("puts" as string))).toEqual([
      "puts",
      "GLIBC_2.2.5",
      "libc.so.6",
      0,
    ] as never);
    expect(library.requires.find(([name]) => name === ("__gmon_start__" as string))?.[3]).toBe(1);
  });

  test("tells hidden versions from default ones", () => {
    const libc = info(readFileSync("/lib/x86_64-linux-gnu/libc.so.6"));
    const memcpy = libc.defines.filter(([name]) => name === ("memcpy" as string));
    const byVersion = memcpy.map(([, version, flags]) => [version, flags & DEFINES_HIDDEN]);
    expect(byVersion.sort()).toEqual([
      ["GLIBC_2.14", 0],
      ["GLIBC_2.2.5", DEFINES_HIDDEN],
    ] as never);
    expect(libc.definedVersions).toContain(fromText("GLIBC_2.34"));
  });

  test("counts undefined symbols of a program that exports nothing and has only a GNU hash table", async () => {
    const source = 'extern int puts(const char *); int main(void) { return puts(""); }';
    for (const style of ["gnu", "sysv", "both"]) {
      const program = info(await compile(`program-${style}`, source, `-Wl,--hash-style=${style}`));
      expect(program.requires.map(([name]) => name)).toContain(fromText("puts"));
      expect(program.interpreter).toBe(fromText("/lib64/ld-linux-x86-64.so.2"));
    }
  });

  test("finds copy relocations with their sizes", async () => {
    await compile("libtable.so", "int table[5] = {1};", "-shared", "-fPIC", "-Wl,-soname,libtable.so");
    const source = "extern int table[]; int main(void) { return table[0]; }";
    const program = info(await compile("copies", source, "-no-pie", "-fno-pie", `${work}/libtable.so`));
    expect(program).toMatchObject({ type: "exec", copies: [["table", "", 20]] } as never);
  });

  test("needs no section headers", async () => {
    const bytes = Uint8Array.from(readFileSync("/bin/ls"));
    const whole = readElf(bytes);
    new DataView(bytes.buffer).setBigUint64(40, 0xffffffffffffn, true);
    expect(readElf(bytes)).toEqual(whole as ElfInfo);
  });

  test("survives JSON", () => {
    const elf = info(readFileSync("/bin/ls"));
    expect(JSON.parse(JSON.stringify(elf))).toEqual(elf);
  });

  test("reads a static program, and nothing that is no program or library", async () => {
    const program = info(await compile("static", "int main(void) { return 0; }", "-static"));
    expect(program).toMatchObject({ dynamic: false, needed: [], defines: [] });
    expect(readElf(await compile("object.o", "int x;", "-c"))).toBeUndefined();
    expect(readElf(Buffer.from("#!/bin/sh\n"))).toBeUndefined();
    expect(readElf(new Uint8Array())).toBeUndefined();
    expect(isElf(Buffer.from("\x7fELF"))).toBe(true);
    expect(isElf(Buffer.from("\x7fEL"))).toBe(false);
  });

  test("reads 32-bit big-endian files too", () => {
    const bytes = Buffer.alloc(52 + 32 + 16 + 8);
    bytes.write("\x7fELF", "latin1");
    bytes.set([1, 2, 1], 4);
    bytes.writeUInt16BE(3, 16);
    bytes.writeUInt16BE(20, 18);
    bytes.writeUInt32BE(52, 28);
    bytes.writeUInt16BE(32, 42);
    bytes.writeUInt16BE(1, 44);
    bytes.writeUInt32BE(3, 52);
    bytes.writeUInt32BE(84, 56);
    bytes.writeUInt32BE(8, 68);
    bytes.write("/ld.so\0", 84, "latin1");
    expect(readElf(bytes)).toMatchObject({
      machine: 20,
      class: 32,
      littleEndian: false,
      interpreter: "/ld.so",
    } as never);
  });

  test("refuses every truncation of a library as bad data, or reads it", () => {
    const whole = readFileSync("/lib/x86_64-linux-gnu/libm.so.6");
    let refused = 0;
    for (let length = 4; length < whole.length; length += 997) {
      try {
        readElf(whole.subarray(0, length));
      } catch (error) {
        expect(error).toBeInstanceOf(AtomfsError);
        expect((error as AtomfsError).kind).toBe("bad-data");
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(3);
  });

  test("refuses a version definition whose successor is outside the file", () => {
    const bytes = Uint8Array.from(readFileSync("/lib/x86_64-linux-gnu/libm.so.6"));
    const marker = Buffer.from(bytes.buffer).indexOf(Buffer.from([1, 0, 1, 0, 1, 0, 1, 0]));
    expect(marker).toBeGreaterThan(0);
    const view = new DataView(bytes.buffer);
    // vd_next of the first definition.
    view.setUint32(marker + 16, 0x7fffffff, true);
    expect(() => readElf(bytes)).toThrow(AtomfsError);
  });
});
