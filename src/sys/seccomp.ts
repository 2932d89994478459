import { dlopen, type Pointer, ptr } from "bun:ffi";
import { closeSync, readSync } from "node:fs";
import { AtomfsError } from "../core/errors.ts";
import { cString } from "./ffi.ts";

/** The kernel takes at most 4096 instructions (BPF_MAXINSNS) of 8 bytes. */
export const MAX_FILTER: number = 4096 * 8;
const MFD_CLOEXEC = 1;
const EEXIST = 17;
const ENOSYS = 38;
const RETURN_ERRNO = 0x00050000;
const ALLOW = 0x7fff0000;
const LOG = 0x7ffc0000;
const ACTION_MASK = 0xffff0000;

export type FilterCondition = {
  /** 0 to 5. */
  readonly index: number;
  readonly op: string;
  readonly value: bigint;
  readonly valueTwo: bigint;
};

/** A profile with nothing left to decide: returns are values of include/uapi/linux/seccomp.h. */
export type FilterProfile = {
  readonly defaultReturns: number;
  /** The file names the default's errno: then it also holds for calls that are newer than the profile. */
  readonly explicitErrno: boolean;
  /** libseccomp's names; the machine's own is always in. */
  readonly architectures: readonly string[];
  readonly rules: readonly {
    readonly syscall: string;
    readonly returns: number;
    readonly conditions: readonly FilterCondition[];
  }[];
};

/** enum scmp_compare of seccomp.h. */
const OPERATORS: Readonly<Record<string, number>> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};

function openLibrary() {
  const seccomp = dlopen("libseccomp.so.2", {
    seccomp_init: { args: ["u32"], returns: "ptr" },
    seccomp_release: { args: ["ptr"], returns: "void" },
    seccomp_arch_resolve_name: { args: ["ptr"], returns: "u32" },
    seccomp_arch_native: { args: [], returns: "u32" },
    seccomp_arch_add: { args: ["ptr", "u32"], returns: "i32" },
    seccomp_syscall_resolve_name: { args: ["ptr"], returns: "i32" },
    seccomp_syscall_resolve_name_arch: { args: ["u32", "ptr"], returns: "i32" },
    seccomp_rule_add_array: { args: ["ptr", "u32", "i32", "u32", "ptr"], returns: "i32" },
    seccomp_export_bpf: { args: ["ptr", "i32"], returns: "i32" },
  } as const).symbols;
  const libc = dlopen("libc.so.6", {
    memfd_create: { args: ["ptr", "u32"], returns: "i32" },
    lseek: { args: ["i32", "i64", "i32"], returns: "i64" },
  } as const).symbols;
  return { ...seccomp, ...libc };
}

type Library = ReturnType<typeof openLibrary>;
let library: Library | undefined;

/** @throws AtomfsError "unsupported" if libseccomp is not installed */
function libseccomp(): Library {
  try {
    library ??= openLibrary();
    return library;
  } catch (cause) {
    throw new AtomfsError("unsupported", "Cannot compile seccomp rules: libseccomp.so.2 is not installed", {
      cause,
      hints: ["apt-get install libseccomp2"],
    });
  }
}

/**
 * A profile as a program for the kernel: struct sock_filter after struct sock_filter, at most 32 kB. Calls that libseccomp does
 * not know are left out, as runc does; they get the default.
 * @throws AtomfsError "unsupported" without libseccomp, "failed" if it refuses a rule or the program is too long for the kernel
 */
export function compileSeccomp(profile: FilterProfile): Uint8Array {
  const lib = libseccomp();
  // Its type has a bigint, too, which bun never returns for "ptr".
  const context = lib.seccomp_init(profile.defaultReturns) as Pointer | null;
  if (context === null)
    throw new AtomfsError("failed", "Cannot compile seccomp rules: the default action is refused");
  try {
    const architectures = addArchitectures(lib, context, profile.architectures);
    const names = [...new Set(profile.rules.map(({ syscall }) => syscall))].map(
      (name) => [name, cString(name)] as const,
    );
    addRules(
      lib,
      context,
      profile,
      new Map(names.map(([name, text]) => [name, lib.seccomp_syscall_resolve_name(ptr(text))])),
    );
    const filter = exportFilter(lib, context);
    const newer = newCallsFilter(
      lib,
      profile,
      architectures,
      names.map(([, text]) => text),
    );
    const program = Buffer.concat([newer, filter]);
    if (program.length > MAX_FILTER)
      throw new AtomfsError(
        "failed",
        `Cannot compile seccomp rules: ${program.length} bytes, the kernel takes ${MAX_FILTER}`,
      );
    return program;
  } finally {
    lib.seccomp_release(context);
  }
}

/** @returns libseccomp's numbers of the architectures that the filter has, the native one first */
function addArchitectures(lib: Library, context: Pointer, names: readonly string[]): number[] {
  const tokens = [lib.seccomp_arch_native()];
  for (const name of names) {
    const text = cString(name);
    const token = lib.seccomp_arch_resolve_name(ptr(text));
    // One that this libseccomp does not know, this machine cannot run; the filter ends its processes anyway.
    if (token === 0 || tokens.includes(token)) continue;
    const result = lib.seccomp_arch_add(context, token);
    if (result !== 0 && result !== -EEXIST)
      throw new AtomfsError("failed", `Cannot compile seccomp rules: architecture ${name}: error ${-result}`);
    tokens.push(token);
  }
  return tokens;
}

/** struct scmp_arg_cmp: unsigned int arg; enum op; u64 a; u64 b. */
const CONDITION_SIZE = 24;

