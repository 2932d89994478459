import { AtomfsError } from "../core/errors.ts";

/** What Node and SQLite say when the machine, not the program, is at fault. */
const MACHINE: Readonly<Record<string, string>> = {
  ENOSPC: "The disk is full",
  EDQUOT: "The disk quota is used up",
  SQLITE_FULL: "The disk is full",
  EROFS: "The filesystem is read-only",
  EMFILE: "Too many files are open",
  ENFILE: "Too many files are open",
};

/** Undefined for an error that isn't the machine's. */
export function machineFailure(error: unknown): AtomfsError | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  const code = String(error.code);
  const what = MACHINE[code];
  if (what === undefined) return undefined;
  return new AtomfsError("unsupported", `${what}: ${error.message}`, { cause: error, hints: adviceOn(code) });
}

const DISK_FULL: readonly string[] = ["ENOSPC", "EDQUOT", "SQLITE_FULL"];

export function isDiskFull(error: unknown): boolean {
  return error instanceof Error && "code" in error && DISK_FULL.includes(String(error.code));
}

function adviceOn(code: string): readonly string[] {
  if (DISK_FULL.includes(code)) return ["free some space, `atomfs gc` may help; nothing was lost"];
  return code === "EROFS" ? ["mount the filesystem of the store so that it can be written"] : [];
}
