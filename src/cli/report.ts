import { existsSync } from "node:fs";
import { hostname } from "node:os";
import type { Command } from "commander";
import { AtomfsError, EXIT_CODES } from "../core/errors.ts";
import type { PodCounts } from "../engines/kubernetes/condition.ts";
import {
  lockEventRecords,
  readEventRecords,
  writeEventRecords,
} from "../engines/kubernetes/event-records.ts";
import { type Observation, planEvents, settleEvents } from "../engines/kubernetes/events.ts";
import { hindranceText } from "../engines/kubernetes/hindrances.ts";
import {
  type KubectlOptions,
  ownNode,
  publishReport,
  removeReport,
  writeEvent,
} from "../engines/kubernetes/kubectl.ts";
import { NODE_KUBECONFIGS } from "../engines/kubernetes/node-credentials.ts";
import type { NodeReport, ReportedContainer, ReportedFixes } from "../engines/kubernetes/report.ts";
import type { State } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { kubectlOptions } from "./cluster.ts";
import { listRows, type Row } from "./container-rows.ts";
import { type Context, openStore } from "./context.ts";
import { observe } from "./pod-observations.ts";

/*
 * The node tells Kubernetes what runs on it: its Node's annotation and condition, and events on the pods.
 */

type ReportOptions = {
  readonly node?: string;
  readonly kubeconfig?: string;
  readonly events: boolean;
  readonly remove?: boolean;
};

export function registerReport(program: Command, context: () => Context): void {
  program
    .command("report")
    .description("tell Kubernetes which pods of this node run outdated: on its Node, and by events")
    .option(
      "--node <name>",
      "the node's name in Kubernetes; default: whose credentials they are, else the host name",
    )
    .option("--kubeconfig <file>", "credentials that may update the node's status; default: kubelet's own")
    .option("--no-events", "write no events on pods")
    .option("--remove", "take the report back: nobody reports for this node any more")
    .action((options: ReportOptions) =>
      options.remove === true ? runRemove(context(), options) : runReport(context(), options),
    );
}

async function runReport(context: Context, options: ReportOptions): Promise<void> {
  using store = openStore(context);
  const rows = (await listRows(context, store)).filter((row) => row.kubernetesPod !== undefined);
  const kubernetes = kubectlOptions(context, withNodeKubeconfig(options));
  const node = await nodeName(options, kubernetes);
  const report: NodeReport = {
    at: new Date().toISOString(),
    fixes: fixesOf(store.state),
    outdated: outdatedOf(rows),
    shadowed: shadowedOf(rows),
  };
  const condition = await publishReport(node, report, countsOf(rows), kubernetes);
  const events = options.events
    ? await tellEvents(store, observe(store.state, rows), {
        node,
        write: (event) => writeEvent(event, kubernetes),
        signal: context.signal,
      })
    : { written: 0, failed: [] };
  if (events.failed.length > 0) {
    context.setExitCode(EXIT_CODES.blocked);
    context.output.say(`note: ${events.failed.length} event(s) not written: ${events.failed[0]}`);
  }
  context.output.answer({ node, ...report, condition, events }, () =>
    [
      `node ${node}: ${condition.reason}: ${condition.message}`,
      ...report.outdated.map((each) => reportedLine(each.root, each)),
      ...(report.shadowed ?? []).map((each) => reportedLine("shadowed", each)),
      ...(options.events ? [`${events.written} event(s) written`] : []),
    ].join("\n"),
  );
}

function reportedLine(root: string, { namespace, pod, container, hindrance }: ReportedContainer): string {
  const noCure = hindrance === undefined ? "" : ` (a restart does not help: ${hindranceText(hindrance)})`;
  return `${root}: ${namespace}/${pod}/${container}${noCure}`;
}

/** What is gone from the Node; events end by themselves. It needs no store. */
async function runRemove(context: Context, options: ReportOptions): Promise<void> {
  const kubernetes = kubectlOptions(context, withNodeKubeconfig(options));
  const node = await nodeName(options, kubernetes);
  const removed = await removeReport(node, kubernetes);
  context.output.answer({ node, removed }, () =>
    removed ? `node ${node}: the report is removed` : `node ${node} has no report`,
  );
}

async function nodeName({ node }: ReportOptions, kubernetes: KubectlOptions): Promise<string> {
  return node ?? (await ownNode(kubernetes)) ?? hostname().toLowerCase();
}

/** kubelet's own, if no others are named. */
function withNodeKubeconfig(options: ReportOptions): ReportOptions {
  if (options.kubeconfig !== undefined || (process.env["KUBECONFIG"] ?? "") !== "") return options;
  const kubeconfig = NODE_KUBECONFIGS.find((path) => existsSync(path));
  return kubeconfig === undefined ? options : { ...options, kubeconfig };
}

function fixesOf({ fixes, fixesGeneration: { number, changedAt } }: State): ReportedFixes {
  const since = changedAt === undefined ? {} : { changedAt };
  return { generation: number, ...since, ids: [...fixes.keys()].sort() };
}

export function outdatedOf(rows: readonly Row[]): NodeReport["outdated"] {
  return rows.flatMap((row) =>
    row.root === "outdated" || row.root === "unknown"
      ? reported(row).map((each) => ({ ...each, root: row.root as "outdated" | "unknown" }))
      : [],
  );
}

export function shadowedOf(rows: readonly Row[]): readonly ReportedContainer[] {
  return rows.flatMap((row) => (row.root === "shadowed" ? reported(row) : []));
}

function reported({ kubernetesPod: pod, name, hindrance }: Row): readonly ReportedContainer[] {
  if (pod === undefined) return [];
  const container = name.split("/").at(-1) ?? name;
  const why = hindrance === undefined ? {} : { hindrance };
  return [{ namespace: pod.namespace, pod: pod.name, uid: pod.uid, container, ...why }];
}

function countsOf(rows: readonly Row[]): PodCounts {
  const count = (root: Row["root"]): number => rows.filter((row) => row.root === root).length;
  return {
    current: count("current"),
    outdated: count("outdated"),
    shadowed: count("shadowed"),
    unverified: count("unknown"),
    hindered: rows.filter((row) => row.hindrance !== undefined).length,
    notOurs: rows.filter((row) => row.root === "not-ours" && row.state === "running").length,
  };
}

type Teller = {
  readonly node: string;
  /** @returns why Kubernetes refused it, if it did */
  readonly write: (event: Parameters<typeof writeEvent>[0]) => Promise<string | undefined>;
  readonly signal: AbortSignal;
};

export type Told = { readonly written: number; readonly failed: readonly string[] };

/**
 * An event that Kubernetes refuses is named and tried again with the next report. Once it does not answer, nothing more is
 * asked of it: each call would take its whole time.
 */
export async function tellEvents(
  store: Store,
  observed: readonly Observation[],
  { node, write, signal }: Teller,
): Promise<Told> {
  using _lock = await lockEventRecords(store.layout, signal);
  const now = Date.now();
  const known = readEventRecords(store.layout);
  const planned = planEvents(known, observed, { now, node });
  const written = new Set<string>();
  const failed: string[] = [];
  for (const each of planned) {
    if (each.write === undefined) continue;
    try {
      const why = await write(each.write);
      if (why === undefined) written.add(each.key);
      else failed.push(why);
    } catch (error) {
      if (!(error instanceof AtomfsError) || error.kind !== "failed") throw error;
      failed.push(error.message);
      break;
    }
  }
  if (known.size > 0 || planned.length > 0)
    writeEventRecords(store.layout, settleEvents(planned, written, now));
  return { written: written.size, failed };
}
