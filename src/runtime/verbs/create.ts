import { rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { AtomfsError } from "../../core/errors.ts";
import { parseRuntimeConfig } from "../../formats/oci/runtime-config/parse.ts";
import type { RuntimeConfig } from "../../formats/oci/runtime-config/types.ts";
import { hasCode } from "../../sys/ffi.ts";
import { readFileBounded } from "../../sys/files.ts";
import { openProcess } from "../../sys/pid.ts";
import { connectUnix, sendMessage } from "../../sys/socket.ts";
import { isOfRoot, type RootAnnotations } from "../at-create-outcome.ts";
import { listProcesses, removeCgroups } from "../cgroups.ts";
import type { ForegroundConsole } from "../foreground-console.ts";
import { runHostHooks } from "../host-hooks.ts";
import type { CreateOptions } from "../invocation.ts";
import type { Launched, Launcher } from "../launcher.ts";
import { ociState } from "../oci-state.ts";
import type { Preparation, PreparedCgroups, PreparedLaunch } from "../prepared-launch.ts";
import type { Session } from "../session.ts";
import {
  type ContainerRecord,
  createDirectory,
  FILES,
  type Held,
  type ProcessName,
  replaceFile,
  writeRecord,
} from "../state.ts";
import { destroy } from "./delete.ts";

const MAX_CONFIG_BYTES = 16 * 1024 * 1024;

/** What makes a container out of a prepared launch. */
export type Maker = {
  readonly prepare: Preparation;
  readonly launcher: Launcher;
  /** Puts what belongs there under the container's root, before anything is prepared on it. */
  readonly placeRoot?: (
    session: Session,
    place: { bundle: string; config: RuntimeConfig },
  ) => Promise<RootAnnotations>;
};

/** `create ID`: afterwards init waits for `start`, and its pid is in the pid file. */
export async function createContainer(
  session: Session,
  options: CreateOptions,
  maker: Maker,
): Promise<number> {
  using held = createDirectory(session.global.root, options.id);
  await createHeld(session, held, options, maker);
  return 0;
}

/** Leaves nothing behind if it fails. @param openConsole for a container in the foreground */
export async function createHeld(
  session: Session,
  held: Held,
  options: CreateOptions,
  maker: Maker,
  openConsole?: () => ForegroundConsole,
): Promise<ContainerRecord> {
  let record: ContainerRecord | undefined;
  const remember = (next: ContainerRecord): void => {
    writeRecord(held, next);
    record = next;
  };
  try {
    return await make(session, held, options, maker, remember, openConsole);
  } catch (error) {
    try {
      await destroy(session, held, options.id, record);
    } catch (second) {
      // What went wrong first is what matters; `delete --force` has another try.
      session.warn(second instanceof Error ? second.message : String(second));
    }
    throw error;
  }
}

async function make(
  session: Session,
  held: Held,
  options: CreateOptions,
  maker: Maker,
  remember: (record: ContainerRecord) => void,
  openConsole: (() => ForegroundConsole) | undefined,
): Promise<ContainerRecord> {
  const bundle = resolve(options.bundle);
  const bytes = readConfig(bundle);
  const config = parseRuntimeConfig(bytes);
  tellUnknown(session, config);
  const ofRoot = (await maker.placeRoot?.(session, { bundle, config })) ?? {};
  const { directory } = held;
  const prepared = maker.prepare(session, { options, bundle, directory, config, openConsole });
  for (const warning of prepared.warnings) session.warn(warning);
  const record = newRecord(session, options, bundle, prepared, ofRoot);
  refuseOccupied(ownDirectories(prepared.cgroups));
  remember(record);
  replaceFile(join(held.directory, FILES.config), bytes, 0o600);
  prepared.cgroups.beforeLaunch();
  using launched = await launch(session, held, record, prepared, maker.launcher).catch(async (error) => {
    throw (await memoryFull(prepared)) ?? error;
  });
  removeCgroups(prepared.cgroups.ofMonitor);
  const created = { ...record, cgroups: prepared.cgroups.directories, init: launched.init };
  remember(created);
  if (options.pidfdSocket !== undefined) sendPidfd(options.pidfdSocket, launched.init);
  announce(options.pidFile, launched);
  return created;
}

const MAX_UNKNOWN = 20;

/** runtime-spec has them ignored; who wonders why they do nothing finds them in the log. */
function tellUnknown(session: Session, { unknown }: RuntimeConfig): void {
  if (unknown.length === 0) return;
  const shown = unknown.slice(0, MAX_UNKNOWN).map((name) => JSON.stringify(name.slice(0, 100)));
  const more = unknown.length - shown.length;
  const rest = more === 0 ? "" : ` and ${more} more`;
  session.log("info", `config.json: ignored, because it is not known: ${shown.join(", ")}${rest}`);
}

function readConfig(bundle: string): Buffer {
  try {
    return readFileBounded(join(bundle, "config.json"), MAX_CONFIG_BYTES);
  } catch (error) {
    if (!hasCode(error, "ENOENT", "ENOTDIR")) throw error;
    throw new AtomfsError("not-found", `JSON specification file config.json not found in ${bundle}`);
  }
}

function newRecord(
  session: Session,
  { id, noNewKeyring }: CreateOptions,
  bundle: string,
  prepared: PreparedLaunch,
  ofRoot: RootAnnotations,
): ContainerRecord {
  const { directories, ofMonitor } = prepared.cgroups;
  return {
    id,
    // Until liblxc's monitor has ended, its directories are the container's.
    cgroups: [...directories, ...ofMonitor],
    bundle,
    rootfs: prepared.rootfs,
    created: new Date().toISOString(),
    owner: process.getuid?.() === 0 ? "root" : String(process.getuid?.()),
    annotations: { ...withoutOurs(prepared.annotations), ...ofRoot },
    noNewKeyring,
    cgroupPath: prepared.cgroups.path,
    hasProcess: prepared.hasProcess,
    hooks: { poststart: prepared.hooks.poststart, poststop: prepared.hooks.poststop },
    ociVersion: prepared.ociVersion,
    cgroupManager: session.global.cgroupManager,
    systemdUnit: prepared.cgroups.systemdUnit,
    init: undefined,
    started: false,
  };
}

/** What AtomFS says of a root is AtomFS's to say, not the one's who wrote config.json. */
function withoutOurs(annotations: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations).filter(([key]) => !isOfRoot(key)));
}

