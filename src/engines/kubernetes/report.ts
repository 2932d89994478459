import { AtomfsError } from "../../core/errors.ts";
import { type Fields, isFields, text } from "../json-fields.ts";

/*
 * What a node tells the cluster: an annotation of its Node that names the containers that lack files of their image's current
 * molecule. A pod is named by its uid: a report that is older than the pods of today says nothing of them. Nodes and operators
 * may have different versions of AtomFS: keys that a version does not know are ignored, words are kept and said to be unknown.
 */

export const REPORT_ANNOTATION = "io.atomfs.report";

export type ReportedContainer = {
  readonly namespace: string;
  readonly pod: string;
  /** Of the pod. */
  readonly uid: string;
  readonly container: string;
  /** Why a restart does not help: a word of `HINDRANCES`, or of a newer version. Absent: it does. */
  readonly hindrance?: string;
};

export type OutdatedContainer = ReportedContainer & {
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
  /**
   * Their root is the current molecule, but other files cover some of it. Not in `outdated`, which earlier versions take for
   * broken if it has other roots. Absent from their reports.
   */
  readonly shadowed?: readonly ReportedContainer[];
};

export type ReadReport = {
  readonly report: NodeReport;
  /** Roots of entries that were left out, because this version does not know them. */
  readonly unknownRoots: readonly string[];
};

export function formatReport(report: NodeReport): string {
  return JSON.stringify(report);
}

/** @throws AtomfsError "bad-data": who may write a Node's annotations decides what is restarted */
export function parseReport(json: string): ReadReport {
  const bad = (why: string): AtomfsError =>
    new AtomfsError("bad-data", `its annotation ${REPORT_ANNOTATION} is no report: ${why}`);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw bad("it is no JSON");
  }
  if (!isFields(value)) throw bad("it is no object");
  const at = text(value, "at");
  if (at === undefined || Number.isNaN(Date.parse(at))) throw bad("it has no time");
  const fixes = reportedFixes(value["fixes"]);
  if (fixes === "bad") throw bad("its fixes are none");
  const list = (key: string, otherwise?: readonly unknown[]): readonly Fields[] => {
    const found = value[key] ?? otherwise;
    if (!Array.isArray(found)) throw bad("it has no list");
    return found.map((each: unknown) => (isFields(each) ? each : {}));
  };
  const container = (fields: Fields): ReportedContainer => {
    const [namespace, pod, uid, name] = (["namespace", "pod", "uid", "container"] as const).map((key) =>
      text(fields, key),
    );
    if (namespace === undefined || pod === undefined || uid === undefined || name === undefined)
      throw bad("a container without its pod");
    const hindrance = text(fields, "hindrance");
    return { namespace, pod, uid, container: name, ...(hindrance === undefined ? {} : { hindrance }) };
  };
  const unknownRoots = new Set<string>();
  const outdated = list("outdated").flatMap((fields): OutdatedContainer[] => {
    const root = fields["root"];
    if (root === "outdated" || root === "unknown") return [{ ...container(fields), root }];
    if (typeof root !== "string") throw bad("a container without its root");
    unknownRoots.add(shownWord(root));
    return [];
  });
  return {
    report: {
      at,
      ...(fixes === undefined ? {} : { fixes }),
      outdated,
      shadowed: list("shadowed", []).map(container),
    },
    unknownRoots: [...unknownRoots],
  };
}

/** A word of an annotation, which anybody may have written, for a person's terminal. */
export function shownWord(word: string): string {
  return word.slice(0, 60).replace(/[^\x21-\x7e]/g, "?");
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
