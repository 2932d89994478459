import type { Field } from "./reader.ts";
import { readResources } from "./resources.ts";
import { readSeccomp } from "./seccomp.ts";
import {
  type DeviceConfig,
  type IdMapping,
  type LinuxConfig,
  NAMESPACE_TYPES,
  type NamespaceConfig,
  type Propagation,
} from "./types.ts";

export function readLinux(linux: Field): LinuxConfig {
  const field = linux.object(
    "namespaces",
    "uidMappings",
    "gidMappings",
    "devices",
    "cgroupsPath",
    "resources",
    "seccomp",
    "sysctl",
    "rootfsPropagation",
    "maskedPaths",
    "readonlyPaths",
    "mountLabel",
    "personality",
    "intelRdt",
    "memoryPolicy",
    "timeOffsets",
    "netDevices",
  );
  const isSet = (value: Field): boolean =>
    value.optional((present) => present.map(() => true).size > 0) ?? false;
  return {
    namespaces: readNamespaces(field.namespaces),
    uidMappings: readIdMappings(field.uidMappings),
    gidMappings: readIdMappings(field.gidMappings),
    devices: field.devices.list(readDevice),
    cgroupsPath: field.cgroupsPath.optionalText(),
    resources: field.resources.optional(readResources),
    seccomp: field.seccomp.optional(readSeccomp),
    sysctl: field.sysctl.map((value) => value.text()),
    rootfsPropagation: readPropagation(field.rootfsPropagation),
    maskedPaths: field.maskedPaths.list((path) => path.absolutePath()),
    readonlyPaths: field.readonlyPaths.list((path) => path.absolutePath()),
    mountLabel: field.mountLabel.optionalText(),
    personality: field.personality.optional((personality) => {
      const { domain, flags } = personality.object("domain", "flags");
      return { domain: domain.oneOf(["LINUX", "LINUX32"]), flags: flags.texts() };
    }),
    intelRdt: isSet(field.intelRdt),
    memoryPolicy: isSet(field.memoryPolicy),
    timeOffsets: isSet(field.timeOffsets),
    netDevices: isSet(field.netDevices),
  };
}

function readNamespaces(namespaces: Field): NamespaceConfig[] {
  const seen = new Set<string>();
  return namespaces.list((item) => {
    const field = item.object("type", "path");
    const type = field.type.oneOf(NAMESPACE_TYPES);
    if (seen.has(type)) field.type.refuse(`is ${type} for the second time`);
    seen.add(type);
    const path = field.path.optionalText() === undefined ? undefined : field.path.absolutePath();
    return { type, path };
  });
}

export function readIdMappings(mappings: Field): IdMapping[] {
  return mappings.list((item) => {
    const field = item.object("containerID", "hostID", "size");
    const mapping = {
      containerId: field.containerID.unsigned32(),
      hostId: field.hostID.unsigned32(),
      size: field.size.unsigned32(),
    };
    if (mapping.size === 0) field.size.refuse("is 0");
    return mapping;
  });
}

const DEVICE_TYPES = { c: "char", u: "char", b: "block", p: "fifo" } as const;

function readDevice(item: Field): DeviceConfig {
  const field = item.object("type", "path", "major", "minor", "fileMode", "uid", "gid");
  const type = DEVICE_TYPES[field.type.oneOf(["c", "u", "b", "p"])];
  const fifo = type === "fifo";
  return {
    type,
    path: field.path.absolutePath(),
    // include/linux/kdev_t.h: 12 and 20 bits.
    major: fifo ? 0 : field.major.number(0, 0xfff),
    minor: fifo ? 0 : field.minor.number(0, 0xfffff),
    // Podman leaves the bits of the file's type in.
    mode: (field.fileMode.optional((mode) => mode.unsigned32()) ?? 0o666) & 0o7777,
    uid: field.uid.optional((id) => id.unsigned32()) ?? 0,
    gid: field.gid.optional((id) => id.unsigned32()) ?? 0,
  };
}

const PROPAGATIONS = [
  "private",
  "shared",
  "slave",
  "unbindable",
  "rprivate",
  "rshared",
  "rslave",
  "runbindable",
] as const;

function readPropagation(field: Field): Propagation | undefined {
  if (field.optionalText() === undefined) return undefined;
  return parsePropagation(field.oneOf(PROPAGATIONS));
}

/** "rslave" and the like; undefined for every other word. */
export function parsePropagation(word: string): Propagation | undefined {
  const found = PROPAGATIONS.find((propagation) => propagation === word);
  if (found === undefined) return undefined;
  const recursive = found.startsWith("r");
  return { kind: (recursive ? found.slice(1) : found) as Propagation["kind"], recursive };
}
