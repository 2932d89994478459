import { appendFileSync } from "node:fs";
import type { GlobalOptions } from "./invocation.ts";

export type LogTarget = Pick<GlobalOptions, "log" | "logFormat">;
export type LogLevel = "error" | "warning" | "info";

/**
 * A line of the log that an engine named. containerd and Podman quote the `msg` of the last line whose level is "error".
 * A log that cannot be written stops nothing.
 */
export function writeLog(target: LogTarget, level: LogLevel, message: string): void {
  if (target.log === undefined || target.log === "") return;
  const time = new Date().toISOString().replace(/\.[0-9]+Z$/, "Z");
  const msg = oneLine(message);
  const line =
    target.logFormat === "json"
      ? JSON.stringify({ level, msg, time })
      : `time=${JSON.stringify(time)} level=${level} msg=${JSON.stringify(msg)}`;
  try {
    appendFileSync(target.log, `${line}\n`, { mode: 0o600 });
  } catch {
    // The same message goes to stderr, and the container matters more.
  }
}

/** Engines read one line. */
export function oneLine(message: string): string {
  return message.replace(/\s*\n\s*/g, "; ").trim();
}
