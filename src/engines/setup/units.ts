/* systemd units that `atomfs install` makes: a service that runs once, and the timer that starts it. */

import { NODE_KUBECONFIGS } from "../kubernetes/node-credentials.ts";

export type Timer = {
  /** Of both units, without their suffix. */
  readonly name: string;
  readonly service: string;
  readonly timer: string;
  readonly needsKubernetes: boolean;
};

export const UNITS = "/usr/local/lib/systemd/system";
export const NOTE = "# Made by `atomfs install`, removed by `atomfs uninstall` unless it was changed.\n";

/** Where Debian's prometheus-node-exporter looks. */
const TEXTFILE_DIRECTORY = "/var/lib/prometheus/node-exporter";
export const METRICS_FILE: string = `${TEXTFILE_DIRECTORY}/atomfs.prom`;

const STORE_EXISTS = "ConditionPathExists=/var/lib/atomfs/meta.json";

export const TIMERS: readonly Timer[] = [
  {
    name: "atomfs-gc",
    service: service({
      description: "Remove what no image or container needs from AtomFS's store",
      conditions: [STORE_EXISTS],
      verb: "gc --every 1h",
      // It waits for whoever adds to the store.
      limit: "6h",
    }),
    // As often as kubelet looks whether images must go: on a disk that is nearly full it counts on the room that this makes.
    timer: timer("Hourly clean-up of AtomFS's store, at once where the disk is nearly full", [
      "OnCalendar=*:0/5",
      "RandomizedDelaySec=1min",
    ]),
    needsKubernetes: false,
  },
  {
    name: "atomfs-metrics",
    service: service({
      description: "Metrics of AtomFS for Prometheus' node_exporter",
      conditions: [STORE_EXISTS, `ConditionPathIsDirectory=${TEXTFILE_DIRECTORY}`],
      verb: `metrics --output ${METRICS_FILE}`,
      limit: "15min",
    }),
    timer: timer("Metrics of AtomFS every five minutes", ["OnCalendar=*:0/5", "RandomizedDelaySec=1min"]),
    needsKubernetes: false,
  },
  {
    name: "atomfs-report",
    service: service({
      description: "Tell Kubernetes which pods of this node run outdated",
      conditions: [STORE_EXISTS, ...NODE_KUBECONFIGS.map((path) => `ConditionPathExists=|${path}`)],
      verb: "report",
      limit: "15min",
      settings: [
        "# Without it there is nothing to report with.",
        "ExecCondition=/bin/sh -c 'command -v kubectl'",
      ],
    }),
    timer: timer("Report to Kubernetes every five minutes", ["OnCalendar=*:0/5", "RandomizedDelaySec=1min"]),
    needsKubernetes: true,
  },
];

type Service = {
  readonly description: string;
  readonly conditions: readonly string[];
  readonly verb: string;
  /** A oneshot service has no limit of its own, and its timer does not start it while it runs. */
  readonly limit: string;
  readonly settings?: readonly string[];
};

/** Exit code 3 stays a failure for systemd: of these verbs it says that something was not done, not what runs outdated. */
function service({ description, conditions, verb, limit, settings = [] }: Service): string {
  return `${NOTE}[Unit]
Description=${description}
${conditions.join("\n")}

[Service]
Type=oneshot
TimeoutStartSec=${limit}
${settings.map((line) => `${line}\n`).join("")}ExecStart=/usr/local/bin/atomfs ${verb}
Nice=10
IOSchedulingClass=idle
`;
}

function timer(description: string, lines: readonly string[]): string {
  return `${NOTE}[Unit]
Description=${description}

[Timer]
${lines.join("\n")}

[Install]
WantedBy=timers.target
`;
}
