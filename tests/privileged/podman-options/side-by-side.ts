import { afterAll, beforeAll, describe, expect } from "bun:test";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type CgroupManager, writePodmanConfig } from "../../../scripts/demo/podman-config.ts";
import { readMountinfo } from "../../../src/sys/mountinfo.ts";
import { run } from "../../../src/sys/process.ts";
import { testUnless } from "../../support/needs.ts";
import { patience } from "../../support/slowness.ts";
import type { Case, Layout, Proof } from "./cases.ts";
import { type Answer, transcript } from "./transcript.ts";

const REPOSITORY = join(import.meta.dir, "../../..");
const IMAGE = "localhost/options:1";
const RUNTIMES = ["runc", "crio-lxc"] as const;
type Runtime = (typeof RUNTIMES)[number];
/** One command; some wait for a second on purpose. */
const COMMAND_LIMIT_MS = patience(60_000);
const CASE_LIMIT_MS = 120_000;
/** A case begins while those before it are at work. */
const AHEAD = 2;

const LAYOUT: Layout = existsSync("/sys/fs/cgroup/cgroup.controllers") ? "v2" : "v1";

type Setting = {
  readonly cgroupManager: CgroupManager;
  readonly subnet: string;
  readonly bridge: string;
};

export type Table = Readonly<Record<string, readonly Case[]>>;

/**
 * Tests that give each case to Podman with runc, the control, and with crio-lxc: what is seen must be the same.
 * @param unless why this machine cannot
 */
export function compareSideBySide(title: string, table: Table, setting: Setting, unless?: string): void {
  let lab: SideBySide;
  beforeAll(async () => {
    if (unless === undefined) lab = await SideBySide.open(setting);
  }, patience(120_000));
  afterAll(async () => {
    if (unless === undefined) await lab[Symbol.asyncDispose]();
  }, patience(120_000));
  const whyNot = (one: Case): string | undefined =>
    unless ?? (isHere(one) ? undefined : `limits are in cgroup ${LAYOUT} here`);
  const all = Object.values(table)
    .flat()
    .filter((each) => whyNot(each) === undefined);
  const begun = new Map<Case, Promise<readonly string[]>>();
  const sidesOf = (one: Case): Promise<readonly string[]> => {
    const at = all.indexOf(one);
    for (const [i, each] of all.slice(at, at + AHEAD).entries()) {
      if (!begun.has(each))
        begun.set(each, Promise.all(RUNTIMES.map((runtime) => lab.play(each, at + i, runtime))));
    }
    return begun.get(one) ?? Promise.resolve([]);
  };
  for (const [group, cases] of Object.entries(table)) {
    describe(`${title}: ${group}`, () => {
      for (const one of cases) {
        const body = async (): Promise<void> => {
          const [control = "", ours = ""] = (await sidesOf(one)).map((text) => withoutDifference(text, one));
          keep(`${group}-${all.indexOf(one)}`, { runc: control, "crio-lxc": ours });
          const { otherwise } = one;
          if (otherwise !== undefined && isHere(otherwise) && otherwise.says.test(control)) {
            for (const pattern of otherwise.ours) expect(ours).toMatch(pattern);
            return;
          }
          for (const proof of one.shows) expect(control).toMatch(onThisMachine(proof));
          expect(ours).toBe(control);
        };
        testUnless(whyNot(one), one.name, body, CASE_LIMIT_MS);
      }
    });
  }
}

function isHere({ only }: { readonly only?: Layout }): boolean {
  return only === undefined || only === LAYOUT;
}

function onThisMachine(proof: Proof): string | RegExp {
  return typeof proof === "string" || proof instanceof RegExp ? proof : proof[LAYOUT];
}

function withoutDifference(text: string, { differs }: Case): string {
  return differs === undefined ? text : text.replace(differs.from, differs.to);
}

/** For people: OPTIONS_TRANSCRIPTS names a directory that gets both sides of every case. */
function keep(name: string, sides: Readonly<Record<Runtime, string>>): void {
  const directory = process.env["OPTIONS_TRANSCRIPTS"];
  if (directory === undefined) return;
  mkdirSync(directory, { recursive: true });
  for (const runtime of RUNTIMES) writeFileSync(join(directory, `${name}.${runtime}`), sides[runtime]);
}

/** Podman with a storage of its own, and both runtimes. */
class SideBySide implements AsyncDisposable {
  readonly #place: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #bridge: string;

  private constructor(place: string, env: Readonly<Record<string, string>>, bridge: string) {
    this.#place = place;
    this.#env = env;
    this.#bridge = bridge;
  }

  static async open({ cgroupManager, subnet, bridge }: Setting): Promise<SideBySide> {
    const place = mkdtempSync("/var/tmp/atomfs-options-");
    await run([process.execPath, join(REPOSITORY, "scripts/build.ts")], { cwd: REPOSITORY });
    const wrapper = join(place, "bin/crio-lxc");
    mkdirSync(join(place, "bin"));
    mkdirSync(join(place, "podman"));
    const settings = `export ATOMFS_ROOT=${join(place, "no-store")} ATOMFS_CONFIG=${join(place, "no-policy")}`;
    writeFileSync(wrapper, `#!/bin/sh\n${settings}\nexec ${REPOSITORY}/dist/crio-lxc "$@"\n`);
    chmodSync(wrapper, 0o755);
    const conf = await writePodmanConfig({
      directory: join(place, "podman"),
      imageStores: [],
      runtime: { name: "crio-lxc", path: wrapper },
      cgroupManager,
      subnet,
      bridge,
    });
    // As for runc: Podman then reads errors from the log, not from what the runtime wrote to stderr.
    const text = readFileSync(conf.CONTAINERS_CONF, "utf8");
    const json = 'runtime_supports_json = ["runc", "crio-lxc"]';
    writeFileSync(conf.CONTAINERS_CONF, text.replace("[engine]", `[engine]\n${json}`));
    const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", TERM: "xterm", ...conf };
    for (const runtime of RUNTIMES) makeShim(place, runtime);
    await makeImage(join(place, "image"), env);
    return new SideBySide(place, env, bridge);
  }

