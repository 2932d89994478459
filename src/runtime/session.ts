import { writeLog } from "./failure-log.ts";
import type { GlobalOptions } from "./invocation.ts";

/** What every verb gets. */
export type Session = {
  readonly global: GlobalOptions;
  /** To the log only: what is on stderr after success would be in the container's own log. */
  readonly warn: (message: string) => void;
  /** The answer of a verb, a line or several. */
  readonly print: (text: string) => void;
};

export function openSession(global: GlobalOptions): Session {
  return {
    global,
    warn: (message) => writeLog(global, "warning", message),
    print: (text) => {
      process.stdout.write(`${text}\n`);
    },
  };
}
