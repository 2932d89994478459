import type { ProcessConfig } from "../formats/oci/runtime-config/types.ts";

export type Inherited = {
  readonly process: ProcessConfig;
  /** From descriptor 3 on. */
  readonly preserveDescriptors: number;
};

const MAX_DESCRIPTORS = 256;

/**
 * The sockets of sd_listen_fds(3) that were meant for this very process are handed on, before those of `--preserve-fds`, and the
 * container's program is told of them: as runc, with LISTEN_PID=1.
 * @param environment of the runtime
 * @param pid of the runtime
 */
export function withListenDescriptors(
  { process, preserveDescriptors }: Inherited,
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): Inherited {
  const { LISTEN_FDS: count = "", LISTEN_PID: meant = "" } = environment;
  if (!/^[0-9]{1,3}$/.test(count) || meant !== String(pid)) return { process, preserveDescriptors };
  const sockets = Number(count);
  if (sockets === 0 || sockets > MAX_DESCRIPTORS) return { process, preserveDescriptors };
  const env = [...process.env, `LISTEN_FDS=${sockets}`, "LISTEN_PID=1"];
  return { process: { ...process, env }, preserveDescriptors: preserveDescriptors + sockets };
}
