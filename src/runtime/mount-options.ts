import { AtomfsError } from "../core/errors.ts";
import { parsePropagation } from "../formats/oci/runtime-config/linux.ts";
import type { MountConfig, Propagation } from "../formats/oci/runtime-config/types.ts";
import type { MountAttributes } from "./operations.ts";

/** Bits of mount_setattr(2) and fsmount(2): include/uapi/linux/mount.h. */
export const ATTRIBUTE = {
  readonly: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  noatime: 0x10,
  strictatime: 0x20,
  /** The three bits that are one field: 0 is relatime. A change must clear them all. */
  atimeField: 0x70,
  nodiratime: 0x80,
  nosymfollow: 0x200000,
} as const;

type Effect = readonly [set: number, clear: number];

const set = (bit: number): Effect => [bit, 0];
const clear = (bit: number): Effect => [0, bit];
const atime = (value: number): Effect => [value, ATTRIBUTE.atimeField];

/**
 * Options that are attributes of one mount: config.md, "Linux mount options". Each exists with "r" before it for the mount and
 * all below it. `norelatime` and `nostrictatime` give the kernel's default, which is relatime.
 */
const ATTRIBUTES: ReadonlyMap<string, Effect> = new Map([
  ["ro", set(ATTRIBUTE.readonly)],
  ["rw", clear(ATTRIBUTE.readonly)],
  ["nosuid", set(ATTRIBUTE.nosuid)],
  ["suid", clear(ATTRIBUTE.nosuid)],
  ["nodev", set(ATTRIBUTE.nodev)],
  ["dev", clear(ATTRIBUTE.nodev)],
  ["noexec", set(ATTRIBUTE.noexec)],
  ["exec", clear(ATTRIBUTE.noexec)],
  ["nodiratime", set(ATTRIBUTE.nodiratime)],
  ["diratime", clear(ATTRIBUTE.nodiratime)],
  ["nosymfollow", set(ATTRIBUTE.nosymfollow)],
  ["symfollow", clear(ATTRIBUTE.nosymfollow)],
  ["noatime", atime(ATTRIBUTE.noatime)],
  ["strictatime", atime(ATTRIBUTE.strictatime)],
  ["atime", atime(0)],
  ["relatime", atime(0)],
  ["norelatime", atime(0)],
  ["nostrictatime", atime(0)],
]);

/** Flags of the filesystem, not of a mount: on or off, and the flag. A bind mount cannot change them, and mount(8) says nothing. */
const FILESYSTEM_FLAGS: ReadonlyMap<string, readonly [on: boolean, flag: string]> = new Map([
  ["sync", [true, "sync"]],
  ["async", [false, "sync"]],
  ["dirsync", [true, "dirsync"]],
  ["lazytime", [true, "lazytime"]],
  ["nolazytime", [false, "lazytime"]],
  ["mand", [true, "mand"]],
  ["nomand", [false, "mand"]],
]);

/** No effect in a kernel of today: messages of the mount itself, and inode versions that filesystems switch on by themselves. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set(["defaults", "silent", "loud", "iversion", "noiversion"]);

/** Podman's own words to itself, about filling a new volume, which it hands on. */
const PODMANS: ReadonlySet<string> = new Set(["copy", "nocopy"]);

/** All options that the specification names and this runtime takes, sorted: for `features`. */
export const MOUNT_OPTIONS: readonly string[] = [
  ...ATTRIBUTES.keys(),
  ...[...ATTRIBUTES.keys()].map((name) => `r${name}`),
  ...FILESYSTEM_FLAGS.keys(),
  ...WITHOUT_EFFECT,
  ...["private", "shared", "slave", "unbindable", "rprivate", "rshared", "rslave", "runbindable"],
  ...["bind", "rbind", "remount", "tmpcopyup", "idmap", "ridmap"],
].sort();

/** One mount's options by what they act on. */
export type MountOptions = {
  readonly bind: "no" | "one" | "recursive";
  readonly remount: boolean;
  /** Of this mount alone. */
  readonly attributes: MountAttributes;
  /** Of this mount and those below it; undefined: none asked for. */
  readonly recursiveAttributes: MountAttributes | undefined;
  /** In the order of the file. */
  readonly propagations: readonly Propagation[];
  /** For fsconfig(2); "" is a flag. */
  readonly filesystem: readonly (readonly [key: string, value: string])[];
  /** Names of options for a filesystem, on a mount that makes none. */
  readonly unused: readonly string[];
  readonly copyUp: boolean;
  /** Of this mount, or of those below it, too. */
  readonly idMap: "no" | "one" | "recursive";
};

