import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import { type Daemon, startDaemon, until } from "./daemons.ts";
import type { Kubectl } from "./kubectl.ts";
import { kubeconfigOf, PKI } from "./pki.ts";
import {
  CONTROL_ADDRESS,
  CONTROL_NETWORK,
  inNetwork,
  PLACE,
  POD_RANGE,
  PRIVATE_REGISTRY,
  REGISTRY,
  SERVICE_RANGE,
} from "./place.ts";

const ETCD = "http://127.0.0.1:2379";
const ETCD_PEER = "http://127.0.0.1:2380";
/** On a machine of 2026, loaded. */
const READY_SECONDS = 180;

/** A network of its own with a bridge for the nodes: nothing of the cluster listens on the machine itself. */
export async function makeControlNetwork(): Promise<void> {
  await run(["ip", "netns", "add", CONTROL_NETWORK]);
  const ip = (...args: readonly string[]): Promise<unknown> =>
    run(inNetwork(CONTROL_NETWORK, ["ip", ...args]));
  await ip("link", "set", "lo", "up");
  await ip("link", "add", "br0", "type", "bridge");
  await ip("addr", "add", `${CONTROL_ADDRESS}/24`, "dev", "br0");
  await ip("link", "set", "br0", "up");
}

/** etcd, API server, controller manager and scheduler. */
export async function startControlPlane(kubectl: Kubectl, signal: AbortSignal): Promise<void> {
  const { path } = kubectl;
  const start = (name: string, argv: readonly string[]): Daemon =>
    startDaemon(name, CONTROL_NETWORK, argv, { PATH: path });
  const answers = async (url: string): Promise<boolean> => {
    const argv = inNetwork(CONTROL_NETWORK, ["curl", "-skf", "--max-time", "5", "-o", "/dev/null", url]);
    return (await run(argv, { okCodes: CURL_CODES, signal })).code === 0;
  };
  const etcd = start("etcd", [
    ...["etcd", "--data-dir", join(PLACE, "etcd"), "--initial-cluster", `default=${ETCD_PEER}`],
    ...["--listen-client-urls", ETCD, "--advertise-client-urls", ETCD],
    ...["--listen-peer-urls", ETCD_PEER, "--initial-advertise-peer-urls", ETCD_PEER],
    // The data are thrown away at the end: they need not survive the machine.
    "--unsafe-no-fsync",
  ]);
  await until("etcd", READY_SECONDS, signal, () => answers(`${ETCD}/health`), etcd);
  const api = start("kube-apiserver", [
    "kube-apiserver",
    ...flags({
      "etcd-servers": ETCD,
      "bind-address": CONTROL_ADDRESS,
      "secure-port": "6443",
      "advertise-address": CONTROL_ADDRESS,
      "service-cluster-ip-range": SERVICE_RANGE,
      "authorization-mode": "Node,RBAC",
      "enable-admission-plugins": "NodeRestriction",
      "allow-privileged": "true",
      "client-ca-file": join(PKI, "ca.crt"),
      "tls-cert-file": join(PKI, "apiserver.crt"),
      "tls-private-key-file": join(PKI, "apiserver.key"),
      "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
      "service-account-key-file": join(PKI, "sa.pub"),
      "service-account-signing-key-file": join(PKI, "sa.key"),
      "kubelet-preferred-address-types": "InternalIP",
      "kubelet-client-certificate": join(PKI, "apiserver-kubelet-client.crt"),
      "kubelet-client-key": join(PKI, "apiserver-kubelet-client.key"),
    }),
  ]);
  await until("kube-apiserver", READY_SECONDS, signal, () => kubectl.works(["get", "--raw", "/readyz"]), api);
  const client = (name: "controller-manager" | "scheduler"): string[] =>
    flags({
      kubeconfig: kubeconfigOf(name),
      "authentication-kubeconfig": kubeconfigOf(name),
      "authorization-kubeconfig": kubeconfigOf(name),
      "bind-address": "127.0.0.1",
      "leader-elect": "false",
    });
  const manager = start("kube-controller-manager", [
    "kube-controller-manager",
    ...client("controller-manager"),
    ...flags({
      "use-service-account-credentials": "true",
      "root-ca-file": join(PKI, "ca.crt"),
      "service-account-private-key-file": join(PKI, "sa.key"),
      "allocate-node-cidrs": "true",
      "cluster-cidr": POD_RANGE,
      "service-cluster-ip-range": SERVICE_RANGE,
    }),
  ]);
  const scheduler = start("kube-scheduler", ["kube-scheduler", ...client("scheduler")]);
  const healthy = (port: number) => () => answers(`https://127.0.0.1:${port}/healthz`);
  await until("kube-controller-manager", READY_SECONDS, signal, healthy(10257), manager);
  await until("kube-scheduler", READY_SECONDS, signal, healthy(10259), scheduler);
  const account = ["get", "serviceaccount", "default"];
  await until("the default service account", READY_SECONDS, signal, () => kubectl.works(account));
}

