import { AtomfsError } from "../../core/errors.ts";
import { isFields, text } from "../json-fields.ts";

/*
 * What a node tells the cluster: an annotation of its Node that names the containers whose root is not their image's current
 * molecule. A pod is named by its uid: a report that is older than the pods of today says nothing of them.
 */

export const REPORT_ANNOTATION = "io.atomfs.report";

export type OutdatedContainer = {
  readonly namespace: string;
  readonly pod: string;
  /** Of the pod. */
  readonly uid: string;
  readonly container: string;
  /** "unknown" could not be looked at, and may be outdated. */
  readonly root: "outdated" | "unknown";
};

/** The node's set of fixes. */
export type ReportedFixes = {
  /** How often the set was changed on this node: it says nothing about other nodes. */
  readonly generation: number;
  /** RFC 3339; absent if there never was a fix. */
  readonly changedAt?: string;
  /** Ascending. Equal lists are equal fixes, on any node. */
  readonly ids: readonly string[];
};

export type NodeReport = {
  /** RFC 3339. */
  readonly at: string;
  /** Absent from reports of earlier versions. */
  readonly fixes?: ReportedFixes;
  readonly outdated: readonly OutdatedContainer[];
};

export function formatReport(report: NodeReport): string {
  return JSON.stringify(report);
}

/** @throws AtomfsError "bad-data": who may write a Node's annotations decides what is restarted */
export function parseReport(node: string, json: string): NodeReport {
  const bad = (why: string): AtomfsError =>
    new AtomfsError("bad-data", `The annotation ${REPORT_ANNOTATION} of node ${node} is no report: ${why}`);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new AtomfsError("bad-data", `The annotation ${REPORT_ANNOTATION} of node ${node} is no JSON`, {
      cause,
    });
  }
  const at = isFields(value) ? text(value, "at") : undefined;
  const list = isFields(value) ? value["outdated"] : undefined;
  if (at === undefined || Number.isNaN(Date.parse(at))) throw bad("it has no time");
  if (!Array.isArray(list)) throw bad("it has no list");
  const fixes = isFields(value) ? reportedFixes(value["fixes"]) : undefined;
  if (fixes === "bad") throw bad("its fixes are none");
  return {
    at,
    ...(fixes === undefined ? {} : { fixes }),
    outdated: list.map((each: unknown) => {
      const fields = isFields(each) ? each : {};
      const [namespace, pod, uid, container] = (["namespace", "pod", "uid", "container"] as const).map(
        (key) => text(fields, key),
      );
      const root = fields["root"];
      if (namespace === undefined || pod === undefined || uid === undefined || container === undefined)
        throw bad("a container without its pod");
      if (root !== "outdated" && root !== "unknown") throw bad("a container that is not outdated");
      return { namespace, pod, uid, container, root };
    }),
  };
}

function reportedFixes(value: unknown): ReportedFixes | "bad" | undefined {
  if (value === undefined) return undefined;
  if (!isFields(value)) return "bad";
  const { generation, ids } = value;
  const changedAt = text(value, "changedAt");
  const isGeneration = typeof generation === "number" && Number.isSafeInteger(generation) && generation >= 0;
  const areIds = Array.isArray(ids) && ids.every((each) => typeof each === "string");
  if (!isGeneration || !areIds) return "bad";
  return { generation, ...(changedAt === undefined ? {} : { changedAt }), ids };
}