/**
 * @param name for messages: "mounts[3]"
 * @throws AtomfsError "unsupported" for an idmap of crun's form, "bad-data" for an option of a bind mount that means nothing
 */
export function parseMountOptions(mount: MountConfig, name: string): MountOptions {
  let bind: MountOptions["bind"] = mount.type === "bind" ? "one" : "no";
  let remount = false;
  let copyUp = false;
  // With maps of its own a mount is id-mapped, whatever its options say.
  let idMap: MountOptions["idMap"] = mount.uidMappings.length > 0 ? "one" : "no";
  let own: Effect = [0, 0];
  let recursive: Effect | undefined;
  const propagations: Propagation[] = [];
  const flags = new Map<string, boolean>();
  const data: [string, string][] = [];
  for (const option of mount.options) {
    const effect = ATTRIBUTES.get(option);
    const below = option.startsWith("r") ? ATTRIBUTES.get(option.slice(1)) : undefined;
    const flag = FILESYSTEM_FLAGS.get(option);
    const propagation = parsePropagation(option);
    if (effect !== undefined) own = merge(own, effect);
    else if (below !== undefined) recursive = merge(recursive ?? [0, 0], below);
    else if (flag !== undefined) flags.set(flag[1], flag[0]);
    else if (propagation !== undefined) propagations.push(propagation);
    else if (option === "bind") bind = bind === "recursive" ? bind : "one";
    else if (option === "rbind") bind = "recursive";
    else if (option === "remount") remount = true;
    else if (option === "tmpcopyup") copyUp = true;
    else if (option === "idmap" || option === "ridmap") idMap = option === "idmap" ? "one" : "recursive";
    else if (/^r?idmap=/.test(option))
      unsupported(
        `${name}.options`,
        "an idmap option with a value is crun's own: use uidMappings and gidMappings",
      );
    else if (!WITHOUT_EFFECT.has(option) && !(bind !== "no" && PODMANS.has(option)))
      data.push(...dataOptions(option));
  }
  const unused = bind !== "no" || remount ? data.splice(0) : [];
  // A bare word may be a restriction that is misspelt. A value is for a filesystem, and a bind mount makes none.
  const misspelt = unused.find(([, value]) => value === "");
  if (misspelt !== undefined) {
    const option = JSON.stringify(misspelt[0].slice(0, 100));
    throw new AtomfsError(
      "bad-data",
      `Cannot use config.json: ${name}.options has ${option}, unknown for a bind mount`,
    );
  }
  const on = [...flags].filter(([, value]) => value).map(([flag]): [string, string] => [flag, ""]);
  return {
    bind,
    remount,
    attributes: attributes(own, false),
    recursiveAttributes: recursive === undefined ? undefined : attributes(recursive, true),
    propagations,
    filesystem: [...on, ...data],
    unused: unused.map(([key]) => key),
    copyUp,
    idMap,
  };
}

/** The later option wins. */
function merge([set, clear]: Effect, [alsoSet, alsoClear]: Effect): Effect {
  const field = ATTRIBUTE.atimeField;
  return [(set & ~alsoClear) | alsoSet, (clear & ~(alsoSet & ~field)) | alsoClear];
}

function attributes([set, clear]: Effect, recursive: boolean): MountAttributes {
  return { set, clear, recursive };
}

/** Engines join what the filesystem is told with commas, as mount(2) takes it. */
function dataOptions(option: string): [string, string][] {
  return option
    .split(",")
    .filter((part) => part !== "")
    .map((part) => {
      const equals = part.indexOf("=");
      return equals < 0 ? [part, ""] : [part.slice(0, equals), part.slice(equals + 1)];
    });
}

/** @throws AtomfsError always: "unsupported", naming the field */
export function unsupported(field: string, why: string): never {
  throw new AtomfsError("unsupported", `Cannot run this container: ${field}: ${why}`);
}
