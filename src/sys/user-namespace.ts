import { constants, openSync, readlinkSync, writeFileSync } from "node:fs";
import { AtomfsError } from "../core/errors.ts";
import { Fd } from "./fd.ts";

/** A line of a user namespace's map (user_namespaces(7)). */
export type IdRange = { readonly containerId: number; readonly hostId: number; readonly size: number };

export type IdMaps = { readonly uids: readonly IdRange[]; readonly gids: readonly IdRange[] };

/** A process that only has to be there takes milliseconds; a machine that is out of memory must not hang us. */
const PATIENCE_MS = 10_000;

/**
 * A user namespace with these maps, which lives as long as its descriptor: what an id-mapped mount is told its map by. A
 * process makes it (`unshare`), since only one that is inside can.
 * @throws AtomfsError "failed"
 */
export function makeUserNamespace({ uids, gids }: IdMaps): Fd {
  const child = Bun.spawn(["unshare", "--user", "--", "cat"], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  try {
    const own = readlinkSync("/proc/self/ns/user");
    const end = performance.now() + PATIENCE_MS;
    while (readlinkSync(`/proc/${child.pid}/ns/user`) === own) {
      if (performance.now() > end)
        throw new AtomfsError("failed", "Cannot make a user namespace: `unshare` does not answer");
      Bun.sleepSync(1);
    }
    writeFileSync(`/proc/${child.pid}/uid_map`, linesOf(uids));
    writeFileSync(`/proc/${child.pid}/gid_map`, linesOf(gids));
    return new Fd(openSync(`/proc/${child.pid}/ns/user`, constants.O_RDONLY));
  } catch (cause) {
    if (cause instanceof AtomfsError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AtomfsError("failed", `Cannot make a user namespace for an id-mapped mount: ${why}`, { cause });
  } finally {
    child.kill("SIGKILL");
  }
}

function linesOf(ranges: readonly IdRange[]): string {
  return ranges.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`).join("");
}
