import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { lockFileLater } from "../../src/sys/lock.ts";
import { run } from "../../src/sys/process.ts";
import { findGo, type Go, type WantedGo } from "../go-toolchain.ts";

/** Outside of the checkout, so that it survives a fresh one. */
export const K8S_CACHE: string = process.env["ATOMFS_K8S_CACHE"] ?? "/var/cache/atomfs-k8s";
/** What Kubernetes 1.36 asks for. */
const GO: WantedGo = { oldest: 26, debian: { version: "1.26", suite: "sid" } };
const MODULES = join(import.meta.dir, "modules");
const KUBERNETES = "1.36.1";
/** Of another build, on a slow machine from nothing. */
const LOCK_MS = 90 * 60_000;

/** One Go module of `modules/`, whose go.mod pins the version and go.sum the content. */
type Part = {
  readonly name: "kubernetes" | "etcd" | "crio" | "cri-tools" | "critest" | "runc";
  /** Of go.mod and go.sum, if it is another than the name. */
  readonly module?: string;
  /** "test": a package of tests is the program. */
  readonly verb?: "test";
  /** Programs by their package. */
  readonly programs: Readonly<Record<string, string>>;
  readonly cgo: boolean;
  readonly flags: readonly string[];
  /** CPU time on a machine of 2026, to say beforehand what is to come. */
  readonly minutes: number;
};

const PARTS: readonly Part[] = [
  {
    name: "kubernetes",
    programs: Object.fromEntries(
      ["apiserver", "controller-manager", "scheduler", "proxy"]
        .map((name) => `kube-${name}`)
        .concat("kubelet", "kubectl")
        .map((name) => [name, `k8s.io/kubernetes/cmd/${name}`]),
    ),
    cgo: false,
    flags: ["-ldflags", ["-s -w", ...kubernetesVersion()].join(" ")],
    minutes: 9,
  },
  {
    name: "etcd",
    programs: { etcd: "go.etcd.io/etcd/server/v3" },
    cgo: false,
    flags: ["-ldflags", "-s -w"],
    minutes: 1,
  },
  {
    name: "crio",
    programs: { crio: "github.com/cri-o/cri-o/cmd/crio" },
    cgo: true,
    flags: [
      "-tags",
      "seccomp apparmor selinux libsqlite3 containers_image_openpgp exclude_graphdriver_btrfs btrfs_noversion",
    ],
    minutes: 2,
  },
  {
    name: "cri-tools",
    programs: { crictl: "sigs.k8s.io/cri-tools/cmd/crictl" },
    cgo: false,
    flags: ["-ldflags", "-s -w"],
    minutes: 1,
  },
];

/** What critest needs beside CRI-O: itself, and the runtime that crio-lxc is compared with. */
const VALIDATION: readonly Part[] = [
  {
    name: "critest",
    module: "cri-tools",
    verb: "test",
    programs: { critest: "sigs.k8s.io/cri-tools/cmd/critest" },
    cgo: false,
    flags: ["-ldflags", "-s -w"],
    minutes: 2,
  },
  {
    name: "runc",
    programs: { runc: "github.com/opencontainers/runc" },
    cgo: true,
    flags: ["-tags", "seccomp"],
    minutes: 1,
  },
];

/** Without it kubelet says that it is version 0.0.0, and the API server refuses what it cannot compare. */
function kubernetesVersion(): string[] {
  return ["k8s.io/client-go/pkg/version", "k8s.io/component-base/version"].flatMap((name) => [
    `-X ${name}.gitVersion=v${KUBERNETES}`,
    `-X ${name}.gitMajor=1`,
    `-X ${name}.gitMinor=${KUBERNETES.split(".")[1]}`,
    `-X ${name}.gitTreeState=clean`,
  ]);
}

export type BinaryOptions = {
  readonly log: (message: string) => void;
  readonly signal: AbortSignal;
  /** Default: all. */
  readonly parts?: readonly Part["name"][];
};

