import { readFileSync } from "node:fs";
import { AtomfsError } from "../../core/errors.ts";
import { parseResources } from "../../formats/oci/runtime-config/parse.ts";
import type { ResourcesConfig } from "../../formats/oci/runtime-config/types.ts";
import { planUpdate } from "../cgroup-plan.ts";
import { readLimits } from "../cgroup-statistics.ts";
import { applyWrites } from "../cgroups.ts";
import type { UpdateScalar } from "../invocation.ts";
import { currentStatus } from "../oci-state.ts";
import { LXC_START } from "../ordinary-maker.ts";
import { readHostFacts } from "../read-host-facts.ts";
import type { Session } from "../session.ts";
import { holdDirectory } from "../state.ts";
import { setPropertiesCall } from "../systemd-calls.ts";
import { limitProperties, swapProperty } from "../systemd-plan.ts";
import { busctl } from "../systemd-scope.ts";
import { existing } from "./state.ts";

type UpdateOptions = {
  readonly id: string;
  readonly resources: string | undefined;
  readonly scalars: ReadonlyMap<UpdateScalar, string>;
};

/** `update ID`: new limits for a running container. */
export function updateContainer(session: Session, options: UpdateOptions): number {
  using _ = holdDirectory(session.global.root, options.id);
  const record = existing(session, options.id);
  const status = currentStatus(record);
  if (status === "stopped" || status === "creating") {
    throw new AtomfsError(
      "failed",
      `cannot update container ${options.id}: container not running (${status})`,
    );
  }
  const current = readLimits(record.cgroups);
  const facts = readHostFacts(LXC_START).cgroups;
  const resources = wantedResources(options);
  const plan = planUpdate(resources, record.cgroupPath, facts, current);
  const properties = [
    ...swapProperty(plan.writes),
    ...limitProperties(resources, facts.layout === "v2", current),
  ];
  // systemd would set its own values again at its next reload.
  if (record.systemdUnit !== undefined && properties.length > 0) {
    busctl(setPropertiesCall(record.systemdUnit, properties));
  }
  for (const warning of [...plan.warnings, ...applyWrites(plan.writes)]) session.warn(warning);
  return 0;
}

function wantedResources({ resources, scalars }: UpdateOptions): ResourcesConfig {
  if (resources === undefined) return parseResources(Buffer.from(scalarDocument(scalars)));
  return parseResources(readFileSync(resources === "-" ? 0 : resources));
}

/** Where in LinuxResources each option goes. */
const FIELDS: Readonly<Record<UpdateScalar, readonly [string, string]>> = {
  "blkio-weight": ["blockIO", "weight"],
  "cpu-burst": ["cpu", "burst"],
  "cpu-idle": ["cpu", "idle"],
  "cpu-period": ["cpu", "period"],
  "cpu-quota": ["cpu", "quota"],
  "cpu-rt-period": ["cpu", "realtimePeriod"],
  "cpu-rt-runtime": ["cpu", "realtimeRuntime"],
  "cpu-share": ["cpu", "shares"],
  "cpu-shares": ["cpu", "shares"],
  "cpuset-cpus": ["cpu", "cpus"],
  "cpuset-mems": ["cpu", "mems"],
  "kernel-memory": ["memory", "kernel"],
  "kernel-memory-tcp": ["memory", "kernelTCP"],
  memory: ["memory", "limit"],
  "memory-reservation": ["memory", "reservation"],
  "memory-swap": ["memory", "swap"],
  "pids-limit": ["pids", "limit"],
};
const TEXTUAL: readonly UpdateScalar[] = ["cpuset-cpus", "cpuset-mems"];

/** The same document that `--resources` names; numbers stay as they are written, whatever their size. */
export function scalarDocument(scalars: ReadonlyMap<UpdateScalar, string>): string {
  const groups = new Map<string, string[]>();
  for (const [name, text] of scalars) {
    const field = FIELDS[name];
    const value = TEXTUAL.includes(name) ? JSON.stringify(text) : numberText(name, text);
    groups.set(field[0], [...(groups.get(field[0]) ?? []), `${JSON.stringify(field[1])}:${value}`]);
  }
  return `{${[...groups].map(([group, fields]) => `${JSON.stringify(group)}:{${fields.join(",")}}`).join(",")}}`;
}

const UNITS: Readonly<Record<string, bigint>> = { "": 1n, b: 1n, k: 1n << 10n, m: 1n << 20n, g: 1n << 30n };

/** "-1", "512m" */
function numberText(name: UpdateScalar, text: string): string {
  const match = /^(-?[0-9]{1,19})([bkmg]?)b?$/i.exec(text);
  const unit = UNITS[match?.[2]?.toLowerCase() ?? ""];
  if (match?.[1] === undefined || unit === undefined) {
    throw new AtomfsError("usage", `--${name} wants a number, not ${JSON.stringify(text)}`);
  }
  return String(BigInt(match[1]) * unit);
}
