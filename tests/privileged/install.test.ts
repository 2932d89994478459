import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import { testUnless } from "../support/needs.ts";
import { patience } from "../support/slowness.ts";

/**
 * `atomfs install` into this machine's /etc and /usr/local, which are overlays in a mount namespace of the test's own: the engines and
 * systemd's own checker read what was written. Needs root, podman, systemd and dist/ (`npm run build`).
 */
const LIMIT_MS = patience(120_000);
const DIST = join(import.meta.dir, "../../dist");

let work = "";

beforeAll(() => {
  work = mkdtempSync("/var/tmp/atomfs-install-");
  for (const name of ["etc", "usr-local"])
    for (const part of ["upper", "work"]) mkdirSync(join(work, name, part), { recursive: true });
});

afterAll(() => rmSync(work, { recursive: true, force: true }));

async function inNamespace(script: string): Promise<string> {
  const mount = (name: string, on: string): string =>
    `mount -t overlay overlay -o lowerdir=${on},upperdir=${work}/${name}/upper,workdir=${work}/${name}/work ${on}`;
  const text = `set -e\n${mount("etc", "/etc")}\n${mount("usr-local", "/usr/local")}\n${script}`;
  const { stdout } = await run(["unshare", "--mount", "--propagation", "private", "sh", "-c", text]);
  return stdout.toString();
}

const RUNTIME = "podman $OPTIONS info --format '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}'";

test(
  "Podman knows crio-lxc by its name and keeps its own default",
  async () => {
    const said = await inNamespace(`
      before=$(${RUNTIME})
      ${DIST}/atomfs install --podman >&2
      test "$before" = "$(${RUNTIME})"
      OPTIONS="--runtime crio-lxc"; ${RUNTIME}
      crio-lxc --version | head -n 1`);
    expect(said).toStartWith("crio-lxc /usr/local/bin/crio-lxc\ncrio-lxc");
  },
  LIMIT_MS,
);

test(
  "it is the default where it shall be; installed twice from its own place",
  async () => {
    const said = await inNamespace(`
      /usr/local/bin/atomfs install --podman --default --json >&2
      ${RUNTIME}`);
    expect(said).toBe("crio-lxc /usr/local/bin/crio-lxc\n");
  },
  LIMIT_MS,
);

testUnless(
  Bun.which("crio") === null ? "CRI-O is not installed" : undefined,
  "CRI-O knows crio-lxc beside its own default, or as its default",
  async () => {
    const config = "crio config 2>/dev/null";
    const known = await inNamespace(`/usr/local/bin/atomfs install --crio >&2; ${config}`);
    expect(known).toContain('[crio.runtime.runtimes.crio-lxc]\nruntime_path = "/usr/local/bin/crio-lxc"');
    expect(known).toMatch(/^# default_runtime = /m);
    const chosen = await inNamespace(`/usr/local/bin/atomfs install --crio --default >&2; ${config}`);
    expect(chosen).toMatch(/^default_runtime = "crio-lxc"$/m);
  },
  LIMIT_MS,
);

test(
  "systemd takes the units, and finds the timers enabled",
  async () => {
    const said = await inNamespace(`
      /usr/local/bin/atomfs install --crio >&2
      systemd-analyze verify /usr/local/lib/systemd/system/atomfs-*.service /usr/local/lib/systemd/system/atomfs-*.timer 2>&1 | grep -i atomfs || true
      for name in gc metrics report; do systemctl --root=/ is-enabled atomfs-$name.timer; done`);
    expect(said).toBe("enabled\nenabled\nenabled\n");
  },
  LIMIT_MS,
);

test(
  "removed by the installed program itself, nothing is left",
  async () => {
    // Containers of other tests may run on crio-lxc meanwhile.
    await inNamespace("/usr/local/bin/atomfs uninstall --force");
    const left = ["etc", "usr-local"].flatMap((name) =>
      readdirSync(join(work, name, "upper"), { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory() && !entry.isCharacterDevice())
        // Podman's own, made by asking it.
        .filter((entry) => entry.name !== "netavark.lock")
        .map((entry) => join(entry.parentPath, entry.name)),
    );
    expect(left).toEqual([]);
    const said = await inNamespace(
      "find /etc/atomfs /etc/containers/containers.conf.d /usr/local/lib/atomfs /usr/local/bin/atomfs /usr/local/lib/systemd 2>/dev/null || true",
    );
    expect(said).toBe("");
  },
  LIMIT_MS,
);
