import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AtomfsError } from "../../src/core/errors.ts";

export type PodmanConfigOptions = {
  /** A directory of its own; everything that Podman writes goes below it. */
  readonly directory: string;
  readonly imageStores: readonly string[];
  /** "runc", or a name with the absolute path of its program. */
  readonly runtime: "runc" | { readonly name: string; readonly path: string };
  /** Podman's own default where it is not given: systemd if that runs here. */
  readonly cgroupManager?: CgroupManager;
  /** For the runtime, which else has little more than a PATH. */
  readonly runtimeEnv?: Readonly<Record<string, string>>;
  /** Of the bridge network, as "10.89.77.0/24"; its first address is the host's. */
  readonly subnet: string;
  /** At most 15 characters. */
  readonly bridge: string;
};

/** For the environment of every podman process; the user's own files stay untouched and unread. */
export type PodmanEnvironment = {
  readonly CONTAINERS_CONF: string;
  readonly CONTAINERS_STORAGE_CONF: string;
};

export type CgroupManager = "cgroupfs" | "systemd";

export type Limits = { readonly nofile: number; readonly nproc: number };

/** Podman's own defaults; where the machine's hard limits are lower, these are what a container can have. */
const WANTED: Limits = { nofile: 1_048_576, nproc: 4_194_304 };

/**
 * What a container can have: the hard limits in the text of /proc/PID/limits. Podman lowers its own limit of processes to the
 * kernel's largest process id before it starts a container, so that one counts, too.
 * @throws AtomfsError "unsupported"
 */
export function possibleLimits(limits: string, largestPid: number): Limits {
  const hard = (name: string, wanted: number): number => {
    const value = new RegExp(`^${name}\\s+\\S+\\s+(\\d+|unlimited)`, "m").exec(limits)?.[1];
    if (value === undefined)
      throw new AtomfsError("unsupported", `Cannot find "${name}" in /proc/self/limits`);
    return value === "unlimited" ? wanted : Math.min(Number(value), wanted);
  };
  return {
    nofile: hard("Max open files", WANTED.nofile),
    nproc: Math.min(hard("Max processes", WANTED.nproc), largestPid),
  };
}

/** A TOML basic string: JSON's escapes are a subset of TOML's. */
function toml(value: string): string {
  return JSON.stringify(value);
}

export function storageConf(options: PodmanConfigOptions): string {
  return `[storage]
driver = "overlay"
graphroot = ${toml(join(options.directory, "graph"))}
runroot = ${toml(join(options.directory, "run"))}

[storage.options]
additionalimagestores = [${options.imageStores.map(toml).join(", ")}]
`;
}

/**
 * @param backend which of Podman's two network programs this machine has
 */
export function containersConf(
  options: PodmanConfigOptions,
  limits: Limits,
  backend: "cni" | "netavark",
  cgroupManager: CgroupManager,
): string {
  const { directory, runtime } = options;
  const name = runtime === "runc" ? runtime : runtime.name;
  const runtimes = runtime === "runc" ? "" : `\n[engine.runtimes]\n${name} = [${toml(runtime.path)}]\n`;
  // Podman starts conmon with these variables only, and conmon hands them on to the runtime.
  const env = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...options.runtimeEnv };
  const variables = Object.entries(env).map(([variable, value]) => toml(`${variable}=${value}`));
  return `[containers]
default_ulimits = ["nofile=${limits.nofile}:${limits.nofile}", "nproc=${limits.nproc}:${limits.nproc}"]
log_driver = "k8s-file"

[network]
network_backend = "${backend}"
network_config_dir = ${toml(join(directory, "networks"))}
default_network = "atomfs-demo"
default_subnet = ${toml(options.subnet)}

[engine]
runtime = ${toml(name)}
conmon_env_vars = [${variables.join(", ")}]
cgroup_manager = "${cgroupManager}"
events_logger = "file"
events_logfile_path = ${toml(join(directory, "events.log"))}
static_dir = ${toml(join(directory, "graph", "libpod"))}
tmp_dir = ${toml(join(directory, "run", "libpod"))}
volume_path = ${toml(join(directory, "graph", "volumes"))}
lock_type = "file"
${runtimes}`;
}

