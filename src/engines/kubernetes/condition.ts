import { AtomfsError } from "../../core/errors.ts";
import { type Fields, isFields, part, text } from "../json-fields.ts";
import { timestamp } from "./events.ts";
import { formatReport, type NodeReport, REPORT_ANNOTATION } from "./report.ts";

/*
 * What a node's status says: one condition, and the report as annotation, in one update of the status, which may change annotations, too
 * (as kubelet itself does). Pure.
 */

export const CONDITION_TYPE = "AtomfsPodsCurrent";

/** Running containers of pods whose image is in the store, by what their root is; and the others. */
export type PodCounts = {
  readonly current: number;
  readonly outdated: number;
  readonly shadowed: number;
  /** Their roots could not be told. */
  readonly unverified: number;
  /** Of these three, those that a restart does not help. */
  readonly hindered: number;
  /** Of images that AtomFS does not have: nothing is said of these. */
  readonly notOurs: number;
};

export type ConditionState = {
  readonly status: "True" | "False" | "Unknown";
  readonly reason: "PodsCurrent" | "PodsOutdated" | "PodsShadowed" | "PodsUnverified";
  readonly message: string;
};

export function conditionOf(report: NodeReport, counts: PodCounts): ConditionState {
  const { current, outdated, shadowed, unverified, hindered, notOurs } = counts;
  // Where there is no fix, nobody asks whether one is missing.
  const unknown = (report.fixes?.ids.length ?? 0) > 0 ? ", of which nothing is known" : "";
  const parts = [
    `${current} container(s) on their image's current molecule`,
    ...(outdated > 0 ? [`${outdated} on an older one`] : []),
    ...(shadowed > 0 ? [`${shadowed} with own copies of fixed files`] : []),
    ...(unverified > 0 ? [`${unverified} that could not be told`] : []),
    ...(notOurs > 0 ? [`${notOurs} of images that AtomFS does not have${unknown}`] : []),
  ];
  const fixes = report.fixes === undefined ? "" : `; ${fixesText(report.fixes)}`;
  const noCure = hindered > 0 ? `; a restart does not help ${hindered} of them` : "";
  const message = `${parts.join(", ")}${noCure}${fixes}`;
  if (outdated > 0) return { status: "False", reason: "PodsOutdated", message };
  if (shadowed > 0) return { status: "False", reason: "PodsShadowed", message };
  if (unverified > 0) return { status: "Unknown", reason: "PodsUnverified", message };
  return { status: "True", reason: "PodsCurrent", message };
}

function fixesText({ generation, ids }: NonNullable<NodeReport["fixes"]>): string {
  return `${ids.length} fix(es), generation ${generation}`;
}

/**
 * The Node with the report: what else it has stays as it is.
 * @param json the Node, as the API server gave it
 * @param now milliseconds since 1970
 * @throws AtomfsError "failed" for anything but a Node
 */
export function nodeWithReport(json: string, report: NodeReport, state: ConditionState, now: number): object {
  const node = parseNode(json);
  const metadata = part(node, "metadata");
  const status = part(node, "status");
  const before = status["conditions"];
  const conditions: readonly unknown[] = Array.isArray(before) ? before : [];
  const isOurs = (each: unknown): boolean => isFields(each) && each["type"] === CONDITION_TYPE;
  const known = conditions.find(isOurs);
  const heartbeat = timestamp(now);
  const since =
    isFields(known) && known["status"] === state.status ? text(known, "lastTransitionTime") : undefined;
  const own = {
    type: CONDITION_TYPE,
    ...state,
    lastHeartbeatTime: heartbeat,
    lastTransitionTime: since ?? heartbeat,
  };
  const annotations = { ...part(metadata, "annotations"), [REPORT_ANNOTATION]: formatReport(report) };
  return {
    ...node,
    metadata: { ...metadata, annotations },
    status: { ...status, conditions: [...conditions.filter((each) => !isOurs(each)), own] },
  };
}

/**
 * The Node without a report; undefined if it has none.
 * @param json the Node, as the API server gave it
 * @throws AtomfsError "failed" for anything but a Node
 */
export function nodeWithoutReport(json: string): object | undefined {
  const node = parseNode(json);
  const [metadata, status] = [part(node, "metadata"), part(node, "status")];
  const { [REPORT_ANNOTATION]: report, ...annotations } = part(metadata, "annotations");
  const before: unknown = status["conditions"];
  const isOthers = (each: unknown): boolean => !isFields(each) || each["type"] !== CONDITION_TYPE;
  const conditions: readonly unknown[] = Array.isArray(before) ? before : [];
  const others = conditions.filter(isOthers);
  if (report === undefined && others.length === conditions.length) return undefined;
  return { ...node, metadata: { ...metadata, annotations }, status: { ...status, conditions: others } };
}

function parseNode(json: string): Fields {
  let node: unknown;
  try {
    node = JSON.parse(json);
  } catch (cause) {
    throw new AtomfsError("failed", "Cannot understand what kubectl says of the node: it is no JSON", {
      cause,
    });
  }
  if (isFields(node) && node["kind"] === "Node") return node;
  throw new AtomfsError("failed", "Cannot understand what kubectl says of the node: it is no Node");
}
