import { run } from "../../sys/process.ts";
import { listProcesses } from "../cgroups.ts";
import { currentStatus } from "../oci-state.ts";
import type { Session } from "../session.ts";
import { existing } from "./state.ts";

/** `ps ID`: the host's pids of everything in the container. */
export async function printProcesses(
  session: Session,
  options: {
    readonly id: string;
    readonly format: "table" | "json";
    readonly psArguments: readonly string[];
  },
): Promise<number> {
  const record = existing(session, options.id);
  const { init } = record;
  const alone = init === undefined || currentStatus(record) === "stopped" ? [] : [init.pid];
  const pids = record.cgroups.length === 0 ? alone : listProcesses(record.cgroups);
  if (options.format === "json") {
    session.print(JSON.stringify(pids));
    return 0;
  }
  const { stdout } = await run(["ps", ...(options.psArguments.length === 0 ? ["-ef"] : options.psArguments)]);
  session.print(onlyPids(stdout.toString("utf8"), new Set(pids)));
  return 0;
}

/** Lines of ps(1) whose column PID is one of these; ps itself cannot be asked for pids and a format of the user's. */
export function onlyPids(text: string, pids: ReadonlySet<number>): string {
  const [heading = "", ...lines] = text.trimEnd().split("\n");
  const column = heading.trim().split(/\s+/).indexOf("PID");
  const kept = lines.filter((line) => pids.has(Number(line.trim().split(/\s+/)[column])));
  return [heading, ...kept].join("\n");
}
