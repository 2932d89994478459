import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DEFAULT_STATE_DIRECTORY } from "../../runtime/argv.ts";
import { DEFAULT_POLICY, parseAtCreatePolicy } from "../../runtime/at-create-policy.ts";
import {
  nextSteps,
  PROGRAMS,
  planRetirement,
  planSetup,
  SETTINGS_PATH,
  type SetupFile,
  type SetupOptions,
} from "./files.ts";
import { installSetup, type SetupAction, uninstallSetup } from "./install.ts";
import { removeMetrics } from "./metrics-file.ts";
import { decodeSetupRecord, encodeSetupRecord, RECORD_PATH } from "./record.ts";

const PODMAN = "/etc/containers/containers.conf.d/50-atomfs.conf";
const CRIO = "/etc/crio/crio.conf.d/50-atomfs.conf";

let work = "";
let root = "";
let programs = "";

beforeEach(() => {
  work = mkdtempSync("/var/tmp/atomfs-setup-");
  root = join(work, "root");
  programs = join(work, "programs");
  for (const directory of [root, programs, join(root, "etc/containers"), join(root, "usr/local/bin")])
    mkdirSync(directory, { recursive: true });
  for (const name of PROGRAMS) writeFileSync(join(programs, name), `program ${name}`);
  writeFileSync(join(root, "etc/containers/containers.conf"), "[engine]\n# mine\n");
});

afterEach(() => rmSync(work, { recursive: true, force: true }));

function setup(options: Partial<SetupOptions>): SetupOptions {
  return { podman: false, crio: false, isDefault: false, reports: true, programs, ...options };
}

function plan(options: Partial<SetupOptions> = { podman: true }): SetupFile[] {
  return planSetup(setup(options));
}

function install(files = plan(), dryRun = false): SetupAction[] {
  return installSetup(files, { root, dryRun });
}

const uninstall = (dryRun = false): SetupAction[] => uninstallSetup({ root, dryRun });
const at = (path: string): string => join(root, path);
const read = (path: string): string => readFileSync(at(path), "utf8");
const actionsOf = (actions: readonly SetupAction[]): Record<string, string> =>
  Object.fromEntries(actions.map(({ path, action }) => [path, action]));

/** Every name below the root with what it is. */
function everything(): string[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .map((name) => {
      const stat = lstatSync(at(name));
      const mode = (stat.mode & 0o7777).toString(8);
      if (stat.isSymbolicLink()) return `${name} -> ${readlinkSync(at(name))}`;
      return stat.isDirectory() ? `${name}/ ${mode}` : `${name} ${mode} ${read(name)}`;
    })
    .sort();
}

describe("install", () => {
  test("makes programs, units, settings and the drop-in, and touches nothing else", () => {
    const before = everything();
    const actions = install();
    expect(new Set(actions.map(({ action }) => action))).toEqual(new Set(["make"]));
    expect(read("/usr/local/bin/crio-lxc")).toBe("program crio-lxc");
    expect(read("/usr/local/lib/atomfs/player")).toBe("program player");
    expect(statSync(at("/usr/local/lib/atomfs/atomfs")).mode & 0o777).toBe(0o755);
    expect(statSync(at(PODMAN)).mode & 0o777).toBe(0o644);
    expect(readlinkSync(at("/etc/systemd/system/timers.target.wants/atomfs-gc.timer"))).toBe(
      "/usr/local/lib/systemd/system/atomfs-gc.timer",
    );
    expect(everything()).toEqual(expect.arrayContaining(before));
  });

  test("twice is once", () => {
    install();
    const once = everything();
    const again = actionsOf(install());
    expect(again).toEqual(Object.fromEntries(Object.keys(again).map((path) => [path, "unchanged"])));
    expect(everything()).toEqual(once);
  });

  test("for another engine later, or with another default, adds and replaces its own files", () => {
    install();
    expect(actionsOf(install(plan({ crio: true })))[CRIO]).toBe("make");
    expect(actionsOf(install(plan({ podman: true, isDefault: true })))[PODMAN]).toBe("replace");
    expect(read(PODMAN)).toContain('runtime = "crio-lxc"');
    writeFileSync(join(programs, "atomfs"), "newer");
    expect(actionsOf(install())["/usr/local/lib/atomfs/atomfs"]).toBe("replace");
    expect(read("/usr/local/bin/atomfs")).toBe("newer");
    expect(read(CRIO)).toContain("crio-lxc");
  });

  test.each([PODMAN, "/usr/local/bin/crio-lxc", "/usr/local/lib/atomfs"])(
    "a stranger's %s ends it, and nothing is changed",
    (path) => {
      mkdirSync(join(at(path), ".."), { recursive: true });
      writeFileSync(at(path), "mine");
      const before = everything();
      expect(() => install()).toThrow();
      expect(everything()).toEqual(before);
    },
  );

  test("a drop-in that was changed since is not replaced", () => {
    install();
    writeFileSync(at(PODMAN), "mine now");
    expect(() => install(plan({ podman: true, isDefault: true }))).toThrow(
      expect.objectContaining({ kind: "blocked", message: expect.stringContaining(PODMAN) }),
    );
    expect(read(PODMAN)).toBe("mine now");
  });

  test("the operator's settings stay, changed or from before", () => {
    mkdirSync(at("/etc/atomfs"));
    writeFileSync(at(SETTINGS_PATH), "[at-create]\n");
    expect(actionsOf(install())[SETTINGS_PATH]).toBe("kept");
    uninstall();
    expect(read(SETTINGS_PATH)).toBe("[at-create]\n");
  });

  test("a dry run says the same and changes nothing", () => {
    const before = everything();
    const said = install(plan(), true);
    expect(everything()).toEqual(before);
    expect(install()).toEqual(said);
  });

  test("without a program it fails, and nothing is changed", () => {
    rmSync(join(programs, "player"));
    const before = everything();
    expect(() => install()).toThrow("ENOENT");
    expect(everything()).toEqual(before);
  });
});

