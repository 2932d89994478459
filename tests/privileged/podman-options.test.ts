import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { writePodmanConfig } from "../../scripts/demo/podman-config.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";
import { run } from "../../src/sys/process.ts";
import { patience } from "../support/slowness.ts";
import type { Case } from "./podman-options/cases.ts";
import { HOOKS } from "./podman-options/hooks.ts";
import { LIFECYCLE } from "./podman-options/lifecycle.ts";
import { MOUNTS } from "./podman-options/mounts.ts";
import { NAMESPACES } from "./podman-options/namespaces.ts";
import { PROCESS } from "./podman-options/process.ts";
import { RESOURCES } from "./podman-options/resources.ts";
import { SECURITY } from "./podman-options/security.ts";
import { type Answer, transcript } from "./podman-options/transcript.ts";

/*
 * Options of Podman 4.3 under runc, the control, and under crio-lxc, side by side: what is seen inside of the container, what
 * Podman says and how it ends must be the same. The table is in podman-options/.
 */

const REPOSITORY = join(import.meta.dir, "../..");
const IMAGE = "localhost/options:1";
const RUNTIMES = ["runc", "crio-lxc"] as const;
type Runtime = (typeof RUNTIMES)[number];
/** One command; some wait for a second on purpose. */
const COMMAND_LIMIT_MS = patience(60_000);

let place = "";
let env: Record<string, string | undefined> = {};

beforeAll(async () => {
  place = mkdtempSync("/var/tmp/atomfs-options-");
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
    // On every machine the same table: its parents of control groups are paths.
    cgroupManager: "cgroupfs",
    subnet: "10.89.182.0/24",
    bridge: "atomfs-opt0",
  });
  // As for runc: Podman then reads errors from the log, not from what the runtime wrote to stderr.
  const text = readFileSync(conf.CONTAINERS_CONF, "utf8");
  const json = 'runtime_supports_json = ["runc", "crio-lxc"]';
  writeFileSync(conf.CONTAINERS_CONF, text.replace("[engine]", `[engine]\n${json}`));
  env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", TERM: "xterm", ...conf };
  for (const runtime of RUNTIMES) makeShim(runtime);
  await makeImage();
}, patience(120_000));

/** A small root with a few users, directories and files that options act on. */
async function makeImage(): Promise<void> {
  const root = join(place, "image");
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
  cpSync(join(import.meta.dir, "podman-options/probe.sh"), join(root, "bin/probe"));
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

afterAll(async () => {
  await run(["podman", "pod", "rm", "--all", "--force", "--time", "0"], { env, okCodes: [0, 1, 125] });
  await run(["podman", "rm", "--all", "--force", "--time", "0"], { env, okCodes: [0, 1, 125] });
  for (const { target } of readMountinfo().reverse()) {
    if (target.startsWith(`${place}/`)) await run(["umount", "-l", target], { okCodes: [0, 1, 32] });
  }
  await run(["ip", "link", "del", "atomfs-opt0"], { okCodes: [0, 1] });
  rmSync(place, { recursive: true, force: true });
}, patience(120_000));

async function play(one: Case, runtime: Runtime): Promise<string> {
  const { commands } = one;
  const mark = `${ALL.indexOf(one)}${runtime === "runc" ? "a" : "b"}`;
  const name = `opt${mark}`;
  const directory = join(place, `dir${mark}`);
  mkdirSync(directory, { recursive: true });
  const fill = (word: string): string =>
    word.replaceAll("NAME", name).replaceAll("DIR", directory).replaceAll("IMAGE", IMAGE);
  const answers: Answer[] = [];
  const own = {
    ...env,
    CONTAINERS_CONF: env["CONTAINERS_CONF"],
    PATH: `${shimDirectory(runtime)}:${env["PATH"]}`,
  };
  try {
    for (const command of commands) {
      const [first = "", ...rest] = command.map(fill);
      const argv = first === "sh" ? ["sh", "-c", rest[0] ?? ""] : ["podman", first, ...rest];
      answers.push({ ...(await answer(argv, own, directory)), argv: command });
    }
  } finally {
    await run(
      [
        "sh",
        "-c",
        `podman pod rm -f -t 0 ${name}-pod; podman rm -f -t 0 -v ${name} ${name}-peer ${name}-2; podman volume rm -f ${name}-vol; true`,
      ],
      { env: own },
    );
  }
  const replacements: [string, string][] = [
    [directory, "DIR"],
    [name, "NAME"],
    [IMAGE, "IMAGE"],
    [place, "PLACE"],
  ];
  return transcript(answers, { replacements, hostNamespaces: HOST_NAMESPACES });
}

/** `podman` there is Podman with the runtime, so that scripts need not say it. */
function shimDirectory(runtime: Runtime): string {
  return join(place, `shim-${runtime}`);
}

function makeShim(runtime: Runtime): void {
  mkdirSync(shimDirectory(runtime));
  const script = `#!/bin/sh\nexec /usr/bin/podman --runtime ${runtime} "$@"\n`;
  writeFileSync(join(shimDirectory(runtime), "podman"), script, { mode: 0o755 });
}

async function answer(
  argv: readonly string[],
  own: Record<string, string | undefined>,
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

/** For people: OPTIONS_TRANSCRIPTS names a directory that gets both sides of every case. */
function keep(name: string, sides: Readonly<Record<Runtime, string>>): void {
  const directory = process.env["OPTIONS_TRANSCRIPTS"];
  if (directory === undefined) return;
  mkdirSync(directory, { recursive: true });
  for (const runtime of RUNTIMES) writeFileSync(join(directory, `${name}.${runtime}`), sides[runtime]);
}

const TABLE = {
  namespaces: NAMESPACES,
  security: SECURITY,
  mounts: MOUNTS,
  resources: RESOURCES,
  process: PROCESS,
  lifecycle: LIFECYCLE,
  hooks: HOOKS,
} as const;

/** Both sides of every case, in the order of the table; a case begins while those before it are at work. */
const ALL: readonly Case[] = Object.values(TABLE).flat();
const AHEAD = 2;
const begun = new Map<Case, Promise<readonly string[]>>();

function sidesOf(one: Case): Promise<readonly string[]> {
  const at = ALL.indexOf(one);
  for (const each of ALL.slice(at, at + AHEAD)) {
    if (!begun.has(each)) begun.set(each, Promise.all(RUNTIMES.map((runtime) => play(each, runtime))));
  }
  return begun.get(one) ?? Promise.resolve([]);
}

function withoutDifference(text: string, { differs }: Case): string {
  return differs === undefined ? text : text.replace(differs.from, differs.to);
}

for (const [group, cases] of Object.entries(TABLE)) {
  describe(`Podman's options under runc and crio-lxc: ${group}`, () => {
    for (const one of cases) {
      test(
        one.name,
        async () => {
          const [control = "", ours = ""] = (await sidesOf(one)).map((text) => withoutDifference(text, one));
          keep(`${group}-${ALL.indexOf(one)}`, { runc: control, "crio-lxc": ours });
          if (one.otherwise?.says.test(control)) {
            for (const pattern of one.otherwise.ours) expect(ours).toMatch(pattern);
            return;
          }
          for (const pattern of one.shows) expect(control).toMatch(pattern);
          expect(ours).toBe(control);
        },
        patience(120_000),
      );
    }
  });
}
