import { join } from "node:path";
import { PKI } from "./pki.ts";
import {
  type NodeName,
  nodeAddress,
  nodeDirectory,
  nodeNetwork,
  ownEnvOf,
  PREFIX,
  PRIVATE_REGISTRY,
  REGISTRY,
  storeOf,
} from "./place.ts";

/** The configuration of a node's programs: all that they write is below the node's directory. */

export function crioSocket(node: NodeName): string {
  return join(nodeDirectory(node), "crio.sock");
}

/** For atomfs and crictl on a node. */
export function nodeEnv(node: NodeName, path: string): Record<string, string> {
  return {
    ...ownEnvOf(node),
    PATH: path,
    CONTAINER_RUNTIME_ENDPOINT: `unix://${crioSocket(node)}`,
    ATOMFS_ROOT: storeOf(node),
    ATOMFS_CONFIG: join(nodeDirectory(node), "atomfs.toml"),
    CRIO_LXC_LOG: join(nodeDirectory(node), "crio-lxc.log"),
  };
}

/** A TOML basic string: JSON's escapes are a subset of TOML's. */
function toml(value: string): string {
  return JSON.stringify(value);
}

/**
 * @param programs with crio-lxc and the player
 * @param path with pinns
 * @param pause an image that sleeps
 */
export function crioConf(node: NodeName, programs: string, path: string, pause: string): string {
  const own = (name: string): string => toml(join(nodeDirectory(node), name));
  const { PATH: _, ...env } = nodeEnv(node, path);
  // CRI-O starts conmon with few variables, and conmon hands them on to the runtime.
  const monitorEnv = Object.entries(env).map(([name, value]) => toml(`${name}=${value}`));
  const pinns = Bun.which("pinns", { PATH: path }) ?? "pinns";
  return `[crio]
root = ${own("storage")}
runroot = ${own("runroot")}
storage_driver = "overlay"
log_dir = ${own("logs")}
version_file = ${own("version")}
version_file_persist = ${own("version-persist")}
clean_shutdown_file = ${own("clean.shutdown")}
[crio.api]
listen = ${toml(crioSocket(node))}
stream_address = "127.0.0.1"
[crio.runtime]
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
pinns_path = ${toml(pinns)}
namespaces_dir = ${own("ns")}
container_exits_dir = ${own("exits")}
container_attach_socket_dir = ${own("attach")}
apparmor_profile = "unconfined"
default_runtime = "crio-lxc"
drop_infra_ctr = true
[crio.runtime.runtimes.crio-lxc]
runtime_path = ${toml(join(programs, "crio-lxc"))}
runtime_type = "oci"
runtime_root = "/run/crio-lxc"
monitor_path = ${toml(Bun.which("conmon") ?? "/usr/bin/conmon")}
monitor_cgroup = "pod"
monitor_env = [${monitorEnv.join(", ")}]
[crio.image]
pause_image = ${toml(pause)}
pause_command = ""
signature_policy = ${own("policy.json")}
[crio.network]
network_dir = ${own("cni")}
plugin_dirs = ["/usr/lib/cni"]
[crio.metrics]
enable_metrics = false
[crio.nri]
enable_nri = false
`;
}

/** YAML's superset of JSON. */
export function kubeletConf(node: NodeName): string {
  const own = (name: string): string => join(nodeDirectory(node), name);
  return `${JSON.stringify({
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    // Of this machine's kernel, not of a cluster that anybody should run.
    failCgroupV1: false,
    cgroupDriver: "cgroupfs",
    cgroupRoot: `/${nodeNetwork(node)}`,
    containerRuntimeEndpoint: `unix://${crioSocket(node)}`,
    address: nodeAddress(node),
    healthzPort: 10248,
    // Its own default is lower, which needs CAP_SYS_RESOURCE.
    oomScoreAdj: 0,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(PKI, "ca.crt") },
    },
    authorization: { mode: "Webhook" },
    tlsCertFile: join(PKI, `${node}.crt`),
    tlsPrivateKeyFile: join(PKI, `${node}.key`),
    clusterDomain: "cluster.local",
    clusterDNS: ["10.96.0.10"],
    resolvConf: own("resolv.conf"),
    podLogsDir: own("podlogs"),
    volumePluginDir: own("plugins"),
    staticPodPath: own("static"),
    // A full disk of the developer's machine is not what is shown here.
    evictionHard: { "nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "50Mi" },
    imageGCHighThresholdPercent: 100,
  })}\n`;
}

export function proxyConf(node: NodeName, kubeconfig: string, podRange: string): string {
  return `${JSON.stringify({
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode: "iptables",
    clientConnection: { kubeconfig },
    clusterCIDR: podRange,
    hostnameOverride: node,
    // Those are the machine's.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
    oomScoreAdj: 0,
    healthzBindAddress: "127.0.0.1:10256",
    metricsBindAddress: "127.0.0.1:10249",
  })}\n`;
}

/** The pods' network: a bridge on the node, as in the simplest of clusters. */
export function cniConf(node: NodeName, podRange: string): string {
  const ipam = {
    type: "host-local",
    dataDir: join(nodeDirectory(node), "ipam"),
    ranges: [[{ subnet: podRange }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  return `${JSON.stringify({
    cniVersion: "1.0.0",
    name: `${PREFIX}-${node}`,
    plugins: [
      { type: "bridge", bridge: `cni-${node}`, isGateway: true, ipMasq: true, hairpinMode: true, ipam },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  })}\n`;
}

/** CRI-O takes an unencrypted registry from its own HOME's file only. */
export const REGISTRIES_CONF: string = [
  "unqualified-search-registries = []",
  ...[REGISTRY, PRIVATE_REGISTRY].map(
    (location) => `[[registry]]
location = ${toml(location)}
insecure = true`,
  ),
  "",
].join("\n");