describe("uninstall", () => {
  test("leaves the machine as it was before", () => {
    const before = everything();
    install(plan({ podman: true, crio: true, isDefault: true }));
    const removed = uninstall();
    expect(new Set(removed.map(({ action }) => action))).toEqual(new Set(["remove"]));
    expect(everything()).toEqual(before);
    expect(uninstall()).toEqual([]);
  });

  test("takes engines' drop-ins away before what they name", () => {
    install();
    const paths = uninstall(true).map(({ path }) => path);
    expect(paths.indexOf(PODMAN)).toBeLessThan(paths.indexOf("/usr/local/bin/crio-lxc"));
    expect(paths.indexOf("/usr/local/bin/crio-lxc")).toBeLessThan(
      paths.indexOf("/usr/local/lib/atomfs/atomfs"),
    );
  });

  test("keeps what was changed since, and says so; directories that are in use stay", () => {
    install();
    writeFileSync(at(PODMAN), "mine now");
    rmSync(at("/usr/local/bin/atomfs"));
    writeFileSync(at("/usr/local/lib/systemd/system/other.service"), "mine");
    const actions = actionsOf(uninstall());
    expect(actions[PODMAN]).toBe("kept");
    expect(actions["/usr/local/bin/atomfs"]).toBe("absent");
    expect(read(PODMAN)).toBe("mine now");
    expect(read("/usr/local/lib/systemd/system/other.service")).toBe("mine");
    expect(readdirSync(at("/usr/local")).sort()).toEqual(["bin", "lib"]);
    expect(uninstall()).toEqual([]);
  });

  test("does not take a file that was there before, however equal", () => {
    mkdirSync(join(at(PODMAN), ".."), { recursive: true });
    const text = plan().find(({ path }) => path === PODMAN);
    writeFileSync(at(PODMAN), text?.kind === "text" ? text.text : "");
    expect(actionsOf(install())[PODMAN]).toBe("kept");
    expect(actionsOf(uninstall())[PODMAN]).toBeUndefined();
    expect(read(PODMAN)).toContain("crio-lxc");
  });

  test("a dry run changes nothing", () => {
    install();
    const before = everything();
    expect(uninstall(true).length).toBeGreaterThan(5);
    expect(everything()).toEqual(before);
  });
});