function addRules(
  lib: Library,
  context: Pointer,
  profile: FilterProfile,
  numbers: ReadonlyMap<string, number>,
): void {
  for (const { syscall, returns, conditions } of profile.rules) {
    const number = numbers.get(syscall) ?? -1;
    // __NR_SCMP_ERROR; other negative numbers are calls of other architectures.
    if (number === -1) continue;
    const array = Buffer.alloc(Math.max(1, conditions.length) * CONDITION_SIZE);
    for (const [i, { index, op, value, valueTwo }] of conditions.entries()) {
      array.writeUInt32LE(index, i * CONDITION_SIZE);
      array.writeUInt32LE(OPERATORS[op] ?? 0, i * CONDITION_SIZE + 4);
      array.writeBigUInt64LE(value, i * CONDITION_SIZE + 8);
      array.writeBigUInt64LE(valueTwo, i * CONDITION_SIZE + 16);
    }
    const result = lib.seccomp_rule_add_array(context, returns, number, conditions.length, ptr(array));
    if (result !== 0)
      throw new AtomfsError(
        "failed",
        `Cannot compile seccomp rules: a rule for ${syscall}: error ${-result}`,
      );
  }
}

/** libseccomp 2.5 writes only to a descriptor. */
function exportFilter(lib: Library, context: Pointer): Buffer {
  const name = cString("seccomp-filter");
  const fd = lib.memfd_create(ptr(name), MFD_CLOEXEC);
  if (fd < 0) throw new AtomfsError("failed", "Cannot compile seccomp rules: no memory file");
  try {
    const result = lib.seccomp_export_bpf(context, fd);
    if (result !== 0)
      throw new AtomfsError("failed", `Cannot compile seccomp rules: error ${-result} of the export`);
    const buffer = Buffer.alloc(MAX_FILTER + 8);
    let length = 0;
    for (;;) {
      const read = readSync(fd, buffer, length, buffer.length - length, length);
      if (read === 0) return buffer.subarray(0, length);
      length += read;
    }
  } finally {
    closeSync(fd);
  }
}

/** AUDIT_ARCH_X86_64 and what libseccomp calls x32, which the kernel reports under the same number. */
const X86_64 = 0xc000003e;
const X32 = 0x4000003e;
const X32_BIT = 0x40000000;

/** BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ, BPF_JGT, BPF_JGE with BPF_K, BPF_RET|BPF_K: linux/bpf_common.h. */
const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER = 0x25;
const JUMP_GREATER_EQUAL = 0x35;
const RETURN = 0x06;
/** Offsets in struct seccomp_data. */
const DATA_NUMBER = 0;
const DATA_ARCH = 4;

/**
 * Calls that are newer than all that the profile names get ENOSYS, as runc does it, so that C libraries fall back to an older
 * call; EPERM, which most profiles return for what they do not know, breaks them. Nothing if the profile allows by default, or
 * says itself what is returned.
 */
function newCallsFilter(
  lib: Library,
  profile: FilterProfile,
  tokens: readonly number[],
  names: readonly Buffer[],
): Buffer {
  const action = (profile.defaultReturns & ACTION_MASK) >>> 0;
  if (action === ALLOW || action === LOG || profile.explicitErrno || names.length === 0)
    return Buffer.alloc(0);
  const newest = (token: number): number =>
    names.reduce((most, name) => Math.max(most, lib.seccomp_syscall_resolve_name_arch(token, ptr(name))), -1);
  const code: Instruction[] = [];
  for (const token of tokens) {
    // It shares X86_64's turn below.
    if (token === X32) continue;
    const x32 = token === X86_64 ? (tokens.includes(X32) ? newest(X32) : undefined) : undefined;
    const checks = token === X86_64 ? x86Checks(newest(token), x32) : plainChecks(newest(token));
    code.push([LOAD, 0, 0, DATA_ARCH], [JUMP_EQUAL, 0, checks.length, token], ...checks);
  }
  const bytes = Buffer.alloc(code.length * 8);
  for (const [i, [operation, ifTrue, ifFalse, value]] of code.entries()) {
    bytes.writeUInt16LE(operation, i * 8);
    bytes.writeUInt8(ifTrue, i * 8 + 2);
    bytes.writeUInt8(ifFalse, i * 8 + 3);
    bytes.writeUInt32LE(value, i * 8 + 4);
  }
  return bytes;
}

type Instruction = readonly [operation: number, ifTrue: number, ifFalse: number, value: number];

const NOT_THERE: Instruction = [RETURN, 0, 0, RETURN_ERRNO | ENOSYS];

function plainChecks(newest: number): Instruction[] {
  // A profile may name nothing that this architecture has.
  if (newest < 0) return [];
  return [[LOAD, 0, 0, DATA_NUMBER], [JUMP_GREATER, 0, 1, newest], NOT_THERE];
}

/** Numbers from X32_BIT on are x32's; if the profile does not have that, the filter itself ends the process. */
function x86Checks(newest: number, newestX32: number | undefined): Instruction[] {
  const own: Instruction[] = newest < 0 ? [] : [[JUMP_GREATER, 0, 1, newest], NOT_THERE];
  const other: Instruction[] =
    newestX32 === undefined || newestX32 < 0 ? [] : [[JUMP_GREATER, 0, 1, newestX32], NOT_THERE];
  const skipOther: Instruction[] =
    other.length === 0 ? [] : [[JUMP_GREATER_EQUAL, 0, other.length, X32_BIT], ...other];
  const ownOnly: Instruction[] =
    own.length === 0 ? [] : [[JUMP_GREATER_EQUAL, own.length, 0, X32_BIT], ...own];
  return [[LOAD, 0, 0, DATA_NUMBER], ...skipOther, ...ownOnly];
}
