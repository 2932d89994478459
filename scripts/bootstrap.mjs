// The way from a fresh clone to a running command: npm run demo | demo:k8s | build:k8s | test | test:k8s | test:vm |
// test:validation | test:critest | conformance | bench. With --install before the command it only installs what that needs.
// Runs on plain Node.js without any npm package, because it is what installs them.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PACKAGES } from "./debian-packages.mjs";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const BUN = join(ROOT, "node_modules/.bin/bun");
const MIN_NODE = 18;
/** Seconds to wait for another apt or dpkg, such as the unattended upgrade of a fresh machine's first minutes. */
const APT_LOCK_SECONDS = 600;

const ENTRY = {
  demo: "scripts/demo/main.ts",
  "demo:k8s": "scripts/k8s/main.ts",
  "build:k8s": "scripts/k8s/build.ts",
  test: "tests/run.ts",
  "test:vm": "tests/vm/main.ts",
  "test:k8s": "tests/k8s/main.ts",
  "test:validation": "tests/validation/main.ts",
  "test:critest": "tests/critest/main.ts",
  conformance: "tests/conformance/main.ts",
  bench: "bench/main.ts",
};

function say(text) {
  process.stderr.write(`${text}\n`);
}

function stop(text) {
  say(`error: ${text}`);
  process.exit(1);
}

/** Runs a program silently. What it wrote is in the result and worth showing only if it failed. */
function quietly(program, args, env = {}) {
  const result = spawnSync(program, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 256 * 1024 * 1024,
    encoding: "utf8",
  });
  if (result.signal) process.exit(128 + constants.signals[result.signal]);
  const why = result.error ? `${result.error.message}\n` : "";
  return {
    ok: result.status === 0,
    stdout: result.stdout ?? "",
    output: why + result.stdout + result.stderr,
  };
}

function checkMachine() {
  const node = Number(process.versions.node.split(".")[0]);
  if (node < MIN_NODE) {
    stop(
      `Node.js ${process.versions.node} is too old: install Node.js ${MIN_NODE} or newer (apt-get install nodejs npm).`,
    );
  }
  if (process.platform !== "linux") {
    stop(`This is ${process.platform}, but AtomFS mounts Linux filesystems: run it on a Debian 12 machine.`);
  }
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  if (!/^ID(_LIKE)?="?([a-z ]* )?debian\b/m.test(release) || !existsSync("/usr/bin/apt-get")) {
    stop("This is not Debian, and what is needed is installed with apt-get: run it on a Debian 12 machine.");
  }
  if (process.getuid() !== 0) {
    stop("This must mount filesystems and run containers: run it as root, for instance with sudo.");
  }
}

/** True if what npm noted in node_modules is what package-lock.json wants on this machine. */
function npmIsCurrent() {
  const installedFile = join(ROOT, "node_modules/.package-lock.json");
  if (!existsSync(installedFile)) return false;
  const wanted = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages;
  const installed = JSON.parse(readFileSync(installedFile, "utf8")).packages;
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    if (path === "") return true;
    return installed[path] === undefined ? optional === true : installed[path].version === version;
  });
}

function bunWorks() {
  return existsSync(BUN) && quietly(BUN, ["--version"]).ok;
}

function installNpmPackages() {
  if (!npmIsCurrent()) {
    say("Installing npm packages...");
    // Install scripts are refused on purpose: npm 9 to 11 differ in which they run, and only Bun's is wanted.
    const args = ["ci", "--ignore-scripts", "--include=dev", "--include=optional", "--no-audit", "--no-fund"];
    const result = quietly("npm", args);
    if (!result.ok) {
      stop(`npm ci failed; check that npm is installed and can reach its registry:\n${result.output.trim()}`);
    }
  }
  if (bunWorks()) return;
  const result = quietly(process.execPath, ["node_modules/bun/install.js"]);
  if (!result.ok || !bunWorks()) {
    const shown = result.output.trim();
    stop(`Bun does not run on this machine; remove node_modules and try again${shown ? `:\n${shown}` : "."}`);
  }
}

function missingPackages(command) {
  const wanted = PACKAGES.filter(([, users]) => users.split(" ").includes(command)).map(([name]) =>
    name.split("|"),
  );
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders
  const answer = quietly("dpkg-query", ["-W", "-f=${Package} ${db:Status-Status}\\n", ...wanted.flat()]);
  const present = new Set();
  for (const line of answer.stdout.split("\n")) {
    const [name, status] = line.split(" ");
    if (status === "installed") present.add(name);
  }
  return wanted.filter((names) => !names.some((name) => present.has(name))).map((names) => names[0]);
}

function installDebianPackages(command) {
  const missing = missingPackages(command);
  if (missing.length === 0) return;
  say(`Installing Debian packages: ${missing.join(" ")}`);
  const apt = (...args) =>
    quietly("apt-get", ["-q", "-y", "-o", `DPkg::Lock::Timeout=${APT_LOCK_SECONDS}`, ...args], {
      DEBIAN_FRONTEND: "noninteractive",
      NEEDRESTART_MODE: "l",
    });
  // Debian's lxc brings a network bridge of its own, which nobody here needs.
  if (missing.includes("lxc") && existsSync("/run/systemd/system")) {
    say("lxc-net.service is masked: its network bridge is not needed (systemctl unmask lxc-net.service)");
    quietly("systemctl", ["mask", "lxc-net.service"]);
  }
  const install = ["install", "--no-install-recommends", ...missing];
  if (apt(...install).ok) return;
  // The package lists are missing or older than the mirror.
  const update = apt("update");
  const second = apt(...install);
  if (!second.ok) {
    stop(
      `apt-get could not install what is missing; check /etc/apt and the network:\n${update.output}${second.output}`,
    );
  }
}

/**
 * Runs the command in a session of its own, so that a signal reaches it exactly once: from here, whether it came from
 * the terminal (to each process of npm's group), from npm or from both.
 */
function runCommand(command, args) {
  const child = spawn(BUN, [join(ROOT, ENTRY[command]), ...args], {
    cwd: ROOT,
    stdio: "inherit",
    detached: true,
  });
  let last = { signal: "", at: 0 };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]) {
    process.on(signal, () => {
      const repeated = last.signal === signal && Date.now() - last.at < 500;
      last = { signal, at: Date.now() };
      if (!repeated) child.kill(signal);
    });
  }
  child.on("error", (error) => stop(`Cannot start Bun: ${error.message}`));
  child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

const installsOnly = process.argv[2] === "--install";
const [command, ...args] = process.argv.slice(installsOnly ? 3 : 2);
if (!Object.hasOwn(ENTRY, command ?? "")) {
  stop(`Unknown command "${command ?? ""}": use npm run demo, npm test, npm run test:vm or npm run bench.`);
}
checkMachine();
installNpmPackages();
installDebianPackages(command);
if (!existsSync(join(ROOT, ENTRY[command]))) stop(`This checkout has no ${ENTRY[command]}.`);
if (!installsOnly) runCommand(command, args);
