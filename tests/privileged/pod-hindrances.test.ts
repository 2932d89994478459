import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { VULNERABLE_PACKAGE } from "../../scripts/demo/images.ts";
import { AtCreateLab } from "../support/at-create-lab.ts";
import { LIBRARY } from "../support/fix-machine.ts";
import { patience } from "../support/slowness.ts";

/*
 * Which pods a restart does not help, found out from real roots: containers of the real Podman, by a crictl that says that they are
 * pods'. Kubernetes is a kubectl that keeps what it is told. With the machine's real apt sources and the demo's images.
 */

const LIMIT_MS = patience(240_000);
const HANDLERS = { web: "crio-lxc", volume: "crio-lxc", legacy: "", stored: "" } as const;
type Name = keyof typeof HANDLERS;
const NAMES = Object.keys(HANDLERS) as Name[];

let lab: AtCreateLab;

beforeAll(async () => {
  lab = await AtCreateLab.open({ subnet: "10.89.231.0/24", bridge: "atomfs-hinder0" });
  const web = await lab.pull("web");
  const feed = await lab.pull("feed");
  await lab.atomfs("import", `containers-storage:${web}`);
  await lab.atomfs("import", `containers-storage:${feed}`, "--deploy");
  await lab.start("web", web);
  await lab.start("volume", web, "--volume", `/etc/hostname:${LIBRARY}:ro`);
  await lab.podman("--runtime", "runc", "run", "-d", "--name", "legacy", ...WAITS(web));
  // The engine's own image would hide AtomFS's of the same name.
  await lab.podman("rmi", feed);
  const storage = lab.env["CONTAINERS_STORAGE_CONF"] ?? "";
  const without = "additionalimagestores = []";
  const text = readFileSync(storage, "utf8");
  expect(text).toContain(without);
  const store = JSON.stringify(join(lab.storeRoot, "image-store"));
  writeFileSync(storage, text.replace(without, `additionalimagestores = [${store}]`));
  await lab.podman("--runtime", "runc", "run", "-d", "--name", "stored", ...WAITS(feed));
  await lab.atomfs("fix", VULNERABLE_PACKAGE, "--yes");
  await lab.restart("volume");
  await installStandIns();
}, patience(900_000));
afterAll(() => lab[Symbol.asyncDispose](), patience(120_000));

const WAITS = (image: string): string[] => ["--network", "none", image, "sleep", "1000000"];

type Inspected = readonly {
  readonly Id: string;
  readonly Image: string;
  readonly State: { readonly Pid: number };
}[];

/** crictl and kubectl, first in the PATH of what the lab runs from now on. */
async function installStandIns(): Promise<void> {
  const bin = join(lab.place, "bin");
  mkdirSync(bin);
  const write = (name: string, text: string): void => writeFileSync(join(bin, name), text, { mode: 0o755 });
  const inspected: Inspected[number][] = [];
  for (const name of NAMES)
    inspected.push(...(JSON.parse(await lab.podman("container", "inspect", name)) as Inspected));
  const labels = (name: string): object => ({
    "io.kubernetes.container.name": "c",
    "io.kubernetes.pod.name": name,
    "io.kubernetes.pod.namespace": "shop",
    "io.kubernetes.pod.uid": `uid-${name}`,
  });
  const containers = inspected.map(({ Id, Image }, i) => ({
    id: Id,
    podSandboxId: NAMES[i],
    imageId: Image,
    state: "CONTAINER_RUNNING",
    labels: labels(NAMES[i] ?? ""),
  }));
  const details = inspected.map(({ Id, State }) => ({
    status: { id: Id, image: { image: "web" } },
    info: { pid: State.Pid },
  }));
  const items = NAMES.map((id) => ({ id, runtimeHandler: HANDLERS[id] }));
  write("containers", JSON.stringify({ containers }));
  write("details", JSON.stringify(details));
  write("pods", JSON.stringify({ items }));
  write("node", JSON.stringify({ kind: "Node", metadata: { name: "n1" }, status: {} }));
  write(
    "crictl",
    `#!/bin/sh
case "$*" in
*" ps "*|"ps "*) cat ${bin}/containers ;;
*"pods "*) cat ${bin}/pods ;;
*inspect*) cat ${bin}/details ;;
*) echo '{}' ;;
esac
`,
  );
  write(
    "kubectl",
    `#!/bin/sh
case "$*" in
*"get --raw"*) cat ${bin}/node ;;
*"replace --raw"*) cat >>${bin}/told; echo >>${bin}/told ;;
*) exit 1 ;;
esac
`,
  );
  Object.assign(lab.env, {
    PATH: `${bin}:/usr/bin:/bin`,
    CONTAINER_RUNTIME_ENDPOINT: "unix:///nowhere",
    ATOMFS_CONFIG: join(lab.place, "atomfs.toml"),
  });
}

type Listed = { readonly name: string; readonly root: string; readonly hindrance?: string };

async function found(): Promise<Record<string, string>> {
  const rows = await lab.atomfs<readonly Listed[]>("containers", "--outdated");
  const pods = rows.filter(({ name }) => name.startsWith("shop/"));
  return Object.fromEntries(
    pods.map(({ name, root, hindrance }) => [name.split("/")[1], `${root}, ${hindrance ?? "curable"}`]),
  );
}

test(
  "each container's root, runtime and volumes decide, and the node's policy",
  async () => {
    const plain = {
      web: "outdated, curable",
      legacy: "outdated, runtime",
      stored: "outdated, curable",
      volume: "shadowed, volume",
    };
    expect(await found()).toEqual(plain);
    lab.policy('outdated = "warn"');
    expect(await found()).toEqual({
      ...plain,
      web: "outdated, policy-warn",
      volume: "shadowed, policy-warn",
    });
    lab.policy('outdated = "refuse"');
    expect(await found()).toMatchObject({ web: "outdated, policy-refuse", stored: "outdated, curable" });
    lab.policy('outdatd = "refuse"');
    expect(await found()).toMatchObject({ web: "outdated, policy-bad", legacy: "outdated, runtime" });
    lab.policy();
  },
  LIMIT_MS,
);

type Reported = { readonly pod: string; readonly hindrance?: string };
type Report = {
  readonly outdated: readonly Reported[];
  readonly shadowed: readonly Reported[];
  readonly condition: { readonly reason: string; readonly message: string };
};

test(
  "the node's report says so",
  async () => {
    const report = await lab.atomfs<Report>("report", "--node", "n1", "--kubeconfig", "/dev/null");
    const word = (each: readonly Reported[]): Record<string, string | undefined> =>
      Object.fromEntries(each.map(({ pod, hindrance }) => [pod, hindrance]));
    expect(word(report.outdated)).toEqual({ web: undefined, legacy: "runtime", stored: undefined });
    expect(word(report.shadowed)).toEqual({ volume: "volume" });
    expect(report.condition.reason).toBe("PodsOutdated");
    expect(report.condition.message).toContain("a restart does not help 2 of them");
  },
  LIMIT_MS,
);
