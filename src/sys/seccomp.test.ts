import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileSeccomp, type FilterCondition, type FilterProfile } from "./seccomp.ts";
import { compileSeccompCached } from "./seccomp-cache.ts";

const ALLOW = 0x7fff0000;
const KILL = 0;
const errno = (number: number): number => 0x00050000 | number;
const AUDIT_X86_64 = 0xc000003e;
const AUDIT_I386 = 0x40000003;
const X32 = 0x40000000;

const CALLS = { read: 0, getpid: 39, clone: 56, personality: 135, ptrace: 101, clone3: 435 };

function profile(change: Partial<FilterProfile> = {}): FilterProfile {
  return {
    defaultReturns: errno(1),
    explicitErrno: false,
    architectures: ["x86_64", "x86", "x32"],
    rules: [
      { syscall: "read", returns: ALLOW, conditions: [] },
      { syscall: "getpid", returns: ALLOW, conditions: [] },
      { syscall: "clone", returns: ALLOW, conditions: [condition("SCMP_CMP_MASKED_EQ", 0x7e020000n, 0n)] },
      {
        syscall: "personality",
        returns: errno(22),
        conditions: [condition("SCMP_CMP_GT", 0xffffffff_00000000n)],
      },
      { syscall: "no_such_call", returns: ALLOW, conditions: [] },
    ],
    ...change,
  };
}

function condition(op: string, value: bigint, valueTwo = 0n): FilterCondition {
  return { index: 0, op, value, valueTwo };
}

/** What the kernel does with a filter: its instructions are those of linux/filter.h that seccomp(2) allows and libseccomp writes. */
function runFilter(filter: Uint8Array, arch: number, number: number, argument = 0n): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(number, 0);
  data.writeUInt32LE(arch, 4);
  data.writeBigUInt64LE(argument, 16);
  const code = Buffer.from(filter);
  let accumulator = 0;
  for (let at = 0; at * 8 < code.length; at++) {
    const operation = code.readUInt16LE(at * 8);
    const ifTrue = code.readUInt8(at * 8 + 2);
    const ifFalse = code.readUInt8(at * 8 + 3);
    const value = code.readUInt32LE(at * 8 + 4);
    const jump = (taken: boolean): number => (taken ? ifTrue : ifFalse);
    if (operation === 0x20) accumulator = data.readUInt32LE(value);
    else if (operation === 0x15) at += jump(accumulator === value);
    else if (operation === 0x25) at += jump(accumulator > value);
    else if (operation === 0x35) at += jump(accumulator >= value);
    else if (operation === 0x54) accumulator = (accumulator & value) >>> 0;
    else if (operation === 0x05) at += value;
    else if (operation === 0x06) return value;
    else throw new Error(`instruction ${operation.toString(16)}`);
  }
  throw new Error("the filter has no end");
}

const directory = mkdtempSync(join(tmpdir(), "atomfs-seccomp-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("each call gets what its rules say, others the default", () => {
  const filter = compileSeccomp(profile());
  const returns = (number: number, argument = 0n) => runFilter(filter, AUDIT_X86_64, number, argument);
  expect(returns(CALLS.getpid)).toBe(ALLOW);
  expect(returns(CALLS.ptrace)).toBe(errno(1));
  expect(returns(CALLS.clone, 0x11n)).toBe(ALLOW);
  expect(returns(CALLS.clone, 0x10000000n)).toBe(errno(1));
  // Values of all 64 bits.
  expect(returns(CALLS.personality, 0xffffffff_00000001n)).toBe(errno(22));
  expect(returns(CALLS.personality, 0xffffffff_00000000n)).toBe(errno(1));
});

test("other architectures: listed ones have the same rules, the rest is ended", () => {
  const filter = compileSeccomp(profile());
  const i386Getpid = 20;
  expect(runFilter(filter, AUDIT_I386, i386Getpid)).toBe(ALLOW);
  expect(runFilter(filter, AUDIT_X86_64, X32 + CALLS.getpid)).toBe(ALLOW);
  expect(runFilter(filter, 0xc00000b7, CALLS.getpid)).toBe(KILL);
  const native = compileSeccomp(profile({ architectures: [] }));
  expect(runFilter(native, AUDIT_I386, i386Getpid)).toBe(KILL);
  expect(runFilter(native, AUDIT_X86_64, X32 + CALLS.getpid)).toBe(KILL);
});

test("calls newer than the profile get ENOSYS, unless the profile names the errno or allows", () => {
  const newer = CALLS.clone3;
  const returned = (change: Partial<FilterProfile>, number = newer) =>
    runFilter(compileSeccomp(profile(change)), AUDIT_X86_64, number);
  expect(returned({})).toBe(errno(38));
  expect(returned({}, CALLS.personality + 1)).toBe(errno(38));
  expect(returned({}, CALLS.personality - 1)).toBe(errno(1));
  // x32 has numbers of its own from 512 on: its newest is the largest that the profile names, not 64 bit's.
  expect(returned({}, X32 + CALLS.personality + 1)).toBe(errno(38));
  expect(runFilter(compileSeccomp(profile()), AUDIT_I386, 400)).toBe(errno(38));
  expect(returned({ explicitErrno: true })).toBe(errno(1));
  expect(
    returned({ defaultReturns: ALLOW, rules: [{ syscall: "read", returns: errno(1), conditions: [] }] }),
  ).toBe(ALLOW);
});

test("conditions on several arguments must all hold", () => {
  const conditions = [
    { index: 0, op: "SCMP_CMP_EQ", value: 1n, valueTwo: 0n },
    { index: 1, op: "SCMP_CMP_EQ", value: 0n, valueTwo: 0n },
  ];
  const both = compileSeccomp(profile({ rules: [{ syscall: "getpid", returns: ALLOW, conditions }] }));
  expect(runFilter(both, AUDIT_X86_64, CALLS.getpid, 1n)).toBe(ALLOW);
  expect(runFilter(both, AUDIT_X86_64, CALLS.getpid, 2n)).toBe(errno(1));
});

test("a rule that libseccomp refuses is an error, not a weaker filter", () => {
  const twice = [condition("SCMP_CMP_EQ", 1n), condition("SCMP_CMP_EQ", 2n)];
  const rules = [{ syscall: "getpid", returns: ALLOW, conditions: twice }];
  expect(() => compileSeccomp(profile({ rules }))).toThrow("getpid");
});

test("the cache gives the same bytes, and makes a broken file again", () => {
  const cache = join(directory, "cache");
  const first = compileSeccompCached(profile(), cache);
  expect(Buffer.compare(first, compileSeccomp(profile()))).toBe(0);
  const [name = ""] = readdirSync(cache);
  expect(statSync(cache).mode & 0o777).toBe(0o700);
  const file = join(cache, name);
  const whole = readFileSync(file);
  // What is read back is the file's content, not a new program.
  const other = Buffer.from(whole);
  other.writeUInt8(other.readUInt8(40) ^ 1, 40);
  for (const broken of [other, whole.subarray(0, 32), whole.subarray(0, whole.length - 8), Buffer.alloc(0)]) {
    rmSync(file);
    writeFileSync(file, broken);
    expect(Buffer.compare(compileSeccompCached(profile(), cache), first)).toBe(0);
    expect(Buffer.compare(readFileSync(file), whole)).toBe(0);
  }
  compileSeccompCached(profile({ defaultReturns: errno(2) }), cache);
  expect(readdirSync(cache).length).toBe(2);
});
