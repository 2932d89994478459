import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { RootDisk } from "./root-disk.ts";

export type Boot = {
  readonly root: RootDisk;
  readonly work: string;
  readonly results: string;
  /** An existing directory: what the guest writes on its root and work disks, and the console. */
  readonly scratch: string;
  readonly limitMs: number;
  readonly signal: AbortSignal;
  /** Lines of the guest's console that are for people. */
  readonly onLine: (line: string) => void;
};

export type Ended = { readonly why: "off" | "limit" | "interrupted" | "failed"; readonly console: string };

/**
 * What an emulated processor is slow at, and no test is about: guards against other processors' faults, clearing pages twice. The HPET
 * is slow, too, but the kernel measures the TSC against it, and on a busy host that made a clock that ran five times too fast.
 */
const FASTER = "mitigations=off init_on_alloc=0";

/** What the guest says to people begins with this. */
const SPOKEN = "VM ";

/**
 * A machine without network and without hardware support, from its start until it is off. It is ended in every case: at the
 * limit, by the signal, and by the kernel if this process is killed.
 */
export async function boot(options: Boot): Promise<Ended> {
  const { root, work, results, scratch, signal } = options;
  mkdirSync(scratch, { recursive: true });
  const drive = (file: string, more: string): string[] => [
    "-drive",
    `file=${file},if=virtio,format=raw,cache=unsafe${more}`,
  ];
  const argv = [
    ...["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"],
    // With cx16 the kernel crashes under QEMU 7.2's emulation; with erms it clears pages byte by byte, 40 times slower.
    ...["-accel", "tcg,thread=multi", "-cpu", "max,-cx16,-erms", "-smp", "2", "-m", "3G"],
    ...["-nographic", "-no-reboot", "-net", "none", "-kernel", root.kernel, "-initrd", root.initrd],
    ...["-append", `console=ttyS0 quiet panic=1 systemd.show_status=false ${FASTER}`],
    ...drive(root.disk, ",snapshot=on"),
    ...drive(work, ",snapshot=on"),
    ...drive(results, ""),
  ];
  const console = join(scratch, "console.log");
  // snapshot=on keeps what is written in files without a name in TMPDIR.
  const child = Bun.spawn(argv, {
    env: { ...process.env, TMPDIR: scratch },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  let why: Ended["why"] | undefined;
  const end = (reason: Ended["why"]): void => {
    why ??= reason;
    child.kill("SIGKILL");
  };
  const onAbort = (): void => end("interrupted");
  signal.addEventListener("abort", onAbort);
  const limit = setTimeout(() => end("limit"), options.limitMs);
  try {
    if (signal.aborted) onAbort();
    await copyConsole(child.stdout, console, options.onLine);
    const code = await child.exited;
    return { why: why ?? (code === 0 ? "off" : "failed"), console };
  } finally {
    clearTimeout(limit);
    signal.removeEventListener("abort", onAbort);
    child.kill("SIGKILL");
  }
}

async function copyConsole(
  output: ReadableStream<Uint8Array>,
  file: string,
  onLine: (line: string) => void,
): Promise<void> {
  const writer = Bun.file(file).writer();
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of output) {
    writer.write(chunk);
    await writer.flush();
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith(SPOKEN)) onLine(line.slice(SPOKEN.length).trim());
  }
  await writer.end();
}