/** What a private registry asks for. */
export type Login = { readonly user: string; readonly password: string };

/**
 * As Debian packages it, without encryption: it listens inside of the cluster's own network only.
 * @param login of the private one, which is another than the one for everybody
 */
export async function startRegistry(signal: AbortSignal, login?: Login): Promise<void> {
  const name = login === undefined ? "registry" : "private-registry";
  const address = registryOf(login);
  const directory = join(PLACE, name);
  await mkdir(directory, { recursive: true });
  const config = {
    version: "0.1",
    log: { accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: directory } },
    http: { addr: address },
    ...(login === undefined ? {} : { auth: { htpasswd: await passwordFile(name, login) } }),
  };
  const file = join(PLACE, `${name}.yml`);
  await writeFile(file, `${JSON.stringify(config)}\n`);
  const daemon = startDaemon(name, CONTROL_NETWORK, ["docker-registry", "serve", file], {
    OTEL_TRACES_EXPORTER: "none",
  });
  const user = login === undefined ? [] : ["--user", `${login.user}:${login.password}`];
  const curl = ["curl", "-sf", "--max-time", "5", "-o", "/dev/null", ...user, `http://${address}/v2/`];
  const ask = inNetwork(CONTROL_NETWORK, curl);
  const isUp = async (): Promise<boolean> => (await run(ask, { okCodes: CURL_CODES, signal })).code === 0;
  await until(`the ${name}`, READY_SECONDS, signal, isUp, daemon);
}

/** The registry takes bcrypt's hashes only. */
async function passwordFile(realm: string, { user, password }: Login): Promise<object> {
  const path = join(PLACE, `${realm}.htpasswd`);
  const hash = await Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 });
  await writeFile(path, `${user}:${hash}\n`, { mode: 0o600 });
  return { realm, path };
}

function registryOf(login: Login | undefined): string {
  return login === undefined ? REGISTRY : PRIVATE_REGISTRY;
}

/** @param source as skopeo takes it @param login of the private registry @returns the name that pods take */
export async function pushImage(
  source: string,
  name: string,
  signal: AbortSignal,
  login?: Login,
): Promise<string> {
  const target = `${registryOf(login)}/${name}`;
  const policy = existsSync("/etc/containers/policy.json") ? [] : ["--insecure-policy"];
  const argv = [
    "skopeo",
    ...policy,
    "copy",
    "--quiet",
    "--dest-tls-verify=false",
    ...(login === undefined ? [] : [`--dest-creds=${login.user}:${login.password}`]),
    source,
    `docker://${target}`,
  ];
  await run(inNetwork(CONTROL_NETWORK, argv), { signal });
  return target;
}

/** @param image as `pushImage` returned it @returns "sha256:..." of its manifest */
export async function digestOf(image: string, signal: AbortSignal, login?: Login): Promise<string> {
  const user = login === undefined ? [] : [`--creds=${login.user}:${login.password}`];
  const inspect = ["skopeo", "inspect", "--raw", "--tls-verify=false", ...user, `docker://${image}`];
  const { stdout } = await run(inNetwork(CONTROL_NETWORK, inspect), { signal });
  return `sha256:${new Bun.CryptoHasher("sha256").update(stdout).digest("hex")}`;
}

function flags(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).map(([name, value]) => `--${name}=${value}`);
}

/** curl's own: it did not get an answer, yet. */
const CURL_CODES: readonly number[] = Array.from({ length: 100 }, (_, code) => code);
