import { type ByteString, fromText } from "../core/bytestring.ts";
import { refuse } from "../formats/oci/runtime-config/reader.ts";
import type {
  MountConfig,
  NamespaceConfig,
  Propagation,
  RuntimeConfig,
} from "../formats/oci/runtime-config/types.ts";
import type { HostFacts } from "./host-facts.ts";
import { ATTRIBUTE, type MountOptions, parseMountOptions, unsupported } from "./mount-options.ts";
import type { Action, MountAttributes, Operation } from "./operations.ts";
import type { DescriptorRequest, MountIdMap } from "./plan.ts";

/** What the parts of the planner add to, in the order of the program. */
export type Draft = {
  readonly operations: Operation[];
  readonly descriptors: DescriptorRequest[];
  readonly warnings: string[];
};

export function add(draft: Draft, does: Action, onError: Operation["onError"] = "fail"): void {
  draft.operations.push({ does, onError });
}

/** @returns the descriptor's index */
export function request(draft: Draft, descriptor: DescriptorRequest): number {
  return draft.descriptors.push(descriptor) - 1;
}

export type MountContext = {
  readonly config: RuntimeConfig;
  readonly host: HostFacts;
  /** Absolute; relative sources of bind mounts are below it. */
  readonly bundle: string;
  /** The container's directory below each hierarchy's root. */
  readonly cgroupPath: string;
};

/** The file system that a label can be given to when it is made; proc and sysfs have the kernel's own. */
const UNLABELLED: ReadonlySet<string> = new Set(["proc", "sysfs", "cgroup", "cgroup2"]);

/** Filesystems that know no path or device of the host, and show what the namespaces are in which they are mounted. */
const VIRTUAL: ReadonlySet<string> = new Set(
  "proc sysfs tmpfs ramfs devtmpfs devpts mqueue cgroup cgroup2 hugetlbfs bpf binfmt_misc debugfs tracefs securityfs configfs fusectl pstore efivarfs".split(
    " ",
  ),
);

/** "mounts", in the order of the file. What must become read-only only after all mounts is done at the end. */
export function planMounts(context: MountContext, draft: Draft): void {
  const last: [ByteString, MountAttributes][] = [];
  for (const [i, mount] of context.config.mounts.entries()) {
    const name = `mounts[${i}]`;
    const options = parseMountOptions(mount, name);
    const path = destination(mount.destination, name);
    for (const option of options.unused)
      draft.warnings.push(`${name}.options: ${option} does nothing: a bind mount makes no filesystem`);
    if (options.idMap !== "no" && (options.remount || options.bind === "no"))
      unsupported(`${name}.uidMappings`, "only bind mounts can be id-mapped");
    if (options.remount) add(draft, { kind: "set-mount-attributes", path, attributes: options.attributes });
    else if (options.bind !== "no") planBind(context, mount, options, path, name, draft);
    else planFilesystem(context, mount, options, path, name, draft, last);
    const { recursiveAttributes } = options;
    if (recursiveAttributes !== undefined)
      add(draft, { kind: "set-mount-attributes", path, attributes: recursiveAttributes });
  }
  for (const [path, attributes] of last) add(draft, { kind: "set-mount-attributes", path, attributes });
}

/** Purely by text, as runc does; a relative one is below the root. Symlinks are the player's. */
function destination(text: string, name: string): ByteString {
  const names: string[] = [];
  for (const part of text.split("/")) {
    if (part === "..") names.pop();
    else if (part !== "" && part !== ".") names.push(part);
  }
  if (names.length === 0) refuse(`${name}.destination`, "is the root");
  return fromText(`/${names.join("/")}`);
}

export function cleanDestinations(config: RuntimeConfig): ByteString[] {
  return config.mounts.map((mount, i) => destination(mount.destination, `mounts[${i}]`));
}

/** A namespace of this type that is not the runtime's own. */
export function namespaceOf(
  config: RuntimeConfig,
  type: NamespaceConfig["type"],
): NamespaceConfig | undefined {
  return config.linux.namespaces.find((namespace) => namespace.type === type);
}

export function isNew(config: RuntimeConfig, type: NamespaceConfig["type"]): boolean {
  const namespace = namespaceOf(config, type);
  return namespace !== undefined && namespace.path === undefined;
}