describe("an install that was killed", () => {
  /** The disk as it is after the first `count` files of an install with `after` over one with `before`. */
  function killedAfter(count: number): void {
    const files = plan();
    install(files);
    const record = decodeSetupRecord(readFileSync(at(RECORD_PATH)));
    for (const { path } of files.slice(count)) rmSync(at(path));
    expect(record.files.size).toBe(files.length);
  }

  test.each([0, 1, 4, 7])("after %d files is repeated, or removed, without a trace", (count) => {
    const before = everything();
    killedAfter(count);
    writeFileSync(at("/usr/local/bin/.crio-lxc.atomfs-install"), "half");
    uninstall();
    expect(everything()).toEqual(before);
    killedAfter(count);
    writeFileSync(at("/usr/local/lib/atomfs/.atomfs.atomfs-install"), "half");
    install();
    const whole = everything();
    uninstall();
    expect(everything()).toEqual(before);
    install();
    expect(everything()).toEqual(whole);
  });

  test("before its record was there is no hindrance", () => {
    const before = everything();
    mkdirSync(at("/etc/atomfs"));
    writeFileSync(at("/etc/atomfs/.installed.json.atomfs-install"), "half");
    install();
    uninstall();
    expect(everything()).toEqual(before);
  });

  test("in an update: old and new files are both ours", () => {
    install();
    const old = readFileSync(at(PODMAN));
    install(plan({ podman: true, isDefault: true }));
    const both = decodeSetupRecord(readFileSync(at(RECORD_PATH)));
    expect(both.files.get(PODMAN)).toHaveLength(1);
    // As it was between the first record and the file.
    const record = JSON.parse(read(RECORD_PATH)) as { files: { path: string; fingerprints: string[] }[] };
    const entry = record.files.find(({ path }) => path === PODMAN);
    writeFileSync(at(PODMAN), old);
    expect(() => install(plan({ podman: true, isDefault: true }))).toThrow();
    entry?.fingerprints.push(`sha256:${new Bun.CryptoHasher("sha256").update(old).digest("hex")}`);
    writeFileSync(at(RECORD_PATH), JSON.stringify(record));
    expect(actionsOf(install(plan({ podman: true, isDefault: true })))[PODMAN]).toBe("replace");
  });
});

