import { existsSync, mkdirSync, realpathSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { treePath } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import type { NamespaceType, ProcessConfig, RuntimeConfig } from "../formats/oci/runtime-config/types.ts";
import { DEFAULT_ROOT_DIRECTORY } from "../store/layout.ts";
import { openDirectoryPath } from "../sys/fd.ts";
import { hasCode } from "../sys/ffi.ts";
import { checkNamespace, isHostNamespace, isOwnNamespace } from "../sys/namespace.ts";
import { openFileInRoot, readStart, UNREADABLE } from "../sys/root-files.ts";
import { compileSeccompCached } from "../sys/seccomp-cache.ts";
import type { WindowSize } from "../sys/terminal.ts";
import type { IdMaps } from "../sys/user-namespace.ts";
import type { RootAnnotations } from "./at-create-outcome.ts";
import { hasHome } from "./environment.ts";
import { withJoinedIdMaps } from "./joined-id-maps.ts";
import { lxcLauncher } from "./launcher.ts";
import { unsupported } from "./mount-options.ts";
import { namespaceOf } from "./mount-plan.ts";
import { planLaunch } from "./planner.ts";
import { prepareLaunch } from "./preparation.ts";
import type { Preparation } from "./prepared-launch.ts";
import { readHostFacts } from "./read-host-facts.ts";
import type { SeccompProfile } from "./seccomp-plan.ts";
import type { Session } from "./session.ts";
import { type Inherited, withListenDescriptors } from "./socket-activation.ts";
import type { Maker } from "./verbs/create.ts";

export const LXC_START: string = "/usr/bin/lxc-start";
/** Lasts as long as the boot; the filters in it are named by what they were made of. */
const SECCOMP_CACHE = "/run/crio-lxc-seccomp";
const MAX_PASSWD_BYTES = 1 << 20;

/** How containers are made outside of tests. */
export function ordinaryMaker(): Maker {
  return { launcher: lxcLauncher(LXC_START), prepare, placeRoot };
}

async function placeRoot(
  session: Session,
  { bundle, config }: { bundle: string; config: RuntimeConfig },
): Promise<RootAnnotations> {
  const storeRoot = process.env["ATOMFS_ROOT"] ?? DEFAULT_ROOT_DIRECTORY;
  const policyFile = process.env["ATOMFS_CONFIG"] ?? "/etc/atomfs/atomfs.toml";
  // A machine that has no store and no policy does not even load what there is to do with them.
  if (!existsSync(storeRoot) && !existsSync(policyFile)) return {};
  const { placeMolecule } = await import("./at-create.ts");
  const rootfs = realRoot(config, bundle);
  return placeMolecule({
    rootfs,
    bundle,
    storeRoot,
    policyFile,
    idMaps: () => idMapsOf(config),
    log: session.log,
  });
}

/** Of a user namespace that the container gets or joins. */
function idMapsOf(config: RuntimeConfig): IdMaps | undefined {
  const namespace = namespaceOf(config, "user");
  if (namespace === undefined) return undefined;
  const { uidMappings, gidMappings } = (namespace.path === undefined ? config : withJoinedIdMaps(config))
    .linux;
  return uidMappings.length === 0 ? undefined : { uids: uidMappings, gids: gidMappings };
}

const prepare: Preparation = (session, { options, bundle, directory, config, openConsole }) => {
  const rootfs = realRoot(config, bundle);
  const wantsConsole = config.process?.terminal === true && options.consoleSocket === undefined;
  const own = wantsConsole ? openConsole?.() : undefined;
  const { preserveDescriptors } = options;
  const inherited =
    config.process === undefined
      ? undefined
      : inheritedBy({ process: withSize(config.process, own?.size), preserveDescriptors });
  const named = namedNamespaces(config);
  const typesOf = (some: readonly NamedNamespace[]): Set<NamespaceType> =>
    new Set(some.map(({ type }) => type));
  const ownNamespaces = typesOf(named.filter(isOwn));
  const plan = planLaunch(
    { ...(ownNamespaces.has("user") ? config : withJoinedIdMaps(config)), process: inherited?.process },
    readHostFacts(LXC_START),
    {
      id: options.id,
      bundle,
      rootfs,
      consoleSocket: options.consoleSocket !== undefined || own !== undefined,
      preserveDescriptors: inherited?.preserveDescriptors ?? preserveDescriptors,
      systemdCgroup: session.global.cgroupManager === "systemd",
      noNewKeyring: options.noNewKeyring,
      noPivot: options.noPivot,
      ownNamespaces,
      hostNamespaces: typesOf(named.filter(({ type, path }) => isHostNamespace(path, type))),
      home: homeOf(config.process, rootfs),
      compileSeccomp: cachedSeccomp,
    },
  );
  const consoleSocket = options.consoleSocket ?? own?.socket;
  return prepareLaunch(plan, { directory, consoleSocket, player: findPlayer() });
};

type NamedNamespace = { readonly type: NamespaceType; readonly path: string };

/** Those that the file gives by path, each of the type that it says. @throws AtomfsError */
function namedNamespaces({ linux }: RuntimeConfig): NamedNamespace[] {
  const named = linux.namespaces.flatMap(({ type, path }) => (path === undefined ? [] : [{ type, path }]));
  for (const { type, path } of named) {
    checkNamespace(path, type);
    if (type === "mount" && isHostNamespace(path, type))
      unsupported("linux.namespaces", `${path} is the host's mount namespace, whose root would change`);
  }
  return named;
}

function isOwn({ type, path }: NamedNamespace): boolean {
  return type !== "mount" && isOwnNamespace(path, type);
}

/** What this very process was given for the container's. */
export function inheritedBy(inherited: Inherited): Inherited {
  return withListenDescriptors(inherited, process.env, process.pid);
}

/** A terminal that is joined to the user's has its size from the beginning. */
export function withSize(process: ProcessConfig, size: WindowSize | undefined): ProcessConfig {
  return size === undefined
    ? process
    : { ...process, consoleSize: { height: size.rows, width: size.columns } };
}

export function cachedSeccomp(profile: SeccompProfile): Uint8Array {
  mkdirSync(SECCOMP_CACHE, { recursive: true, mode: 0o700 });
  return compileSeccompCached(profile, SECCOMP_CACHE);
}

function realRoot({ root }: RuntimeConfig, bundle: string): string {
  if (root === undefined) throw new AtomfsError("bad-data", "Cannot use config.json: root is missing");
  const path = isAbsolute(root.path) ? root.path : join(bundle, root.path);
  try {
    return realpathSync(path);
  } catch (error) {
    if (!hasCode(error, "ENOENT", "ENOTDIR")) throw error;
    throw new AtomfsError("not-found", `Cannot use the root ${path}: no such directory`);
  }
}

/**
 * The image's own user database is nothing to trust: it is opened inside the root, no more of it is read than the bound, and only the
 * one field is taken. What is no regular file names no user.
 */
export function homeOf(process: ProcessConfig | undefined, rootfs: string): string {
  if (process === undefined || hasHome(process.env)) return "/";
  const line = passwdOf(rootfs)
    .split("\n")
    .find((one) => one.split(":")[2] === String(process.user.uid));
  const home = line?.split(":")[5];
  return home?.startsWith("/") ? home : "/";
}

function passwdOf(rootfs: string): string {
  try {
    using root = openDirectoryPath(rootfs);
    const file = openFileInRoot(root, treePath("/etc/passwd"));
    if (file === undefined) return "";
    using _fd = file.fd;
    return readStart(file, MAX_PASSWD_BYTES).toString("utf8");
  } catch (error) {
    if (hasCode(error, ...UNREADABLE)) return "";
    throw error;
  }
}

/** Beside the executable, or where a package or a checkout has it. */
export function findPlayer(): string {
  const places = [
    join(dirname(process.execPath), "player"),
    "/usr/libexec/atomfs/player",
    join(import.meta.dir, "../../dist/player"),
  ];
  const found = places.find((path) => existsSync(path));
  if (found === undefined) {
    throw new AtomfsError(
      "unsupported",
      `Cannot make a container: the player is not in ${places.join(", ")}`,
    );
  }
  return found;
}
