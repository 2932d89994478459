import { readIdMappings, readLinux } from "./linux.ts";
import { readHooks, readProcess } from "./process-fields.ts";
import { Field, parseExactJson } from "./reader.ts";
import { readResources } from "./resources.ts";
import type { MountConfig, ProcessConfig, ResourcesConfig, RuntimeConfig } from "./types.ts";

/**
 * A bundle's config.json. Values that the specification forbids are refused, properties that it does not have are ignored.
 * @throws AtomfsError "bad-data", naming the field: "linux.namespaces[2].type"
 */
export function parseRuntimeConfig(bytes: Uint8Array): RuntimeConfig {
  const unknown: string[] = [];
  const field = new Field("", parseExactJson(bytes), unknown).object(
    "ociVersion",
    "process",
    "root",
    "hostname",
    "domainname",
    "mounts",
    "hooks",
    "annotations",
    "linux",
  );
  const ociVersion = field.ociVersion.text();
  if (!/^1\.\d{1,9}\.\d{1,9}([-+][0-9A-Za-z.+-]{1,100})?$/.test(ociVersion))
    field.ociVersion.refuse(`is ${JSON.stringify(ociVersion.slice(0, 100))}, want 1.x.y`);
  const annotations = field.annotations.map((value) => value.text());
  if (annotations.has("")) field.annotations.refuse("has an empty name");
  return {
    ociVersion,
    process: field.process.optional(readProcess),
    root: field.root.optional((root) => {
      const { path, readonly } = root.object("path", "readonly");
      const text = path.text();
      if (text === "") path.refuse("is empty");
      return { path: text, readonly: readonly.flag() };
    }),
    hostname: field.hostname.optionalText(),
    domainname: field.domainname.optionalText(),
    mounts: field.mounts.list(readMount),
    hooks: readHooks(field.hooks),
    annotations,
    linux: readLinux(field.linux.absent ? new Field("linux", {}, unknown) : field.linux),
    unknown,
  };
}

/** The document that `exec` gets with `--process FILE`. @throws AtomfsError "bad-data", naming the field */
export function parseProcess(bytes: Uint8Array): ProcessConfig {
  return readProcess(new Field("process", parseExactJson(bytes), []));
}

/** The document of `update --resources`. @throws AtomfsError "bad-data", naming the field */
export function parseResources(bytes: Uint8Array): ResourcesConfig {
  return readResources(new Field("resources", parseExactJson(bytes), []));
}

function readMount(mount: Field): MountConfig {
  const field = mount.object("destination", "type", "source", "options", "uidMappings", "gidMappings");
  const destination = field.destination.text();
  if (destination === "") field.destination.refuse("is empty");
  const uidMappings = readIdMappings(field.uidMappings);
  const gidMappings = readIdMappings(field.gidMappings);
  if ((uidMappings.length === 0) !== (gidMappings.length === 0))
    mount.refuse("has only one of uidMappings and gidMappings");
  return {
    destination,
    type: field.type.optionalText() ?? "",
    source: field.source.optionalText() ?? "",
    options: field.options.texts(),
    uidMappings,
    gidMappings,
  };
}