describe("the record", () => {
  test("is written as docs/formats/setup-record.md says", () => {
    const record = {
      files: new Map([["/usr/local/bin/crio-lxc", ["link:../lib/atomfs/crio-lxc"]]]),
      directories: ["/etc/atomfs"],
    };
    const document = readFileSync(join(import.meta.dir, "../../../docs/formats/setup-record.md"), "utf8");
    expect(`\`\`\`\n${encodeSetupRecord(record)}\`\`\``).toBe(/```\n\{[^`]*```/.exec(document)?.[0] ?? "");
    expect(decodeSetupRecord(Buffer.from(encodeSetupRecord(record)))).toEqual(record);
  });

  test.each(["", "{", "[]", '{"version":1,"files":[{"path":"etc/passwd","fingerprints":[]}]}'])(
    "%j is refused, and nothing is removed",
    (text) => {
      install();
      writeFileSync(at(RECORD_PATH), text);
      expect(() => uninstall()).toThrow(
        expect.objectContaining({ kind: expect.stringMatching(/bad-data|unsupported/) }),
      );
      expect(read(PODMAN)).toContain("crio-lxc");
    },
  );

  test("of a path that leads elsewhere is refused", () => {
    install();
    const text = '{"version":1,"files":[],"directories":["/etc/../usr"]}';
    writeFileSync(at(RECORD_PATH), text);
    expect(() => uninstall()).toThrow(expect.objectContaining({ kind: "bad-data" }));
  });

  test("of a later version is refused", () => {
    install();
    writeFileSync(at(RECORD_PATH), '{"version":2}');
    expect(() => install()).toThrow(expect.objectContaining({ kind: "unsupported" }));
  });
});

describe("the metrics' file", () => {
  const FILE = "/var/lib/prometheus/node-exporter/atomfs.prom";

  test("goes if atomfs wrote it", () => {
    mkdirSync(at("/var/lib/prometheus/node-exporter"), { recursive: true });
    writeFileSync(at(FILE), "# HELP atomfs_build_info Version.\n");
    expect(removeMetrics({ root, dryRun: true })).toEqual([{ path: FILE, action: "remove" }]);
    expect(removeMetrics({ root, dryRun: false })).toEqual([{ path: FILE, action: "remove" }]);
    expect(removeMetrics({ root, dryRun: false })).toEqual([]);
  });

  test.each(["", "# HELP other\n"])("stays if somebody else did: %j", (text) => {
    mkdirSync(at("/var/lib/prometheus/node-exporter"), { recursive: true });
    writeFileSync(at(FILE), text);
    expect(removeMetrics({ root, dryRun: false })).toEqual([]);
    expect(read(FILE)).toBe(text);
  });
});

test("only a node of Kubernetes reports to it", () => {
  const names = (files: readonly SetupFile[]): string[] =>
    files.flatMap(({ path }) => /wants\/(.*)$/.exec(path)?.[1] ?? []);
  expect(names(plan())).toEqual(["atomfs-gc.timer", "atomfs-metrics.timer"]);
  expect(names(plan({ crio: true }))).toEqual([
    "atomfs-gc.timer",
    "atomfs-metrics.timer",
    "atomfs-report.timer",
  ]);
});

describe("where the DaemonSet reports", () => {
  const SERVICE = "/usr/local/lib/systemd/system/atomfs-report.service";
  const options = (): SetupOptions => setup({ crio: true, reports: false });
  const installForDaemonSet = (dryRun = false): SetupAction[] =>
    installSetup(planSetup(options()), { root, dryRun }, planRetirement(options()));
  const ofReport = (actions: readonly SetupAction[]): string[] =>
    actions.filter(({ path }) => path.includes("atomfs-report")).map(({ action }) => action);

  test("there is no timer for it, and one of an earlier install goes", () => {
    const before = everything();
    expect(ofReport(installForDaemonSet())).toEqual([]);
    const without = everything();
    install(plan({ crio: true }));
    expect(ofReport(installForDaemonSet(true))).toEqual(["remove", "remove", "remove"]);
    expect(ofReport(installForDaemonSet())).toEqual(["remove", "remove", "remove"]);
    expect(everything()).toEqual(without);
    expect(ofReport(installForDaemonSet())).toEqual([]);
    uninstall();
    expect(everything()).toEqual(before);
  });

  test("one that was changed since stays and is named", () => {
    install(plan({ crio: true }));
    writeFileSync(at(SERVICE), "mine");
    expect(ofReport(installForDaemonSet())).toEqual(["remove", "remove", "kept"]);
    expect(read(SERVICE)).toBe("mine");
    expect(actionsOf(uninstall())[SERVICE]).toBe("kept");
  });

  test("an install that was killed in between is finished", () => {
    install(plan({ crio: true }));
    rmSync(at(SERVICE));
    expect(ofReport(installForDaemonSet())).toEqual(["remove", "remove"]);
    expect(uninstall().some(({ path }) => path === SERVICE)).toBe(false);
  });

  test("systemd is told to stop what still runs of it", () => {
    expect(nextSteps(options())[0]).toBe(
      "systemctl stop 'atomfs-report.*' && systemctl daemon-reload && systemctl start atomfs-gc.timer atomfs-metrics.timer",
    );
  });

  test("Podman's install says nothing of it", () => {
    install(plan({ crio: true }));
    expect(planRetirement(setup({ podman: true, reports: false }))).toEqual([]);
  });
});

describe("what is written", () => {
  const textOf = (path: string, isDefault = false): string => {
    const file = plan({ podman: true, crio: true, isDefault }).find((each) => each.path === path);
    return file?.kind === "text" || file?.kind === "settings" ? file.text : "";
  };

  test("the store is cleaned up every hour, and within minutes where the disk is nearly full", () => {
    const unit = (suffix: string): string => textOf(`/usr/local/lib/systemd/system/atomfs-gc.${suffix}`);
    expect(unit("service")).toContain("ExecStart=/usr/local/bin/atomfs gc --every 1h\n");
    expect(unit("timer")).toContain("OnCalendar=*:0/5\nRandomizedDelaySec=1min\n");
  });

  test("Podman only learns the name, unless it is to be the default", () => {
    expect(Bun.TOML.parse(textOf(PODMAN))).toEqual({
      engine: { runtimes: { "crio-lxc": ["/usr/local/bin/crio-lxc"] } },
    });
    expect(Bun.TOML.parse(textOf(PODMAN, true))).toMatchObject({ engine: { runtime: "crio-lxc" } });
  });

  test("so does CRI-O, with the state directory that crio-lxc has by itself", () => {
    const document = Bun.TOML.parse(textOf(CRIO)) as {
      crio: { runtime: { runtimes: { "crio-lxc": unknown }; default_runtime?: string } };
    };
    expect(document.crio.runtime.runtimes["crio-lxc"]).toMatchObject({
      runtime_path: "/usr/local/bin/crio-lxc",
      runtime_root: DEFAULT_STATE_DIRECTORY,
      runtime_type: "oci",
    });
    expect(document.crio.runtime.default_runtime).toBeUndefined();
    expect(Bun.TOML.parse(textOf(CRIO, true))).toMatchObject({
      crio: { runtime: { default_runtime: "crio-lxc" } },
    });
  });

  test("the settings are the defaults, also with all their lines in force", () => {
    const text = textOf(SETTINGS_PATH);
    expect(parseAtCreatePolicy(text, SETTINGS_PATH)).toEqual(DEFAULT_POLICY);
    const inForce = text.replace(/^# ([a-z-]+ = )/gm, "$1");
    expect(inForce).not.toBe(text);
    expect(parseAtCreatePolicy(inForce, SETTINGS_PATH)).toEqual(DEFAULT_POLICY);
  });
});