/** A bridge that publishes ports, in CNI's form: what Podman's own default network is, under another name and subnet. */
export function cniNetwork(options: PodmanConfigOptions): string {
  const ranges = [[{ subnet: options.subnet }]];
  const ipam = { type: "host-local", routes: [{ dst: "0.0.0.0/0" }], ranges };
  return `${JSON.stringify(
    {
      cniVersion: "0.4.0",
      name: "atomfs-demo",
      plugins: [
        { type: "bridge", bridge: options.bridge, isGateway: true, ipMasq: true, hairpinMode: true, ipam },
        { type: "portmap", capabilities: { portMappings: true } },
        { type: "firewall" },
        { type: "tuning" },
      ],
    },
    undefined,
    2,
  )}\n`;
}

/** The same in netavark's form. Without it Podman would use the bridge of the user's own default network. */
export function netavarkNetwork(options: PodmanConfigOptions): string {
  const gateway = options.subnet.replace(/\d+\/\d+$/, "1");
  const id = createHash("sha256").update("atomfs-demo").digest("hex");
  return `${JSON.stringify(
    {
      name: "atomfs-demo",
      id,
      driver: "bridge",
      network_interface: options.bridge,
      created: "2024-01-01T00:00:00Z",
      subnets: [{ subnet: options.subnet, gateway }],
      ipv6_enabled: false,
      internal: false,
      dns_enabled: false,
      ipam_options: { driver: "host-local" },
    },
    undefined,
    2,
  )}\n`;
}

const NETAVARK = [
  "/usr/lib/podman/netavark",
  "/usr/libexec/podman/netavark",
  "/usr/local/libexec/podman/netavark",
];

function networkBackend(): "cni" | "netavark" {
  if (NETAVARK.some((path) => existsSync(path))) return "netavark";
  if (existsSync("/usr/lib/cni/bridge")) return "cni";
  throw new AtomfsError(
    "unsupported",
    "Cannot give containers a network: neither netavark nor CNI is installed",
    {
      hints: ["apt-get install containernetworking-plugins"],
    },
  );
}

/**
 * As Podman decides (containers/common, `useSystemd`). It matters on cgroup v2: there Podman 4.3's cgroupfs manager gives a pod a
 * control group in which no device can be opened, so no runtime can start a container.
 */
function cgroupManagerOfPodman(): CgroupManager {
  return readFileSync("/proc/1/comm", "utf8") === "systemd\n" ? "systemd" : "cgroupfs";
}

/**
 * Writes a Podman set-up of its own: storage, network, state, limits. It leaves the user's configuration and containers alone.
 * @throws AtomfsError "unsupported" if the machine has no program for containers' networks
 */
export async function writePodmanConfig(options: PodmanConfigOptions): Promise<PodmanEnvironment> {
  const networks = join(options.directory, "networks");
  await mkdir(networks, { recursive: true });
  const largestPid = Number(await readFile("/proc/sys/kernel/pid_max", "utf8"));
  const limits = possibleLimits(await readFile("/proc/self/limits", "utf8"), largestPid);
  const backend = networkBackend();
  const manager = options.cgroupManager ?? cgroupManagerOfPodman();
  const environment = {
    CONTAINERS_CONF: join(options.directory, "containers.conf"),
    CONTAINERS_STORAGE_CONF: join(options.directory, "storage.conf"),
  };
  await writeFile(environment.CONTAINERS_CONF, containersConf(options, limits, backend, manager));
  await writeFile(environment.CONTAINERS_STORAGE_CONF, storageConf(options));
  if (backend === "cni") await writeFile(join(networks, "atomfs-demo.conflist"), cniNetwork(options));
  else await writeFile(join(networks, "atomfs-demo.json"), netavarkNetwork(options));
  return environment;
}
