import { afterAll, beforeAll, expect, test } from "bun:test";
import { verifyFix } from "../../src/fixing/verify.ts";
import { type ContainerRow, FixMachine, LIBRARY } from "../support/fix-machine.ts";
import { patience } from "../support/slowness.ts";

/**
 * Proof on real containers: Podman, runc, an image with Debian's old libexpat1, the fix from this machine's apt sources.
 * Needs root, podman, runc and the Debian archive. The tests tell one story: each begins where the one before ended.
 */
const LIMIT_MS = patience(300_000);

let machine: FixMachine;
let fix = "";
let original = "";

type Restarted = readonly { readonly name: string; readonly error?: string }[];

beforeAll(async () => {
  machine = await FixMachine.open({
    purpose: "verify test",
    directory: "/var/tmp/atomfs-verify-test",
    subnet: "10.89.213.0/24",
    bridge: "atomfs-verify0",
  });
  for (const name of ["web", "plain"] as const) {
    const { answer } = await machine.atomfs<{ molecule: string }>(
      "import",
      machine.images[name].source,
      "--name",
      `${name}:1.0`,
    );
    if (name === "web") original = answer.molecule;
  }
}, LIMIT_MS);

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
}, LIMIT_MS);

async function removeAll(...names: string[]): Promise<void> {
  await machine.podman("rm", "--force", "--time", "0", ...names);
}

const DLOPEN = "library = ctypes.CDLL('libexpat.so.1')";

test(
  "before the restart nothing is called fixed, and every process that maps the old library is named",
  async () => {
    await machine.python("dlopened", DLOPEN);
    await machine.python(
      "read-only",
      "f = open(LIB, 'rb')\nview = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)\nf.close()",
    );
    await machine.shell("held", "exec 3< $LIB");
    // Ready is a container whose child is.
    const [pipe, say, hear] = ["r, w = os.pipe()", 'os.write(w, b"x")', "os.read(r, 1)"];
    await machine.python(
      "forked",
      `${pipe}\nif os.fork() == 0:\n  ${DLOPEN}\n  ${say}\n  time.sleep(1e6)\n${hear}`,
    );
    await machine.python("deleted", `${DLOPEN}\nif os.path.exists(LIB): os.unlink(LIB)`);
    // The first thread of the child ends; /proc shows nothing of it, and another thread lives on.
    await machine.python(
      "headless",
      `${pipe}\ndef live_on():\n  while " Z " not in open("/proc/self/stat").read(): time.sleep(0.01)\n  ${say}\n  time.sleep(1e6)\nif os.fork() == 0:\n  ${DLOPEN}\n  threading.Thread(target=live_on).start()\n  ctypes.CDLL(None).pthread_exit(None)\n${hear}`,
    );
    await machine.shell("executed", "");
    const load = `import ctypes, time; ${DLOPEN}; open("/tmp/loaded", "w").close(); time.sleep(1e6)`;
    await machine.podman("exec", "--detach", "executed", "python3", "-c", load);
    const isLoaded = "until [ -e /tmp/loaded ]; do sleep 0.1; done";
    await machine.podman("exec", "executed", "sh", "-c", isLoaded);
    await machine.podman("run", "--detach", "--network", "none", "--name", "plain", "plain:1.0");

    const fixed = await machine.atomfs<{
      fixes: { id: string }[];
      outdated: { name: string }[];
      images: { molecule: string }[];
    }>("fix", "libexpat1", "--yes");
    expect(fixed.code).toBe(0);
    fix = fixed.answer.fixes[0]?.id ?? "";
    const mapping = ["dlopened", "read-only", "forked", "deleted", "headless", "executed"];
    const all = [...mapping, "held"].sort();
    expect(fixed.answer.outdated.map(({ name }) => name).sort()).toEqual(all);

    const verification = await machine.verify();
    expect(verification.code).toBe(3);
    expect(verification.answer.isFixed).toBe(false);
    expect(verification.answer.images.map(({ problems }) => problems)).toEqual([[]]);
    for (const name of mapping) {
      const { root, proof, problems } = verification.of(name);
      expect({ name, root, proof }).toEqual({ name, root: "outdated", proof: "none" });
      expect(problems.join("\n")).toContain("its root is an older molecule");
      expect(problems.join("\n")).toMatch(new RegExp(`process \\d+ maps the old ${LIBRARY}`));
    }
    for (const name of ["forked", "headless"])
      expect(verification.of(name).problems.filter((each) => each.includes("maps the old"))).toHaveLength(2);
    // An open descriptor is no mapping.
    expect(verification.of("held").problems).toEqual(["its root is an older molecule: restart it"]);
    expect(verification.of("deleted").problems.filter((each) => each.includes("has its own"))).not.toEqual(
      [],
    );
    expect(verification.answer.containers.map(({ name }) => name)).not.toContain("plain");
    expect([...(await machine.containers("--outdated")).keys()].sort()).toEqual(all);
  },
  LIMIT_MS,
);