/**
 * Kubernetes, etcd, CRI-O with its pinns and crictl, from the Go module proxy, built at most once a machine and version.
 * @returns a PATH of their directories
 */
export async function kubernetesBinaries(options: BinaryOptions): Promise<string> {
  return builtParts(PARTS, options);
}

/**
 * CRI-O, crictl, critest and runc, likewise.
 * @returns a PATH of their directories
 */
export async function critestBinaries(options: BinaryOptions): Promise<string> {
  const engine = PARTS.filter(({ name }) => name === "crio" || name === "cri-tools");
  return builtParts([...engine, ...VALIDATION], options);
}

async function builtParts(parts: readonly Part[], options: BinaryOptions): Promise<string> {
  const directories: string[] = [];
  for (const part of parts) {
    if (options.parts?.includes(part.name) !== false) directories.push(await builtPart(part, options));
  }
  return directories.join(":");
}

async function builtPart(part: Part, { log, signal }: BinaryOptions): Promise<string> {
  const directory = join(K8S_CACHE, `${part.name}-${await keyOf(part)}`);
  if (existsSync(directory)) return directory;
  const names = Object.keys(part.programs).join(" ");
  log(`Building ${part.name} (once; ${part.minutes} min of a processor): ${names}`);
  await mkdir(K8S_CACHE, { recursive: true, mode: 0o755 });
  // Whoever waited finds what the other one built.
  using _lock = await lockFileLater(join(K8S_CACHE, "lock"), "exclusive", { timeoutMs: LOCK_MS, signal });
  if (existsSync(directory)) return directory;
  await removeAbandoned();
  const work = await mkdtemp(join(K8S_CACHE, `tmp-${process.pid}-`));
  try {
    const output = join(work, "bin");
    await mkdir(output);
    await build(part, work, output, signal);
    await rename(output, directory);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return directory;
}

/** Of everything that decides what comes out. */
async function keyOf(part: Part): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256").update(`${process.arch}\n${JSON.stringify(part)}`);
  for (const name of ["go.mod", "go.sum"])
    hash.update(await readFile(join(MODULES, part.module ?? part.name, name)));
  return hash.digest("hex").slice(0, 16);
}

async function build(part: Part, work: string, output: string, signal: AbortSignal): Promise<void> {
  for (const name of ["go.mod", "go.sum"])
    await copyFile(join(MODULES, part.module ?? part.name, name), join(work, name));
  const go: Go = await findGo(GO);
  const verb = part.verb === "test" ? ["test", "-c"] : ["build"];
  const options = {
    cwd: work,
    signal,
    env: {
      HOME: "/root",
      ...process.env,
      ...go.env,
      CGO_ENABLED: part.cgo ? "1" : "0",
      GOTOOLCHAIN: "local",
      // What a killed compiler leaves goes with the directory.
      GOTMPDIR: work,
      GOFLAGS: "-buildvcs=false -mod=readonly",
    },
  };
  // timeout(1), here without a limit, hands a signal on to the whole group: go itself leaves its compilers behind.
  for (const [name, path] of Object.entries(part.programs))
    await run(
      ["timeout", "0", go.program, ...verb, "-trimpath", ...part.flags, "-o", join(output, name), path],
      options,
    );
  if (part.name !== "crio") return;
  // CRI-O's own helper that keeps namespaces, in C, beside it in the module.
  const list = [go.program, "list", "-m", "-f", "{{.Dir}}", "github.com/cri-o/cri-o"] as const;
  const { stdout } = await run(list, options);
  const sources = join(stdout.toString().trim(), "pinns/src");
  const files = (await readdir(sources)).filter((file) => file.endsWith(".c"));
  await run(["cc", "-O2", "-o", join(output, "pinns"), ...files.map((file) => join(sources, file))], options);
}

/** What a killed build left: its directory carries its process id. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(K8S_CACHE)) {
    const pid = /^tmp-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      await rm(join(K8S_CACHE, name), { recursive: true, force: true });
  }
}