/**
 * A clone of a host's mount is of the same peer group: without a word in the file it gets what the root's propagation gives it in
 * runc, so that no mount inside the container reaches the host by default.
 */
export function defaultPropagation(config: RuntimeConfig): Propagation {
  const kind = config.linux.rootfsPropagation?.kind ?? "slave";
  // An unbindable root says nothing about what is mounted in it, only that it has no peers.
  return { kind: kind === "unbindable" ? "private" : kind, recursive: true };
}

/** What a file says of one mount only leaves those below it, which are of the host's peer groups, as well. */
function bindPropagations(listed: readonly Propagation[], config: RuntimeConfig): readonly Propagation[] {
  const settled = listed.some(({ kind, recursive }) => recursive || kind === "shared");
  return settled ? listed : [defaultPropagation(config), ...listed];
}

function planPropagation(propagations: readonly Propagation[], path: ByteString, draft: Draft): void {
  for (const { kind, recursive } of propagations)
    add(draft, { kind: "set-propagation", path, propagation: kind, recursive });
}

function planBind(
  { config, bundle }: MountContext,
  mount: MountConfig,
  options: MountOptions,
  path: ByteString,
  name: string,
  draft: Draft,
): void {
  if (mount.source === "") refuse(`${name}.source`, "is empty");
  const source = mount.source.startsWith("/") ? mount.source : `${bundle}/${mount.source}`;
  const recursive = options.bind === "recursive";
  const descriptor = request(draft, {
    kind: "bind-source",
    path: fromText(source),
    recursive,
    attributes: options.attributes,
    ...(options.idMap === "no" ? {} : { idMap: idMapOf(config, mount, options.idMap === "recursive", name) }),
  });
  add(draft, { kind: "attach-mount", mount: descriptor, path, create: "as-mount" });
  planPropagation(bindPropagations(options.propagations, config), path, draft);
}

/** The mount's own maps, else those of the container. */
function idMapOf(config: RuntimeConfig, mount: MountConfig, recursive: boolean, name: string): MountIdMap {
  const own = mount.uidMappings.length > 0;
  const { uidMappings: uids, gidMappings: gids } = own ? mount : config.linux;
  if (uids.length === 0 || gids.length === 0)
    refuse(`${name}.options`, "asks for an id-mapped mount, but neither it nor the container has id maps");
  return { uids, gids, recursive };
}

function planFilesystem(
  context: MountContext,
  mount: MountConfig,
  options: MountOptions,
  path: ByteString,
  name: string,
  draft: Draft,
  last: [ByteString, MountAttributes][],
): void {
  if (mount.type === "" || mount.type === "none") refuse(`${name}.type`, "names no filesystem");
  const { config, host } = context;
  const { layout } = host.cgroups;
  if (mount.type === "cgroup" || (mount.type === "cgroup2" && layout === "v2")) {
    if (layout === "v2") planCgroup2(context, options, path, draft);
    else planCgroup1(context, options, path, draft, last);
    planPropagation(options.propagations, path, draft);
    return;
  }
  if (options.copyUp && mount.type !== "tmpfs") unsupported(`${name}.options`, `tmpcopyup on ${mount.type}`);
  const label = config.linux.mountLabel;
  const labelled = label !== undefined && host.selinux && !UNLABELLED.has(mount.type);
  const filesystem = labelled ? [...options.filesystem, ["context", label] as const] : options.filesystem;
  if (!VIRTUAL.has(mount.type)) {
    const descriptor = request(draft, {
      kind: "filesystem",
      type: mount.type,
      source: mount.source === "" ? mount.type : mount.source,
      options: filesystem,
      attributes: options.attributes,
    });
    add(draft, { kind: "attach-mount", mount: descriptor, path, create: "dir" });
    const { propagations } = options;
    planPropagation(propagations.length > 0 ? propagations : [defaultPropagation(config)], path, draft);
    return;
  }
  // The root of a tmpfs must take mount points first.
  const late = mount.type === "tmpfs" && (options.attributes.set & ATTRIBUTE.readonly) !== 0;
  const attributes = options.attributes.set & ~(late ? ATTRIBUTE.readonly : 0);
  add(draft, {
    kind: "mount-filesystem",
    type: fromText(mount.type),
    source: fromText(mount.source === "" ? mount.type : mount.source),
    options: filesystem.map(([key, value]) => [fromText(key), fromText(value)] as const),
    attributes,
    path,
    copyUp: options.copyUp,
    ...(mount.type === "tmpfs" && !filesystem.some(([key]) => key === "mode") ? { keepMode: true } : {}),
  });
  planPropagation(options.propagations, path, draft);
  if (late) last.push([path, { set: ATTRIBUTE.readonly, clear: 0, recursive: false }]);
}

