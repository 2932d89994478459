import { appendFileSync, existsSync } from "node:fs";
import type { GlobalOptions } from "./invocation.ts";

export type LogTarget = Pick<GlobalOptions, "log" | "logFormat">;
export type LogLevel = "error" | "warning" | "info";

/** The machine's log (syslog(3)); journald listens there, too. */
const SYSTEM_LOG = "/dev/log";
const PROGRAM = "crio-lxc";
/** RFC 3164, 4.1.1: facility daemon, severity warning. */
const DAEMON_WARNING = 3 * 8 + 4;

/**
 * A line of the log that an engine named, else of CRIO_LXC_LOG. containerd and Podman quote the `msg` of the last line whose
 * level is "error", and throw that log away once the container is made; CRI-O and Podman's defaults name none. So a warning
 * goes to the machine's own log, too, unless it is in the file that the operator chose. A log that cannot be written stops
 * nothing.
 * @param socket another than the machine's, for tests
 */
export function writeLog(target: LogTarget, level: LogLevel, message: string, socket?: string): void {
  const chosen = process.env["CRIO_LXC_LOG"] || undefined;
  const file = target.log || chosen;
  if (file !== undefined) appendLine(file, target.logFormat, level, message);
  if (level === "warning" && (file === undefined || file !== chosen)) told.push(tellMachine(message, socket));
}

/** Loading what sends takes a turn of the event loop: to be waited for before the program ends. */
const told: Promise<void>[] = [];

export async function flushLog(): Promise<void> {
  await Promise.all(told.splice(0));
}

/** @param socket another than the machine's, for tests */
export async function tellMachine(message: string, socket: string = SYSTEM_LOG): Promise<void> {
  if (!existsSync(socket)) return;
  const [, month = "", day = "", , time = ""] = new Date().toString().split(" ");
  const stamp = `${month} ${String(Number(day)).padStart(2)} ${time}`;
  try {
    const { sendDatagram } = await import("../sys/socket.ts");
    const line = `<${DAEMON_WARNING}>${stamp} ${PROGRAM}[${process.pid}]: ${oneLine(message)}`;
    sendDatagram(socket, Buffer.from(line));
  } catch {
    // The container matters more, and its state tells it, too.
  }
}

function appendLine(file: string, format: LogTarget["logFormat"], level: LogLevel, message: string): void {
  const time = new Date().toISOString().replace(/\.[0-9]+Z$/, "Z");
  const msg = oneLine(message);
  const line =
    format === "json"
      ? JSON.stringify({ level, msg, time })
      : `time=${JSON.stringify(time)} level=${level} msg=${JSON.stringify(msg)}`;
  try {
    appendFileSync(file, `${line}\n`, { mode: 0o600 });
  } catch {
    // The same message goes to stderr, and the container matters more.
  }
}

/** Engines read one line. */
export function oneLine(message: string): string {
  return message.replace(/\s*\n\s*/g, "; ").trim();
}