test(
  "after the restart what maps the new library is proven by it, all else by its root",
  async () => {
    const restarted = await machine.atomfs<Restarted>("restart", "--outdated");
    expect(restarted.code).toBe(0);
    expect(restarted.answer.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(restarted.answer.map(({ name }) => name)).not.toContain("plain");
    for (const { name } of restarted.answer) if (name !== "deleted") await machine.untilReady(name);

    const verification = await machine.verify();
    for (const name of ["dlopened", "read-only", "forked", "headless"]) {
      expect(verification.of(name)).toMatchObject({ name, root: "current", proof: "mapped", problems: [] });
      expect(verification.of(name).provenMappings).toBeGreaterThan(0);
    }
    for (const name of ["held", "executed"])
      expect(verification.of(name)).toMatchObject({ name, proof: "root", provenMappings: 0 });
    await removeAll("deleted");
    const clean = await machine.verify();
    expect({ code: clean.code, isFixed: clean.answer.isFixed }).toEqual({ code: 0, isFixed: true });
    expect([...(await machine.containers("--outdated")).keys()]).toEqual([]);
    await removeAll("dlopened", "read-only", "forked", "headless", "held", "executed");
  },
  LIMIT_MS,
);

test(
  "what a container wrote over the fix is shadowed, never fixed",
  async () => {
    await machine.atomfs("fix", "revert", fix);
    await machine.python("copied", "os.chmod(LIB, 0o600)\nos.chmod(LIB, 0o644)");
    await machine.python(
      "renamed",
      `os.path.exists("/old.so") or shutil.copy(LIB, "/old.so")\nlink = os.path.dirname(LIB) + "/libexpat.so.1"\nos.path.lexists(link) and os.unlink(link)\nos.symlink("/old.so", link)`,
    );
    await machine.python("status", "open('/var/lib/dpkg/status', 'a').write('\\n')");
    await machine.python("untouched", "open('/var/lib/something', 'w').write('x')");
    await machine.atomfs("fix", "libexpat1", "--yes");
    expect((await machine.atomfs("restart", "--outdated")).code).toBe(0);
    for (const name of ["copied", "renamed", "status", "untouched"]) await machine.untilReady(name);

    const verification = await machine.verify();
    expect(verification.code).toBe(3);
    const expected = { copied: LIBRARY, status: "/var/lib/dpkg/status" };
    for (const [name, path] of Object.entries(expected)) {
      expect(verification.of(name)).toMatchObject({ name, root: "shadowed", proof: "none" });
      expect(verification.of(name).problems).toContain(
        `it has its own ${path} over the molecule's (writable layer or volume)`,
      );
    }
    expect(verification.of("renamed")).toMatchObject({ root: "shadowed", proof: "none" });
    expect(verification.of("untouched")).toMatchObject({ root: "current", proof: "mapped", problems: [] });
    // A restart would not change it.
    expect([...(await machine.containers("--outdated")).keys()]).toEqual([]);
    await removeAll("copied", "renamed", "status", "untouched");
  },
  LIMIT_MS,
);

const STATUS = "/var/lib/dpkg/status";
const REPLACED: Readonly<Record<string, string>> = {
  "link-out": `d = os.path.dirname(LIB)\nshutil.copytree(d, d + ".was", symlinks=True)\nshutil.rmtree(d)\nos.symlink("../../../../../../../../usr/lib/x86_64-linux-gnu", d)`,
  "link-magic": `d = os.path.dirname(LIB)\nshutil.copytree(d, d + ".was", symlinks=True)\nshutil.rmtree(d)\nos.symlink("/proc/1/root/usr/lib/x86_64-linux-gnu.was", d)`,
  "link-loop": `os.unlink("${STATUS}")\nos.symlink("status", "${STATUS}")`,
  "link-shadow": `os.unlink("${STATUS}")\nos.symlink("../../../../../etc/shadow", "${STATUS}")`,
  "link-proc": `os.unlink("${STATUS}")\nos.symlink("/proc/kmsg", "${STATUS}")`,
  fifo: `os.unlink("${STATUS}")\nos.mkfifo("${STATUS}")`,
  device: `os.unlink("${STATUS}")\nos.mknod("${STATUS}", 0o20644, os.makedev(1, 5))`,
  huge: `os.truncate("${STATUS}", 1 << 42)\nos.truncate(LIB, 1 << 42)`,
  growing: `n = os.stat(LIB).st_size\nf = open(LIB, "r+b")\nf.seek(n + 1)\nf.truncate(n + 1)\nthreading.Thread(target=lambda: [(f.write(bytes(1 << 16)), f.flush(), f.truncate(n + 1), time.sleep(0.001)) for _ in iter(int, 1)]).start()`,
  "map-huge": `os.unlink(LIB)\nf = open(LIB, "wb")\nf.truncate(1 << 42)\nf.close()\nf = open(LIB, "rb")\nview = mmap.mmap(f.fileno(), 4096, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)`,
};

test(
  "a hostile root neither delays nor deceives, and nothing of the host is read",
  async () => {
    for (const [name, program] of Object.entries(REPLACED))
      await machine.python(name, program, ["--cap-add", "MKNOD", "--tmpfs", "/tmp"]);
    const verification = await machine.verify();
    expect(verification.code).toBe(3);
    for (const name of Object.keys(REPLACED)) {
      const { proof, problems } = verification.of(name);
      expect({ name, proof, problems: problems.length > 0 }).toEqual({ name, proof: "none", problems: true });
    }
    expect(verification.of("map-huge").problems.join()).toContain("maps an unknown");
    await removeAll(...Object.keys(REPLACED));
  },
  LIMIT_MS,
);

test(
  "a volume over the library is not the molecule's library",
  async () => {
    await machine.shell("volume", "", ["--volume", `/etc/hostname:${LIBRARY}:ro`]);
    const verification = await machine.verify();
    expect(verification.of("volume")).toMatchObject({ root: "shadowed", proof: "none" });
    await removeAll("volume");
  },
  LIMIT_MS,
);

test(
  "containers that end meanwhile, and numbers that other processes got, prove nothing",
  async () => {
    await machine.python("ending", DLOPEN);
    const containers = await machine.engine().listContainers();
    const ending = containers.find(({ name }) => name === "ending");
    await removeAll("ending");
    using store = machine.store();
    const rule = store.state.fixes.get(fix);
    if (rule === undefined || ending === undefined) throw new Error("The story has another beginning");
    for (const pid of [ending.pid ?? 0, process.pid]) {
      const { isFixed, containers: verified } = verifyFix(store, rule, [{ ...ending, pid }]);
      expect(isFixed).toBe(false);
      expect(verified[0]?.problems).toEqual(["it ended while it was looked at: verify again"]);
    }
  },
  LIMIT_MS,
);

test(
  "pods, paused containers and those that are not ours",
  async () => {
    await machine.atomfs("fix", "revert", fix);
    await machine.podman("pod", "create", "--name", "pod", "--network", "none");
    await machine.python("in-pod", DLOPEN, ["--pod", "pod"]);
    await machine.python("paused", DLOPEN);
    await machine.python("passing", DLOPEN, ["--rm"]);
    const { layout, tag } = machine.images.feed;
    const other = (await machine.podman("pull", "--quiet", `oci:${layout}:${tag}`)).trim();
    await machine.podman("run", "--detach", "--network", "none", "--name", "foreign", other);
    await machine.podman("pause", "paused");
    await machine.atomfs("fix", "libexpat1", "--yes");

    const rows = await machine.containers();
    const roots = Object.fromEntries([...rows].map(([name, row]) => [name, row.root]));
    expect(roots).toMatchObject({
      "in-pod": "outdated",
      paused: "outdated",
      passing: "outdated",
      foreign: "not-ours",
    });
    const infra = [...rows.values()].find(({ name }) => name.endsWith("-infra"));
    expect(infra?.root).toBe("not-ours");
    const before = await machine.verify();
    expect(before.of("paused").problems.join("\n")).toContain(`maps the old ${LIBRARY}`);

    const restarted = await machine.atomfs<Restarted>("restart", "--outdated");
    expect(restarted.code).toBe(3);
    const errors = new Map(restarted.answer.map(({ name, error }) => [name, error]));
    expect([...errors.keys()].sort()).toEqual(["in-pod", "passing", "paused"]);
    expect(errors.get("in-pod")).toBeUndefined();
    expect(errors.get("passing")).toContain("Podman removes it when it stops");
    expect(errors.get("paused")).toContain("paused");
    const states = await machine.podman("ps", "--all", "--format", "{{.Names}} {{.Status}}");
    for (const state of ["passing Up", "paused Paused", "in-pod Up"]) expect(states).toContain(state);

    await machine.podman("unpause", "paused");
    expect((await machine.atomfs<Restarted>("restart", "paused")).code).toBe(0);
    await machine.untilReady("in-pod");
    const after = await machine.verify();
    expect(after.of("in-pod")).toMatchObject({ proof: "mapped", problems: [] });
    expect(after.of("paused")).toMatchObject({ root: "current", problems: [] });
    expect(after.of("passing")).toMatchObject({ root: "outdated", proof: "none" });
    await machine.podman("stop", "--time", "0", "passing");
    await machine.podman("pod", "rm", "--force", "--time", "0", "pod");
    await removeAll("paused", "foreign");
    // Podman removes it some time after its stop.
    while ((await machine.podman("ps", "--all", "--quiet", "--filter", "name=passing")) !== "")
      await Bun.sleep(200);
    expect((await machine.verify()).code).toBe(0);
  },
  LIMIT_MS,
);

async function libraryIn(name: string): Promise<string> {
  return (await machine.podman("exec", name, "sha256sum", LIBRARY)).slice(0, 64);
}

test(
  "`containers` tells the truth whether or not `podman restart` mounted anew; a revert brings the old molecule",
  async () => {
    await machine.python("reverted", DLOPEN);
    const fixed = await libraryIn("reverted");
    await machine.atomfs("fix", "revert", fix);
    const row = async (): Promise<ContainerRow | undefined> => (await machine.containers()).get("reverted");
    expect((await row())?.root).toBe("outdated");
    expect((await machine.atomfs("restart", "reverted")).code).toBe(0);
    expect(await row()).toMatchObject({ root: "current", molecule: original });
    const old = await libraryIn("reverted");
    expect(old).not.toBe(fixed);

    await machine.atomfs("fix", "libexpat1", "--yes");
    for (let round = 0; round < 3; round++) {
      await machine.podman("restart", "--time", "0", "reverted");
      const isNew = (await libraryIn("reverted")) === fixed;
      expect((await row())?.root).toBe(isNew ? "current" : "outdated");
    }
    await removeAll("reverted");
  },
  LIMIT_MS,
);