/**
 * In a cgroup namespace of its own the filesystem's root is the container's cgroup, else the host's. A new user namespace may mount
 * only a cgroup namespace that is its own: it gets the host's mount, which shows the same.
 */
function planCgroup2(context: MountContext, options: MountOptions, path: ByteString, draft: Draft): void {
  const { config, host } = context;
  if (namespaceOf(config, "user") !== undefined && namespaceOf(config, "cgroup") === undefined) {
    const source = fromText(host.cgroups.unified ?? "/sys/fs/cgroup");
    attachCgroup("bind-source", source, options.attributes, path, draft);
    return;
  }
  mountCgroup("cgroup2", options.filesystem, options.attributes.set, path, draft);
}

/** A tmpfs with a mount for each hierarchy, and symlinks for controllers that share one: what programs for v1 look for. */
function planCgroup1(
  context: MountContext,
  { attributes }: MountOptions,
  path: ByteString,
  draft: Draft,
  last: [ByteString, MountAttributes][],
): void {
  const { config, host, cgroupPath } = context;
  const label = config.linux.mountLabel;
  add(draft, {
    kind: "mount-filesystem",
    type: fromText("tmpfs"),
    source: fromText("tmpfs"),
    options: [
      [fromText("mode"), fromText("755")],
      ...(label !== undefined && host.selinux ? [[fromText("context"), fromText(label)] as const] : []),
    ],
    attributes: ATTRIBUTE.nosuid | ATTRIBUTE.nodev | ATTRIBUTE.noexec,
    path,
    copyUp: false,
  });
  for (const { mountPoint, controllers } of host.cgroups.hierarchies) {
    const directory = mountPoint.slice(mountPoint.lastIndexOf("/") + 1);
    const place = fromText(`/${directory}`);
    const target = (path + place) as ByteString;
    if (namespaceOf(config, "cgroup") === undefined) {
      const source = fromText(mountPoint + cgroupPath);
      attachCgroup("cgroup-directory", source, attributes, target, draft);
    } else {
      const named = controllers.some((controller) => controller.startsWith("name="));
      const names = controllers.map((controller): [string, string] =>
        controller.startsWith("name=") ? ["name", controller.slice("name=".length)] : [controller, ""],
      );
      mountCgroup("cgroup", named ? [["none", ""], ...names] : names, attributes.set, target, draft);
    }
    for (const controller of controllers) {
      if (controllers.length === 1 || controller === directory) continue;
      const link = (path + fromText(`/${controller}`)) as ByteString;
      add(draft, { kind: "make-symlink", path: link, target: fromText(directory) });
    }
  }
  if ((attributes.set & ATTRIBUTE.readonly) !== 0)
    last.push([path, { set: ATTRIBUTE.readonly, clear: 0, recursive: false }]);
}

function attachCgroup(
  kind: "bind-source" | "cgroup-directory",
  source: ByteString,
  attributes: MountAttributes,
  path: ByteString,
  draft: Draft,
): void {
  const mount = request(draft, { kind, path: source, recursive: false, attributes });
  add(draft, { kind: "attach-mount", mount, path, create: "dir" });
  add(draft, { kind: "set-propagation", path, propagation: "private", recursive: true });
}

function mountCgroup(
  type: "cgroup" | "cgroup2",
  options: readonly (readonly [string, string])[],
  attributes: number,
  path: ByteString,
  draft: Draft,
): void {
  add(draft, {
    kind: "mount-filesystem",
    type: fromText(type),
    source: fromText("cgroup"),
    options: options.map(([key, value]) => [fromText(key), fromText(value)] as const),
    attributes,
    path,
    copyUp: false,
  });
}
