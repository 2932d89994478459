import { AtomfsError } from "../../core/errors.ts";
import { type JsonObject, optionalObject, optionalString, stringArray } from "../oci/json.ts";

/** What of containers-storage.conf(5) says where images are. */
export type StorageConf = {
  /** "" if the file leaves the choice to the engine, which is overlay. */
  readonly driver: string;
  readonly graphRoot: string;
  readonly runRoot: string;
  /** Read-only stores, in the order in which they are asked. */
  readonly imageStores: readonly string[];
};

/** Of root's own engines. */
export const DEFAULT_STORAGE_CONF: StorageConf = {
  driver: "",
  graphRoot: "/var/lib/containers/storage",
  runRoot: "/run/containers/storage",
  imageStores: [],
};

/** @param document the file as its TOML values. @throws AtomfsError "bad-data" */
export function parseStorageConf(document: JsonObject): StorageConf {
  const what = "storage.conf";
  const storage = optionalObject(document, "storage", what);
  const options = optionalObject(storage, "options", what);
  const overlay = optionalObject(options, "overlay", what);
  const imageStore = optionalString(storage, "imagestore", what);
  const stores = [
    ...(imageStore === undefined || imageStore === "" ? [] : [imageStore]),
    ...stringArray(options, "additionalimagestores", what),
    ...stringArray(overlay, "additionalimagestores", what),
  ];
  const path = (key: string, fallback: string): string => {
    const value = optionalString(storage, key, what);
    return value === undefined || value === "" ? fallback : absolute(value, key);
  };
  return {
    driver: optionalString(storage, "driver", what) ?? "",
    graphRoot: path("graphroot", DEFAULT_STORAGE_CONF.graphRoot),
    runRoot: path("runroot", DEFAULT_STORAGE_CONF.runRoot),
    imageStores: [...new Set(stores.map((store) => absolute(store, "additionalimagestores")))],
  };
}

function absolute(path: string, key: string): string {
  if (path.startsWith("/") && !path.includes("\0")) return path;
  throw new AtomfsError("bad-data", `Cannot read storage.conf: ${key} is not an absolute path`);
}
