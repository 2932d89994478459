import { AtomfsError } from "../core/errors.ts";

/**
 * One abort for a whole program: SIGINT, SIGTERM and SIGHUP no longer end it, they make it unwind through `using`, so that no
 * mount, lock or temporary file is left. The reason is an AtomfsError "interrupted".
 */
export function abortOnSignals(): AbortSignal {
  const interruption = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => interruption.abort(new AtomfsError("interrupted", `Stopped by ${name}`)));
  }
  return interruption.signal;
}
