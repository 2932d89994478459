import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { type Fd, syscallFd } from "./fd.ts";
import { hasCode, rawSyscall, syscall, syscallError } from "./ffi.ts";
import { waitReadable } from "./poll.ts";

const PR_SET_CHILD_SUBREAPER = 36;
const ESRCH = 3;
const EINTR = 4;
const ECHILD = 10;

/** What /proc/PID/stat says (proc_pid_stat(5)). A pid and a start time together name a process for good. */
export type ProcessStat = {
  readonly pid: number;
  readonly parent: number;
  /** One letter; "Z" is ended but not yet waited for. */
  readonly state: string;
  /** Clock ticks since boot. */
  readonly startTime: number;
};

/** Undefined if there is no such process. */
export function readStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
  // The name in parentheses may hold spaces and parentheses itself.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state = "", parent] = fields;
  return { pid, state, parent: Number(parent), startTime: Number(fields[19]) };
}

/** Is this very process still there? One that has ended and only waits for its parent is not. */
export function isAlive(pid: number, startTime: number): boolean {
  const stat = readStat(pid);
  return stat !== undefined && stat.startTime === startTime && stat.state !== "Z" && stat.state !== "X";
}

/**
 * How the kernel says that a number is no process: nobody's (ESRCH); one's that is being reaped just now, or a thread's
 * (ENOENT on Linux 6.18, EINVAL in pidfd_open(2)).
 */
const NO_PROCESS = ["ESRCH", "ENOENT", "EINVAL"] as const;

/** A descriptor that means this process and never a later one with its number. Undefined if there is none. */
export function openPidfd(pid: number): Fd | undefined {
  try {
    return syscallFd("pidfd_open", `open process ${pid}`, pid, 0);
  } catch (error) {
    if (hasCode(error, ...NO_PROCESS)) return undefined;
    throw error;
  }
}

/** As openPidfd, but only if it is the process that started then. */
export function openProcess(pid: number, startTime: number): Fd | undefined {
  using stack = new DisposableStack();
  const fd = openPidfd(pid);
  if (fd === undefined) return undefined;
  stack.use(fd);
  if (!isAlive(pid, startTime)) return undefined;
  stack.move();
  return fd;
}

/** False if the process has ended. */
export function signalProcess(pidfd: Fd, signal: number): boolean {
  const result = rawSyscall("pidfd_send_signal", pidfd.number, signal, null, 0);
  if (result === -ESRCH) return false;
  if (result < 0) throw syscallError(-result, `send signal ${signal}`);
  return true;
}

/** Waits until the process has ended; it need not be a child. False after the timeout. */
export function waitEnded(pidfd: Fd, timeoutMs: number): boolean {
  return waitReadable(pidfd, timeoutMs);
}

/** Orphans among the descendants of this process become its children. */
export function becomeSubreaper(): void {
  syscall("prctl", "become a subreaper", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/**
 * Waits for a child of this process, without keeping the program from anything else only if it has ended already.
 * The answer is what a shell calls its exit code: 128 + signal if a signal ended it. Undefined if it is no child.
 */
export function waitChild(pid: number): number | undefined {
  const status = Buffer.alloc(4);
  for (;;) {
    const result = rawSyscall("wait4", pid, status, 0, null);
    if (result === -EINTR) continue;
    if (result === -ECHILD) return undefined;
    if (result < 0) throw syscallError(-result, `wait for process ${pid}`);
    const word = status.readInt32LE(0);
    const signal = word & 0x7f;
    return signal === 0 ? (word >> 8) & 0xff : 128 + signal;
  }
}

/**
 * "KILL", "SIGKILL", "kill", "9", "RTMIN+3": its number, or undefined.
 */
export function parseSignal(text: string): number | undefined {
  if (/^[0-9]{1,2}$/.test(text)) {
    const number = Number(text);
    return number <= 64 ? number : undefined;
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realTime = /^RT(MIN|MAX)([+-][0-9]{1,2})?$/.exec(name);
  if (realTime !== null) {
    const number = (realTime[1] === "MIN" ? 34 : 64) + Number(realTime[2] ?? 0);
    return number >= 34 && number <= 64 ? number : undefined;
  }
  const found = Object.entries(constants.signals).find(([known]) => known === `SIG${name}`);
  return found?.[1];
}
