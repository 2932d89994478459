import { readSync, writeSync } from "node:fs";
import { AtomfsError } from "../core/errors.ts";
import { Fd } from "../sys/fd.ts";
import { hasCode } from "../sys/ffi.ts";
import { writeAll } from "../sys/files.ts";
import { POLLIN, POLLOUT, pollOnce, type Watched } from "../sys/poll.ts";
import { receiveMessage, socketPair } from "../sys/socket.ts";
import {
  openOwnTerminal,
  setNonblocking,
  setWindowSize,
  type WindowSize,
  windowSize,
} from "../sys/terminal.ts";

const CHUNK = 16 * 1024;
const STDIN = new Fd(0);
const STDOUT = 1;

/** A console socket's other end is a program that sends a few bytes with the terminal. */
const MAX_NAME = 100;

/**
 * The terminal of a container in the foreground, joined to the one that crio-lxc was called from: what an engine does behind
 * `--console-socket`.
 */
export class ForegroundConsole implements AsyncDisposable {
  readonly #user: Fd;
  readonly #socket: Fd;
  readonly #theirs: Fd;
  #master: Fd | undefined;
  #guard: RawGuard | undefined;
  #typed: Buffer = Buffer.alloc(0);
  #typing = true;
  readonly #resize = (): void => this.#passSize();

  /** @throws AtomfsError "failed" if there is no terminal */
  constructor() {
    const user = openOwnTerminal();
    if (user === undefined) {
      throw new AtomfsError(
        "failed",
        "Cannot make a terminal: crio-lxc was not called from one; use --console-socket, or a process without terminal",
      );
    }
    this.#user = user;
    [this.#socket, this.#theirs] = socketPair("stream");
  }

  /** What the player gets as console socket. */
  get socket(): Fd {
    return this.#theirs;
  }

  get size(): WindowSize {
    return windowSize(this.#user) ?? { rows: 0, columns: 0 };
  }

  /** The program has been executed: takes its terminal, and every key from the user's. */
  async attach(): Promise<void> {
    this.#theirs[Symbol.dispose]();
    const message = receiveMessage(this.#socket, { bytes: MAX_NAME, descriptors: 1 });
    this.#master = message?.descriptors[0];
    if (this.#master === undefined) throw new AtomfsError("failed", "The container sent no terminal");
    setNonblocking(this.#master);
    process.on("SIGWINCH", this.#resize);
    this.#passSize();
    this.#guard = await RawGuard.open(this.#user);
  }

  /**
   * Passes on what was typed and what was written.
   * @param pidfd of the container's process
   * @returns whether it has ended
   */
  relay(pidfd: Fd, timeoutMs: number): boolean {
    const watched: Watched[] = [{ fd: pidfd, events: POLLIN }];
    const master = this.#master;
    const canType = this.#typing && this.#typed.length === 0;
    if (master !== undefined)
      watched.push({ fd: master, events: this.#typed.length > 0 ? POLLIN | POLLOUT : POLLIN });
    if (master !== undefined && canType) watched.push({ fd: STDIN, events: POLLIN });
    const [ended = 0, output = 0, input = 0] = pollOnce(watched, timeoutMs);
    if (input !== 0) this.#readTyped();
    if (this.#typed.length > 0) this.#writeTyped();
    if (output !== 0) this.#passOutput();
    return ended !== 0;
  }

  /** The process has ended: what it wrote last. Others in its terminal may still write. */
  passRest(): void {
    while (this.#passOutput());
  }

  #readTyped(): void {
    const chunk = Buffer.alloc(CHUNK);
    const size = attempt(() => readSync(STDIN.number, chunk));
    // The end of a file that somebody gave as stdin ends nothing in the container.
    if (size === undefined || size === 0) this.#typing = size !== 0;
    else this.#typed = chunk.subarray(0, size);
  }

  #writeTyped(): void {
    const master = this.#master;
    const size =
      master === undefined ? this.#typed.length : attempt(() => writeSync(master.number, this.#typed));
    this.#typed = this.#typed.subarray(size ?? 0);
  }

  /** @returns whether there was something */
  #passOutput(): boolean {
    const master = this.#master;
    if (master === undefined) return false;
    const chunk = Buffer.alloc(CHUNK);
    const size = attempt(() => readSync(master.number, chunk));
    if (size === undefined) return false;
    if (size === 0) {
      // Nothing in the container has the terminal any more.
      master[Symbol.dispose]();
      this.#master = undefined;
      return false;
    }
    writeAll(STDOUT, chunk.subarray(0, size));
    return true;
  }

  #passSize(): void {
    const size = windowSize(this.#user);
    if (this.#master !== undefined && size !== undefined) setWindowSize(this.#master, size);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off("SIGWINCH", this.#resize);
    await this.#guard?.close();
    for (const fd of [this.#master, this.#socket, this.#theirs, this.#user]) fd?.[Symbol.dispose]();
  }
}

/** @returns undefined if nothing can be done now, 0 at the end: a terminal says it with an error */
function attempt(act: () => number): number | undefined {
  try {
    return act();
  } catch (error) {
    if (hasCode(error, "EAGAIN", "EINTR")) return undefined;
    if (hasCode(error, "EIO")) return 0;
    throw error;
  }
}

/**
 * Sets a terminal to pass on every key, and back. A process of its own does it: however crio-lxc ends, killed too, its end of
 * the pipe closes, and the user's terminal is as it was.
 */
class RawGuard {
  readonly #shell: Bun.Subprocess<"pipe", "pipe", "ignore">;

  private constructor(shell: Bun.Subprocess<"pipe", "pipe", "ignore">) {
    this.#shell = shell;
  }

  static async open(terminal: Fd): Promise<RawGuard> {
    const script = 'was=$(stty -g <&3) && stty raw -echo <&3 && echo && read -r end; stty "$was" <&3';
    const shell = Bun.spawn(["/bin/sh", "-c", script], {
      stdio: ["pipe", "pipe", "ignore", terminal.number],
      // Of another session: the terminal's signals do not reach it, and it may set the terminal from the background.
      detached: true,
    });
    await shell.stdout.getReader().read();
    return new RawGuard(shell);
  }

  async close(): Promise<void> {
    await this.#shell.stdin.end();
    await this.#shell.exited;
  }
}