  /** @param number the case's, in names of this case alone */
  async play({ commands }: Case, number: number, runtime: Runtime): Promise<string> {
    const mark = `${number}${runtime === "runc" ? "a" : "b"}`;
    const name = `opt${mark}`;
    const directory = join(this.#place, `dir${mark}`);
    mkdirSync(directory, { recursive: true });
    const fill = (word: string): string =>
      word.replaceAll("NAME", name).replaceAll("DIR", directory).replaceAll("IMAGE", IMAGE);
    const answers: Answer[] = [];
    const own = { ...this.#env, PATH: `${shimDirectory(this.#place, runtime)}:${this.#env["PATH"]}` };
    try {
      for (const command of commands) {
        const [first = "", ...rest] = command.map(fill);
        const argv = first === "sh" ? ["sh", "-c", rest[0] ?? ""] : ["podman", first, ...rest];
        answers.push({ ...(await answer(argv, own, directory)), argv: command });
      }
    } finally {
      const script = leftovers(commands).map(fill).join("; ");
      if (script !== "") await run(["sh", "-c", `${script}; true`], { env: own });
    }
    const replacements: [string, string][] = [
      [directory, "DIR"],
      [name, "NAME"],
      [IMAGE, "IMAGE"],
      [this.#place, "PLACE"],
    ];
    return transcript(answers, { replacements, hostNamespaces: HOST_NAMESPACES });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const env = this.#env;
    await run(["podman", "pod", "rm", "--all", "--force", "--time", "0"], { env, okCodes: [0, 1, 125] });
    await run(["podman", "rm", "--all", "--force", "--time", "0"], { env, okCodes: [0, 1, 125] });
    for (const { target } of readMountinfo().reverse()) {
      if (target.startsWith(`${this.#place}/`)) await run(["umount", "-l", target], { okCodes: [0, 1, 32] });
    }
    await run(["ip", "link", "del", this.#bridge], { okCodes: [0, 1] });
    rmSync(this.#place, { recursive: true, force: true });
  }
}

/** What removes all that may be left: no more than that, because Podman's mere start takes seconds in an emulated machine. */
function leftovers(commands: Case["commands"]): string[] {
  const text = commands.flat().join(" ");
  const gone = commands.every(([verb, ...options]) => verb === "run" && options.includes("--rm"));
  return [
    ...(text.includes("NAME-pod") ? ["podman pod rm -f -t 0 NAME-pod"] : []),
    ...(gone ? [] : ["podman rm -f -t 0 -v NAME NAME-peer NAME-2"]),
    ...(text.includes("NAME-vol") ? ["podman volume rm -f NAME-vol"] : []),
  ];
}

/** A small root with a few users, directories and files that options act on. */
async function makeImage(root: string, env: Readonly<Record<string, string>>): Promise<void> {
  for (const name of [
    "bin",
    "etc",
    "proc",
    "sys",
    "dev",
    "run",
    "data/sub",
    "home/alice",
    "root",
    "mnt",
    "adir",
  ])
    mkdirSync(join(root, name), { recursive: true });
  cpSync(join(import.meta.dir, "probe.sh"), join(root, "bin/probe"));
  const make = `cd ${root}
    cp "$(command -v busybox)" bin/busybox; bin/busybox --install -s bin; for f in bin/*; do [ -L $f ] && ln -sfn busybox $f; done
    printf 'root:x:0:0:root:/root:/bin/sh\\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\\n' > etc/passwd
    printf 'root:x:0:\\nwheel:x:10:alice\\nalice:x:1000:\\nextra:x:2000:alice\\n' > etc/group
    echo hello > data/file; echo below > data/sub/below; chmod 750 data; chown 3:4 data/file; chmod 755 bin/probe
    mkdir -m 1777 tmp; mkdir -m 700 secret; cp bin/busybox secret/sh; ln -s data link
    echo 'no program' > plain; chmod 644 plain; printf '#!/no/such/interpreter\\n' > badinterp; chmod 755 badinterp
    printf '\\177garbage' > garbage; chmod 755 garbage
    tar -c . | podman import -q -c 'ENV PATH=/bin' - ${IMAGE}`;
  await run(["sh", "-ec", make], { env });
}

/** `podman` there is Podman with the runtime, so that scripts need not say it. */
function shimDirectory(place: string, runtime: Runtime): string {
  return join(place, `shim-${runtime}`);
}

function makeShim(place: string, runtime: Runtime): void {
  mkdirSync(shimDirectory(place, runtime));
  const script = `#!/bin/sh\nexec /usr/bin/podman --runtime ${runtime} "$@"\n`;
  writeFileSync(join(shimDirectory(place, runtime), "podman"), script, { mode: 0o755 });
}

async function answer(
  argv: readonly string[],
  own: Readonly<Record<string, string>>,
  cwd: string,
): Promise<Omit<Answer, "argv">> {
  await using child = Bun.spawn(["/usr/bin/env", ...argv], {
    env: own,
    // conmon writes a file "oom" where it was started.
    cwd,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: COMMAND_LIMIT_MS,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

const HOST_NAMESPACES: ReadonlySet<string> = new Set(
  ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts", "time"].map(
    (name) => /\d+/.exec(readlinkSync(`/proc/self/ns/${name}`))?.[0] ?? "",
  ),
);
