import { type ByteString, fromBytes, fromText } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";
import { asObject, optionalString } from "../oci/json.ts";

/**
 * A piece of a layer's tar as github.com/vbatts/tar-split keeps it (tar/storage/entry.go), beside the unpacked files:
 * headers and padding byte for byte, and in between the files whose bytes belong there.
 */
export type TarSplitEntry =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** @property size in bytes; 0 for everything but files */
  | { readonly kind: "file"; readonly name: ByteString; readonly size: number };

const TYPE_FILE = 1;
const TYPE_SEGMENT = 2;

/** One line of an uncompressed `*.tar-split`. @throws AtomfsError "bad-data" */
export function parseTarSplitEntry(line: string): TarSplitEntry {
  const what = "tar-split";
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new AtomfsError("bad-data", "Cannot read tar-split: a line is not JSON", { cause });
  }
  const entry = asObject(value, what);
  if (entry["type"] === TYPE_SEGMENT) {
    const { payload } = entry;
    if (typeof payload !== "string") throw bad("a segment has no bytes");
    return { kind: "bytes", bytes: Buffer.from(payload, "base64") };
  }
  if (entry["type"] !== TYPE_FILE) throw bad("an entry is neither file nor segment");
  const size = entry["size"] ?? 0;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
    throw bad("a file has no valid size");
  const raw = optionalString(entry, "name_raw", what);
  // Names that are not UTF-8 come as base64, because JSON cannot hold them.
  const name =
    raw === undefined || raw === ""
      ? fromText(optionalString(entry, "name", what) ?? "")
      : fromBytes(Buffer.from(raw, "base64"));
  return { kind: "file", name, size };
}

function bad(why: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot read tar-split: ${why}`);
}
