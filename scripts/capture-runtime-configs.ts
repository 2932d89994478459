/**
 * Makes the golden inputs of crio-lxc's planner again: what Podman hands to a runtime for its common options, and runc's own
 * template. A wrapper stands in for the runtime, keeps config.json and fails; nothing is started. Run as root:
 * `bun scripts/capture-runtime-configs.ts`.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../src/sys/process.ts";
import { writePodmanConfig } from "./demo/podman-config.ts";

const FIXTURES = join(import.meta.dir, "..", "tests", "fixtures", "runtime");

/** By fixture name: arguments of `podman create`. */
const CASES: Readonly<Record<string, readonly string[]>> = {
  default: [],
  "host-namespaces": ["--pid=host", "--network=host", "--ipc=host", "--uts=host"],
  limits: [
    "--memory=64m",
    "--memory-swap=128m",
    "--memory-reservation=32m",
    "--cpus=0.5",
    "--cpu-shares=512",
    "--cpuset-cpus=0-1",
    "--pids-limit=50",
    "--oom-score-adj=100",
  ],
  capabilities: ["--cap-drop=all", "--cap-add=NET_ADMIN", "--cap-add=CHOWN"],
  privileged: ["--privileged"],
  "read-only": ["--read-only", "--tmpfs=/cache:rw,size=64k,mode=1777", "--tmpfs=/copied"],
  volumes: ["--volume=/tmp:/data:ro", "--volume=/tmp:/shared:rshared", "--volume=/tmp:/z:rw,Z,noexec"],
  device: ["--device=/dev/zero:/dev/xzero:rw"],
  sysctl: ["--sysctl=net.ipv4.ip_forward=1", "--sysctl=kernel.msgmax=4096", "--ulimit=nofile=512:1024"],
  user: ["--user=33:44", "--group-add=7", "--group-add=8", "--workdir=/srv/app", "--umask=0077"],
  "user-namespace": ["--uidmap=0:100000:65536", "--gidmap=0:100000:65536"],
  unconfined: ["--security-opt=seccomp=unconfined", "--security-opt=no-new-privileges"],
  terminal: ["--tty", "--interactive", "--init", "--hostname=box"],
};

async function capture(directory: string): Promise<void> {
  const captured = join(directory, "captured.json");
  const wrapper = join(directory, "keep-config");
  writeFileSync(
    wrapper,
    `#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in --bundle|-b) cp "$2/config.json" ${captured};; esac
  shift
done
echo kept >&2
exit 1
`,
  );
  chmodSync(wrapper, 0o755);
  const environment = await writePodmanConfig({
    directory,
    imageStores: [],
    runtime: { name: "keep-config", path: wrapper },
    subnet: "10.89.178.0/24",
    bridge: "atomfs-capture0",
  });
  const env = { ...process.env, ...environment };
  const root = join(directory, "root");
  for (const name of ["etc", "srv/app", "copied"]) mkdirSync(join(root, name), { recursive: true });
  writeFileSync(join(root, "etc", "passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  await run(["tar", "-C", root, "-cf", join(directory, "root.tar"), "."]);
  await run(["podman", "import", join(directory, "root.tar"), "localhost/small:1"], { env });
  for (const [name, options] of Object.entries(CASES)) {
    rmSync(captured, { force: true });
    const network = options.some((option) => option.startsWith("--network")) ? [] : ["--network=none"];
    await run(["podman", "run", "--rm", ...network, ...options, "localhost/small:1", "/bin/true"], {
      env,
      okCodes: [125, 126, 127],
    });
    keep(`podman-${name}`, readFileSync(captured, "utf8"), directory);
  }
  await run(["podman", "rmi", "--force", "localhost/small:1"], { env });
}

/** Names of one run and one machine become names that stay the same, so that a new capture shows only what changed. */
function keep(name: string, text: string, directory: string): void {
  const stable = text
    .replaceAll(directory, "/var/lib/containers")
    .replaceAll(/overlay\/[0-9a-f]{64}\/merged/g, "overlay/layer/merged")
    .replaceAll(/[0-9a-f]{64}/g, "c".repeat(64))
    .replaceAll(/"(HOSTNAME=)?[0-9a-f]{12}"/g, `"$1${"c".repeat(12)}"`)
    .replaceAll(/\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)/g, "2024-01-01T00:00:00Z")
    .replaceAll(/netns-[0-9a-f-]{36}/g, "netns-1");
  const config = JSON.parse(stable);
  // A privileged container gets all devices of the machine; some that every machine has are enough.
  const common = /^\/dev\/(fuse|kmsg|loop0|net\/tun|null|ptmx|tty)$/;
  if (config.linux.devices?.length > 10)
    config.linux.devices = config.linux.devices.filter(({ path }: { path: string }) => common.test(path));
  writeFileSync(join(FIXTURES, `${name}.json`), `${JSON.stringify(config, undefined, 1)}\n`);
}

async function main(): Promise<void> {
  mkdirSync(FIXTURES, { recursive: true });
  const directory = mkdtempSync(join(tmpdir(), "atomfs-capture-"));
  try {
    const bundle = join(directory, "bundle");
    mkdirSync(bundle);
    await run(["runc", "spec", "--bundle", bundle]);
    keep("runc-spec", readFileSync(join(bundle, "config.json"), "utf8"), directory);
    await capture(directory);
  } finally {
    await run(["umount", join(directory, "graph", "overlay")], { okCodes: [0, 1, 32] });
    rmSync(directory, { recursive: true, force: true });
  }
}

await main();