/** With the systemd driver the whole scope is the container's. */
function ownDirectories({ directories, systemdUnit }: PreparedCgroups): readonly string[] {
  return systemdUnit === undefined ? directories : directories.map((directory) => dirname(directory));
}

/** Init is killed without a word where it has less memory than it takes to begin: runc's text. */
async function memoryFull(prepared: PreparedLaunch): Promise<AtomfsError | undefined> {
  const { countOutOfMemory } = await import("../cgroup-statistics.ts");
  if (countOutOfMemory(prepared.cgroups.directories) === 0n) return undefined;
  return new AtomfsError("failed", "container init was OOM-killed (memory limit too low?)");
}

/** A group with processes in it is somebody else's; an empty one is a left-over, or made by the caller for us. */
function refuseOccupied(directories: readonly string[]): void {
  const [directory] = directories.filter((path) => listProcesses([path]).length > 0);
  if (directory === undefined) return;
  throw new AtomfsError(
    "failed",
    `The control group ${directory} is not empty: it belongs to other processes`,
  );
}

async function launch(
  session: Session,
  held: Held,
  record: ContainerRecord,
  prepared: PreparedLaunch,
  launcher: Launcher,
): Promise<Launched> {
  using opened = new DisposableStack();
  let waited = false;
  return await launcher.launch({
    id: record.id,
    directory: held.directory,
    lxcConfig: prepared.lxcConfig,
    program: prepared.program,
    player: prepared.player,
    inUserNamespace: prepared.inUserNamespace,
    descriptors: prepared.openDescriptors(opened),
    onWarning: (trouble) => session.warn(trouble.text),
    async onWaiting(pid) {
      if (waited) return [];
      waited = true;
      for (const warning of prepared.cgroups.whileWaiting()) session.warn(warning);
      for (const stage of ["prestart", "createRuntime"] as const)
        await runHostHooks(stage, prepared.hooks[stage], { ...ociState(record, "creating"), pid });
      return prepared.openLateDescriptors(opened);
    },
  });
}

/** The pid file is there before init may live without us, and it is not there if there is no container. */
function announce(pidFile: string | undefined, launched: Launched): void {
  using onFailure = new DisposableStack();
  if (pidFile !== undefined) {
    writePidFile(pidFile, launched.init.pid);
    onFailure.defer(() => rmSync(pidFile, { force: true }));
  }
  launched.keep();
  onFailure.move();
}

/** Decimal digits and nothing else: conmon-rs takes no newline. */
export function writePidFile(path: string, pid: number): void {
  replaceFile(resolve(path), String(pid));
}

/** One byte and the descriptor, as for consoles. */
export function sendPidfd(socketPath: string, name: ProcessName): void {
  using pidfd = openProcess(name.pid, name.startTime);
  if (pidfd === undefined) throw new AtomfsError("failed", `process ${name.pid} has ended`);
  using socket = connectUnix(resolve(socketPath), "stream");
  sendMessage(socket, Buffer.from("pidfd"), [pidfd]);
}
