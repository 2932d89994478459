import { CommanderError } from "commander";
import { AtomfsError } from "../core/errors.ts";
import { machineFailure } from "../sys/machine-failure.ts";

/** Anything that was thrown, as an error with a kind: so every failure has an exit code that says what it is. */
export function describeFailure(error: unknown): AtomfsError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const message = error instanceof Error ? error.message : String(error);
  const machine = machineFailure(error);
  if (machine !== undefined) return machine;
  if (error instanceof AtomfsError) return error;
  if (error instanceof CommanderError)
    return new AtomfsError("usage", message.replace(/^error: /, ""), { hints: ["atomfs help"] });
  // SQLite has no better word for a disk that has no room for its shared memory file.
  if (code.startsWith("SQLITE_IOERR")) {
    return new AtomfsError("unsupported", `The disk is full or fails: ${message}`, {
      cause: error,
      hints: ["free some space, `atomfs gc` may help"],
    });
  }
  if (code.startsWith("SQLITE_BUSY"))
    return new AtomfsError("stale", "Another command holds the catalog", { cause: error });
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) {
    return new AtomfsError("bad-data", `The catalog is damaged: ${message}`, {
      cause: error,
      hints: ["run `atomfs fsck --rebuild-catalog`"],
    });
  }
  return new AtomfsError("failed", message, { cause: error });
}
