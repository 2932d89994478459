import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { hasCode } from "../../sys/ffi.ts";
import { isFields, part, text } from "../json-fields.ts";

/** CRI-O's own files (crio(8)); a file of the directory goes before the first one, and a later one before an earlier one. */
const CONFIG = "/etc/crio/crio.conf";
const DROP_INS = "/etc/crio/crio.conf.d";

/**
 * The runtime handler that CRI-O's files give to pods without a RuntimeClass: of containers that are made after CRI-O has read them.
 * @param root the directory whose etc/crio is read
 * @returns undefined if they do not say
 */
export function defaultRuntimeHandler(root = "/"): string | undefined {
  const directory = join(root, DROP_INS);
  const paths = [join(root, CONFIG), ...namesIn(directory).map((name) => join(directory, name))];
  return paths
    .map((path) => handlerIn(readIfThere(path)))
    .findLast((handler): handler is string => handler !== undefined);
}

function handlerIn(toml: string): string | undefined {
  try {
    const document: unknown = Bun.TOML.parse(toml);
    return isFields(document) ? text(part(part(document, "crio"), "runtime"), "default_runtime") : undefined;
  } catch {
    // CRI-O does not start with it; what it says is nothing that anybody runs with.
    return undefined;
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR", "EISDIR")) return "";
    throw error;
  }
}
