import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../../src/sys/process.ts";
import { CRITEST, type Runtime } from "../plan.ts";
import { serveLayout } from "../registry.ts";

/*
 * The guest as a node: what an administrator of CRI-O sets up. This machine is thrown away after the run, so that files go
 * to the ordinary places.
 */

export const SOCKET = "/run/crio/crio.sock";
const REGISTRY = "127.0.0.1:5000";
const MODULES = [
  "overlay",
  "br_netfilter",
  "bridge",
  "veth",
  "nf_tables",
  "xt_comment",
  "xt_MASQUERADE",
  "xt_addrtype",
  "xt_multiport",
  "xt_conntrack",
  "xt_mark",
];
const SYSCTLS = [
  "net.ipv4.ip_forward=1",
  "net.ipv4.conf.all.route_localnet=1",
  "net.bridge.bridge-nf-call-iptables=1",
];

/** The package that AtomFS fixes, in all images with a shell. */
const FIXED_PACKAGE = "libdemo1";
const READY_MS = 300_000;

/**
 * Programs, network and CRI-O's configuration; crio-lxc as an administrator installs it.
 * @returns the registry that critest's images come from
 */
export async function makeNode(runtime: Runtime): Promise<Disposable> {
  for (const name of ["crio", "pinns", "crictl", "critest", "runc"])
    symlinkSync(join(CRITEST, "bin", name), join("/usr/local/bin", name));
  // critest loads AppArmor profiles by sudo; here is nobody but root.
  put("/usr/local/bin/sudo", '#!/bin/sh\nexec "$@"\n', 0o755);
  cpSync(join(CRITEST, "cni"), "/usr/lib/cni", { recursive: true });
  for (const module of MODULES) await run(["modprobe", module], { okCodes: [0, 1] });
  await run(["sysctl", "-qw", ...SYSCTLS]);
  // Host ports on loopback, as CRI-O's own tests have it.
  await run([
    "iptables",
    "-t",
    "nat",
    "-I",
    "POSTROUTING",
    "-s",
    "127.0.0.0/8",
    "!",
    "-d",
    "127.0.0.0/8",
    "-j",
    "MASQUERADE",
  ]);
  for (const [path, text] of Object.entries(files(runtime))) put(path, text);
  if (runtime === "crio-lxc") await run(["/work/repository/dist/atomfs", "install", "--crio", "--default"]);
  const [hostname = "", port = ""] = REGISTRY.split(":");
  return serveLayout(join(CRITEST, "images"), hostname, Number(port));
}

function put(path: string, text: string, mode = 0o644): void {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, text, { mode });
}

function files(runtime: Runtime): Record<string, string> {
  const registries = ["registry.k8s.io", "k8s.gcr.io", "gcr.io"].map(
    (prefix) => `[[registry]]\nprefix = "${prefix}"\nlocation = "${REGISTRY}"\ninsecure = true\n`,
  );
  const ipam = { type: "host-local", ranges: [[{ subnet: "10.85.0.0/16" }]], routes: [{ dst: "0.0.0.0/0" }] };
  return {
    "/etc/containers/registries.conf": `unqualified-search-registries = []\n${registries.join("")}`,
    "/etc/containers/policy.json": '{"default":[{"type":"insecureAcceptAnything"}]}\n',
    "/etc/cni/net.d/11-bridge.conflist": `${JSON.stringify({
      cniVersion: "1.0.0",
      name: "crio",
      plugins: [
        { type: "bridge", bridge: "cni0", isGateway: true, ipMasq: true, hairpinMode: true, ipam },
        { type: "portmap", capabilities: { portMappings: true } },
      ],
    })}\n`,
    "/etc/crictl.yaml": `runtime-endpoint: unix://${SOCKET}\nimage-endpoint: unix://${SOCKET}\ntimeout: 300\n`,
    "/etc/crio/crio.conf.d/10-node.conf": crioConf(runtime),
    "/etc/resolv.conf": "nameserver 127.0.0.1\n",
  };
}

/** CRI-O's own defaults where it has any: systemd's control groups, seccomp, AppArmor. */
function crioConf(runtime: Runtime): string {
  const runc = `[crio.runtime]
default_runtime = "runc"
[crio.runtime.runtimes.runc]
runtime_path = "/usr/local/bin/runc"
runtime_type = "oci"
runtime_root = "/run/runc"
`;
  return `${runtime === "runc" ? runc : ""}[crio.image]
pause_image = "registry.k8s.io/pause:3.10.1"
signature_policy = "/etc/containers/policy.json"
[crio.network]
plugin_dirs = ["/usr/lib/cni"]
`;
}

/** CRI-O, back when it answers. */
export async function startCrio(log: string): Promise<Bun.Subprocess> {
  const crio = Bun.spawn(["crio"], { stdin: "ignore", stdout: Bun.file(log), stderr: Bun.file(log) });
  const end = performance.now() + READY_MS;
  while (!existsSync(SOCKET) || (await run(["crictl", "version"], { okCodes: [0, 1] })).code !== 0) {
    if (crio.exitCode !== null || performance.now() > end)
      throw new Error(`CRI-O does not start: ${(await Bun.file(log).text()).slice(-2000)}`);
    await Bun.sleep(500);
  }
  return crio;
}

/**
 * A fix before the first container, and the policy that images which come later get it at their first start: so critest's
 * containers run on molecules.
 */
export async function fixBeforehand(): Promise<void> {
  put(
    "/etc/atomfs/atomfs.toml",
    '[at-create]\nunknown = "import"\nimport-seconds = 600\non-error = "refuse"\n',
  );
  const world = "/var/tmp/world";
  await run([process.execPath, "/work/repository/tests/support/make-world.ts", world]);
  const image = "registry.k8s.io/e2e-test-images/busybox:1.29-2";
  await run(["crictl", "pull", image]);
  const env = { ...process.env, ATOMFS_APT_ROOT: join(world, "machine") };
  await run(["atomfs", "import", `containers-storage:${image}`], { env });
  await run(["atomfs", "fix", FIXED_PACKAGE, "--yes"], { env });
  await requireFixedContainer(image);
}

/** @throws Error if a container of the image does not run on a molecule */
async function requireFixedContainer(image: string): Promise<void> {
  const pod = { metadata: { name: "probe", namespace: "default", uid: "probe", attempt: 0 }, linux: {} };
  const container = { metadata: { name: "probe" }, image: { image }, command: ["sleep", "1000"], linux: {} };
  put("/run/probe/pod.json", JSON.stringify(pod));
  put("/run/probe/container.json", JSON.stringify(container));
  const crictl = async (...args: readonly string[]): Promise<string> =>
    (await run(["crictl", ...args])).stdout.toString().trim();
  const podId = await crictl("runp", "/run/probe/pod.json");
  const id = await crictl("create", podId, "/run/probe/container.json", "/run/probe/pod.json");
  await crictl("start", id);
  const state = (await run(["crio-lxc", "--root", "/run/crio-lxc", "state", id])).stdout.toString();
  const { annotations } = JSON.parse(state) as { readonly annotations: Readonly<Record<string, string>> };
  if (annotations["io.atomfs.root"] !== "molecule") throw new Error(`The probe is not fixed: ${state}`);
  await crictl("rmp", "--force", podId);
}

/** Of AtomFS's store, those that have the fix. */
export async function fixedImages(): Promise<number> {
  const { stdout } = await run(["atomfs", "--json", "images"]);
  const images = JSON.parse(stdout.toString()) as readonly { readonly fixes: readonly string[] }[];
  return images.filter(({ fixes }) => fixes.length > 0).length;
}
