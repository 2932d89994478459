import { parseOciDigest, type Sha256 } from "../../core/digest.ts";
import {
  asObject,
  badOci,
  type JsonObject,
  optionalArray,
  optionalObject,
  optionalString,
  parseDocument,
  stringArray,
  stringMap,
} from "./json.ts";

export type HistoryEntry = {
  readonly created: string | undefined;
  readonly createdBy: string | undefined;
  readonly comment: string | undefined;
  /** True for a step that made no layer. */
  readonly emptyLayer: boolean;
};

/** What AtomFS reads of an image's config (OCI image-spec 1.1, config.md). All else is in `document`. */
export type ImageConfig = {
  readonly architecture: string;
  readonly os: string;
  readonly variant: string | undefined;
  readonly created: string | undefined;
  readonly labels: ReadonlyMap<string, string>;
  readonly env: readonly string[];
  /** SHA-256 of each layer's uncompressed tar, lowest first. */
  readonly diffIds: readonly Sha256[];
  readonly history: readonly HistoryEntry[];
  readonly document: JsonObject;
};

/** @throws AtomfsError "bad-data" */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  const what = "image config";
  const document = parseDocument(bytes, what);
  const rootfs = asObject(document["rootfs"], `${what}, rootfs`);
  const type = optionalString(rootfs, "type", what);
  if (type !== "layers") throw badOci(`${what}: rootfs has type ${type?.slice(0, 100)}, want layers`);
  const runConfig = optionalObject(document, "config", what);
  return {
    architecture: optionalString(document, "architecture", what) ?? "",
    os: optionalString(document, "os", what) ?? "",
    variant: optionalString(document, "variant", what),
    created: optionalString(document, "created", what),
    labels: stringMap(runConfig, "Labels", what),
    env: stringArray(runConfig, "Env", what),
    diffIds: stringArray(rootfs, "diff_ids", what).map(parseOciDigest),
    history: optionalArray(document, "history", what).map((item) =>
      historyEntry(asObject(item, `${what}, history`)),
    ),
    document,
  };
}

function historyEntry(item: JsonObject): HistoryEntry {
  const what = "image config, history";
  return {
    created: optionalString(item, "created", what),
    createdBy: optionalString(item, "created_by", what),
    comment: optionalString(item, "comment", what),
    emptyLayer: item["empty_layer"] === true,
  };
}
