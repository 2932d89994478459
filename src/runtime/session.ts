import { writeAll } from "../sys/files.ts";
import { type LogLevel, writeLog } from "./failure-log.ts";
import type { GlobalOptions } from "./invocation.ts";

const STDOUT = 1;
const LEVELS: readonly GlobalOptions["logLevel"][] = ["error", "warning", "info", "debug"];

/** What every verb gets. */
export type Session = {
  readonly global: GlobalOptions;
  /** To the log. */
  readonly log: (level: LogLevel, message: string) => void;
  /** To the log only: what is on stderr after success would be in the container's own log. */
  readonly warn: (message: string) => void;
  /** The answer of a verb, a line or several. */
  readonly print: (text: string) => void;
};

export function openSession(global: GlobalOptions): Session {
  const log = (level: LogLevel, message: string): void => {
    if (LEVELS.indexOf(level) <= LEVELS.indexOf(global.logLevel)) writeLog(global, level, message);
  };
  return {
    global,
    log,
    warn: (message) => log("warning", message),
    // Not process.stdout: its streams take longer to load than a whole `state` to answer.
    print: (text) => writeAll(STDOUT, Buffer.from(`${text}\n`)),
  };
}
