import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../../core/errors.ts";
import { parseProcess, parseRuntimeConfig } from "../../formats/oci/runtime-config/parse.ts";
import type { NamespaceType, ProcessConfig, RuntimeConfig } from "../../formats/oci/runtime-config/types.ts";
import type { Fd } from "../../sys/fd.ts";
import { readFileBounded } from "../../sys/files.ts";
import { isOwnNamespace, NAMESPACE_FILES } from "../../sys/namespace.ts";
import { openProcess } from "../../sys/pid.ts";
import { attachBeside, attachProcess } from "../cgroups.ts";
import { commandProcess, planExec, withContainers, withOptions } from "../exec-plan.ts";
import { ForegroundConsole } from "../foreground-console.ts";
import type { ExecOptions } from "../invocation.ts";
import { currentStatus } from "../oci-state.ts";
import { cachedSeccomp, findPlayer, homeOf, inheritedBy, LXC_START, withSize } from "../ordinary-maker.ts";
import { playInContainer } from "../player-exec.ts";
import { openDescriptor } from "../preparation.ts";
import { oomScoreOf } from "../process-plan.ts";
import { encodeProgram } from "../program-codec.ts";
import { readHostFacts } from "../read-host-facts.ts";
import type { Session } from "../session.ts";
import { type ContainerRecord, containerDirectory, FILES, type ProcessName } from "../state.ts";
import { ForwardedSignals, waitForAdopted } from "../waiting.ts";
import { sendPidfd, writePidFile } from "./create.ts";
import { existing } from "./state.ts";

const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

/**
 * `exec ID`. Takes no lock: it may last as long as the container.
 * @returns the program's exit code, 0 if detached
 */
export async function execInContainer(session: Session, options: ExecOptions): Promise<number> {
  const record = existing(session, options.id);
  const init = checkRunning(record, options.ignorePaused);
  using pidfd = openProcess(init.pid, init.startTime);
  if (pidfd === undefined) throw notRunning(options.id, "stopped");
  using signals = options.detach ? undefined : new ForwardedSignals();
  const wanted = readProcess(session, record, options);
  await using console = ownConsole(wanted.process, options);
  const name = await play(session, record, init, pidfd, options, wanted, console);
  if (options.pidfdSocket !== undefined) sendPidfd(options.pidfdSocket, name);
  if (options.pidFile !== undefined) writePidFile(options.pidFile, name.pid);
  if (signals === undefined) return 0;
  await console?.attach();
  return await waitForAdopted(name, signals, console);
}

/** A terminal without --console-socket is joined to the one that crio-lxc was called from. */
function ownConsole(process: ProcessConfig, options: ExecOptions): ForegroundConsole | undefined {
  if (!process.terminal || options.consoleSocket !== undefined) return undefined;
  if (!options.detach) return new ForegroundConsole();
  throw new AtomfsError(
    "usage",
    "cannot allocate tty if crio-lxc will detach without setting console socket",
  );
}

type WantedProcess = { readonly config: RuntimeConfig; readonly process: ProcessConfig };

function readProcess(session: Session, record: ContainerRecord, options: ExecOptions): WantedProcess {
  const directory = containerDirectory(session.global.root, record.id);
  const config = parseRuntimeConfig(readFileBounded(join(directory, FILES.config), MAX_DOCUMENT_BYTES));
  const process =
    options.processFile === undefined
      ? commandProcess(config, options)
      : withOptions(withContainers(parseProcess(readFileSync(options.processFile)), config), options);
  return { config, process };
}

function checkRunning(record: ContainerRecord, ignorePaused: boolean): ProcessName {
  const status = currentStatus(record);
  if (status === "paused" && !ignorePaused) {
    throw new AtomfsError("failed", `cannot exec in a paused container: ${record.id}`);
  }
  if (record.init === undefined || status === "stopped" || status === "creating") {
    throw notRunning(record.id, status);
  }
  return record.init;
}

function notRunning(id: string, status: string): AtomfsError {
  return new AtomfsError("failed", `cannot exec in a ${status} container ${id}: container not running`);
}

async function play(
  session: Session,
  record: ContainerRecord,
  init: ProcessName,
  pidfd: Fd,
  options: ExecOptions,
  { config, process }: WantedProcess,
  console: ForegroundConsole | undefined,
): Promise<ProcessName> {
  const directory = containerDirectory(session.global.root, record.id);
  const inherited = inheritedBy({
    process: withSize(process, console?.size),
    preserveDescriptors: options.preserveDescriptors,
  });
  const host = readHostFacts(LXC_START);
  const plan = planExec(config, inherited.process, differentNamespaces(init.pid), pidfd.number, host, {
    preserveDescriptors: inherited.preserveDescriptors,
    home: homeOf(process, `/proc/${init.pid}/root`),
    compileSeccomp: cachedSeccomp,
    keyringOf: record.noNewKeyring === true ? undefined : record.id,
  });
  for (const warning of plan.warnings) session.warn(warning);
  using opened = new DisposableStack();
  const player = findPlayer();
  const places = { directory, consoleSocket: options.consoleSocket ?? console?.socket, player };
  const [, ...others] = plan.descriptors;
  const descriptors = others.map((request, i) => opened.use(openDescriptor(request, i, places)));
  const score = oomScoreOf(process, host);
  return await playInContainer({
    program: encodeProgram(plan),
    player,
    descriptors: [pidfd, ...descriptors],
    onWaiting(pid) {
      if (options.cgroup === undefined) attachBeside(init.pid, record.cgroups, host.cgroups.unified, pid);
      else attachProcess(groupsInside(record, options.cgroup), pid);
      if (score !== undefined) writeFileSync(`/proc/${pid}/oom_score_adj`, String(score));
    },
    onWarning: (trouble) => session.warn(trouble.text),
  });
}

/** @param below a group inside the container's own */
function groupsInside(record: ContainerRecord, below: string): string[] {
  if (below.split("/").includes(".."))
    throw new AtomfsError("usage", `--cgroup ${below} leads out of the container`);
  return record.cgroups.map((directory) => join(directory, below));
}

function differentNamespaces(pid: number): NamespaceType[] {
  const types = Object.keys(NAMESPACE_FILES) as NamespaceType[];
  return types.filter((type) => !isOwnNamespace(`/proc/${pid}/ns/${NAMESPACE_FILES[type]}`, type));
}
