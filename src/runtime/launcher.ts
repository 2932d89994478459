import { chmodSync, mkdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import { duplicate, type Fd } from "../sys/fd.ts";
import { hasCode } from "../sys/ffi.ts";
import { sealedCopy, sealedMemfd } from "../sys/memfd.ts";
import { readStat } from "../sys/pid.ts";
import { learnSenders, listenUnix, receiveMessage, sendMessage, socketPair } from "../sys/socket.ts";
import {
  decodeReport,
  encodeCommand,
  encodeDescriptor,
  MAX_PACKET,
  PLAYER_FDS,
  type Trouble,
} from "./control-protocol.ts";
import { FILES, nameProcess, PLAYER_NAME, type ProcessName } from "./state.ts";

const SIGKILL = 9;
/** Where liblxc keeps its locks: a directory with the path of each lxcpath. */
const LXC_LOCKS = "/run/lxc/lock";

/** A user namespace gets a sysfs only where it sees one that may be written. Optional: with another's network it gets none. */
const WHOLE_SYSFS = "lxc.mount.entry = sysfs sys sysfs nosuid,nodev,noexec,optional,create=dir 0 0";

/** What could not be opened before, in the place of the descriptor with this index. It stays the caller's. */
export type LateDescriptor = { readonly index: number; readonly fd: Fd };

export type LaunchRequest = {
  readonly id: string;
  /** The container's state directory: liblxc's files are made there. */
  readonly directory: string;
  readonly lxcConfig: string;
  /** The launch program's bytes. */
  readonly program: Uint8Array;
  /** Path of its executable. */
  readonly player: string;
  /** liblxc goes through the state directory as a user who is not root on the host. */
  readonly inUserNamespace: boolean;
  /** In the order of the program's indices. They stay the caller's. */
  readonly descriptors: readonly Fd[];
  /** At each await-launcher: init waits meanwhile, and gets what is returned. */
  readonly onWaiting: (init: number, operation: number) => Promise<readonly LateDescriptor[]>;
  readonly onWarning: (trouble: Trouble) => void;
};

/** An init that is complete, waits for `start`, and is a child of this process's subreaper; nothing of liblxc is left. */
export type Launched = Disposable & {
  readonly init: ProcessName;
  /** Tells init that it is recorded. Disposing without this ends it. */
  readonly keep: () => void;
};

/** Makes containers. Behind it is how: liblxc's monitor lives only as long as it is needed. */
export type Launcher = {
  readonly launch: (request: LaunchRequest) => Promise<Launched>;
};

/** @param program path of lxc-start */
export function lxcLauncher(program = "/usr/bin/lxc-start"): Launcher {
  return { launch: (request) => launch(program, request) };
}

async function launch(program: string, request: LaunchRequest): Promise<Launched> {
  using parts = new DisposableStack();
  const [control, theirControl] = socketPair("seqpacket");
  parts.use(theirControl);
  const player = parts.use(sealedCopy(PLAYER_NAME, request.player));
  const programFile = parts.use(sealedMemfd("launch-program", request.program));
  const startSocket = join(request.directory, FILES.startSocket);
  const start = parts.use(listenUnix(startSocket, "seqpacket"));
  chmodSync(startSocket, 0o600);
  using onFailure = new DisposableStack();
  onFailure.use(control);
  learnSenders(control);
  const inherited: number[] = [];
  inherited[PLAYER_FDS.program] = programFile.number;
  inherited[PLAYER_FDS.player] = player.number;
  inherited[PLAYER_FDS.control] = theirControl.number;
  inherited[PLAYER_FDS.start] = start.number;
  for (const [i, fd] of request.descriptors.entries()) inherited[PLAYER_FDS.firstDescriptor + i] = fd.number;
  // liblxc complains to stderr even when it is told to be quiet, and that would be in the container's log.
  const stdio = inherited.length;
  // Bun takes the number 0 for no number, and the child gets whatever descriptor is in that place.
  for (const fd of [0, 1, 2]) inherited.push(parts.use(duplicate(fd)).number);
  writeLxcFiles(request, stdio);
  const monitor = startMonitor(program, request, inherited);
  // From here on only the monitor and init hold the other end: its end is theirs.
  parts.dispose();
  let init: number;
  try {
    init = await untilReady(control, request);
  } catch (error) {
    control[Symbol.dispose]();
    await endMonitor(monitor);
    throw error;
  }
  await endMonitor(monitor);
  const name = adopted(init, monitor.pid);
  onFailure.move();
  return {
    init: name,
    keep() {
      sendMessage(control, encodeCommand("keep"));
      control[Symbol.dispose]();
    },
    [Symbol.dispose]: () => control[Symbol.dispose](),
  };
}

function writeLxcFiles(request: LaunchRequest, stdio: number): void {
  mkdirSync(join(request.directory, FILES.lxcPath), { recursive: true, mode: 0o700 });
  // lxc.rootfs.mount stays liblxc's own: Debian's AppArmor profile of lxc-start allows mounts there alone.
  const own = [
    // To execute a descriptor, and for links that liblxc would make in the image; the player takes them away again.
    "lxc.mount.entry = proc proc proc nosuid,nodev,noexec,create=dir 0 0",
    "lxc.mount.entry = tmpfs dev tmpfs nosuid,noexec,mode=0755,size=64k,create=dir 0 0",
    ...(request.inUserNamespace ? [WHOLE_SYSFS] : []),
    `lxc.init.cmd = /proc/self/fd/${PLAYER_FDS.player} ${stdio}${request.inUserNamespace ? " user" : ""}`,
  ];
  if (request.inUserNamespace) openTheWay(request.directory);
  const text = [request.lxcConfig, ...own, ""].join("\n");
  writeFileSync(join(request.directory, FILES.lxcConfig), text, { mode: 0o600 });
}

/** Whoever knows a name may go through; nobody may list, and no file or socket here is for anybody but root. */
function openTheWay(directory: string): void {
  const places = [dirname(directory), directory, join(directory, FILES.lxcPath)];
  for (const place of places) chmodSync(place, (statSync(place).mode & 0o7777) | 0o111);
}

function startMonitor(program: string, request: LaunchRequest, inherited: readonly number[]): Bun.Subprocess {
  const { directory, id } = request;
  return Bun.spawn(
    [
      program,
      "-F",
      "-q",
      "-n",
      id,
      "-P",
      join(directory, FILES.lxcPath),
      "-f",
      join(directory, FILES.lxcConfig),
      "-l",
      "ERROR",
      "-o",
      join(directory, FILES.lxcLog),
    ],
    {
      stdio: ["ignore", "ignore", "ignore", ...inherited.slice(3)],
      env: {
        // With newuidmap in PATH, liblxc lets it write the id maps, within /etc/subuid; without, root's word counts.
        PATH: "/nonexistent",
        // liblxc takes the number for the highest descriptor that init inherits, not for a count.
        LISTEN_FDS: String(inherited.length - 1),
      },
      detached: true,
    },
  );
}

/** @returns init's pid as this process sees it */
async function untilReady(control: Fd, request: LaunchRequest): Promise<number> {
  for (;;) {
    const message = receiveMessage(control, { bytes: MAX_PACKET, descriptors: 1 });
    if (message === undefined) throw new AtomfsError("failed", lxcFailure(request.directory));
    const { sender } = message;
    const report = decodeReport(message.bytes);
    switch (report.kind) {
      case "error":
        throw new AtomfsError("failed", report.text);
      case "warning":
        request.onWarning(report);
        break;
      case "waiting":
        for (const { index, fd } of await request.onWaiting(senderOf(sender), report.operation))
          sendMessage(control, encodeDescriptor(index), [fd]);
        sendMessage(control, encodeCommand("continue"));
        break;
      case "ready":
        return senderOf(sender);
      default:
        for (const fd of message.descriptors) fd[Symbol.dispose]();
        throw new AtomfsError("failed", `The player said ${report.kind} before it was ready`);
    }
  }
}

function senderOf(sender: number | undefined): number {
  if (sender === undefined || sender <= 0) {
    throw new AtomfsError("failed", "The container's init is in no PID namespace that can be seen from here");
  }
  return sender;
}

/** What liblxc complained about first; its exit code says nothing. */
function lxcFailure(directory: string): string {
  let log = "";
  try {
    log = readFileSync(join(directory, FILES.lxcLog), "utf8");
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
  const causes = log.split("\n").flatMap((line) => {
    const match = / ERROR +[\w-]+ - [^:]+:[^:]+:[0-9]+ - (.*)$/.exec(line);
    return match === null ? [] : [match[1] ?? ""];
  });
  // Each caller adds that something it called has failed.
  const [cause] = causes;
  return `lxc-start could not make the container: ${cause ?? "it ended without a word"}`;
}

/** Ends liblxc's monitor for good: what it started is then the subreaper's. */
async function endMonitor(monitor: Bun.Subprocess): Promise<void> {
  monitor.kill(SIGKILL);
  await monitor.exited;
}

/** An init that is still the monitor's child would be reaped by nobody. */
function adopted(init: number, monitor: number): ProcessName {
  const name = nameProcess(init);
  const stat = readStat(init);
  if (name === undefined || stat === undefined) {
    throw new AtomfsError("failed", "The container's init ended before it was recorded");
  }
  if (stat.parent === monitor) {
    throw new AtomfsError("failed", `The container's init ${init} is still a child of lxc-start`);
  }
  return name;
}

/**
 * Removes what liblxc leaves outside the state directory.
 */
export function removeLxcTraces(directory: string): void {
  const locks = join(LXC_LOCKS, directory);
  rmSync(join(locks, FILES.lxcPath), { recursive: true, force: true });
  try {
    rmdirSync(locks);
  } catch (error) {
    // The directories above may be in the making for another container.
    if (!hasCode(error, "ENOENT", "ENOTEMPTY")) throw error;
  }
}
