import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Config, ContainerLab } from "../support/container-lab.ts";

/** crio-lxc called by a person: in a terminal, which script(1) makes, without --console-socket. */

let lab: ContainerLab;
beforeAll(() => {
  lab = new ContainerLab();
});
afterAll(() => lab[Symbol.dispose]());

/** In a directory of the container's root that is empty at first: files by which both sides wait for each other. */
function meet(): string {
  const directory = join(lab.bundle, "rootfs/meet");
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  return directory;
}

function program(script: string, terminal = true): (config: Config) => void {
  return (config) => {
    config.process.terminal = terminal;
    config.process.args = ["sh", "-c", script];
    config["root"] = { path: "rootfs" };
  };
}

async function appears(file: string): Promise<void> {
  while (!existsSync(file)) await Bun.sleep(10);
}

/** What a shell script shows in a new terminal of 33 lines of 77 characters, where somebody types. */
async function inTerminal(script: string, typed: string | Promise<string> = ""): Promise<string> {
  const file = join(lab.scratch, "in-terminal.sh");
  const prelude = [
    `crio() { ${lab.argv().join(" ")} "$@"; }`,
    'wait_for() { while ! test -e "$1"; do sleep 0.02; done; }',
    "stty rows 33 cols 77; before=$(stty -g); exec 3<&0",
    'check() { for n in $(seq 1200); do test "$(stty -g)" = "$before" && echo restored && break; sleep 0.05; done; }',
  ];
  writeFileSync(file, [...prelude, script, ""].join("\n"));
  const output = join(lab.scratch, "shown");
  rmSync(output, { force: true });
  const child = Bun.spawn(["script", "-qefc", `sh ${file}`, "/dev/null"], {
    stdin: "pipe",
    stdout: Bun.file(output),
    stderr: "inherit",
  });
  // It stays open: script(1) would type the end of its own input into the terminal.
  child.stdin.write(await typed);
  await child.stdin.flush();
  expect(await child.exited).toBe(0);
  return readFileSync(output, "utf8").replaceAll("\r\n", "\n");
}

/** The new terminal echoes the typed line whenever it comes: nothing is said before that, so that it parts no two lines. */
const TALKS = 'at=$(tty; stty size); read -r line; echo "$at"; echo "[$line]"';

describe("run", async () => {
  test("joins the container's terminal to the user's, and gives it back as it was", async () => {
    const id = lab.container(program(`${TALKS}; exit 5`));
    const shown = await inTerminal(`crio run --bundle ${lab.bundle} ${id}; echo "code $?"; check`, "typed\n");
    expect(shown).toContain("/dev/pts/0\n33 77\n");
    expect(shown).toEndWith("[typed]\ncode 5\nrestored\n");
    expect(lab.traces(id)).toEqual([]);
  });

  test("passes on what a program writes that has ended at once", async () => {
    const id = lab.container(program("echo hello"));
    expect(await inTerminal(`crio run --bundle ${lab.bundle} ${id}`)).toBe("hello\n");
  });

  test("passes on everything, also the last that was written", async () => {
    const id = lab.container(program("i=0; while test $i -lt 20000; do echo line $i; i=$((i+1)); done"));
    const shown = await inTerminal(`crio run --bundle ${lab.bundle} ${id}`);
    expect(shown === Array.from({ length: 20000 }, (_, i) => `line ${i}\n`).join("")).toBe(true);
  });

  test("a key that is a signal reaches the container, not crio-lxc", async () => {
    const files = meet();
    const id = lab.container(
      program("trap 'echo interrupted; exit 3' INT; touch /meet/ready; while :; do sleep 0.1; done"),
    );
    // Pressed once, and not before the terminal passes on every key: until then it is a signal to crio-lxc, and discards output.
    const pressed = appears(join(files, "raw")).then(() => "\x03");
    const shown = await inTerminal(
      `(wait_for ${files}/ready; while test "$(stty -g)" = "$before"; do sleep 0.02; done; touch ${files}/raw) <&3 &
       crio run --bundle ${lab.bundle} ${id}; echo "code $?"; check`,
      pressed,
    );
    expect(shown).toEndWith("interrupted\ncode 3\nrestored\n");
  });

  test("a new size of the user's terminal is the container's", async () => {
    const files = meet();
    const script = "trap 'stty size; exit 0' WINCH; touch /meet/ready; while :; do sleep 0.1; done";
    const id = lab.container(program(script));
    const shown = await inTerminal(
      `crio run --bundle ${lab.bundle} ${id} <&3 & wait_for ${files}/ready
       n=41; while kill -0 $! 2>/dev/null; do stty rows $n cols 99; n=$((41 + (n - 40) % 9)); sleep 0.2; done; check`,
    );
    expect(shown).toMatch(/4[0-9] 99\n/);
    expect(shown).toEndWith("restored\n");
  });

  test("killed, it leaves the terminal as it was", async () => {
    const files = meet();
    const id = lab.container(program("touch /meet/ready; sleep 1000"));
    const shown = await inTerminal(
      `${lab.argv("run", "--bundle", lab.bundle, id).join(" ")} <&3 & wait_for ${files}/ready
       while test "$(stty -g)" = "$before"; do sleep 0.02; done
       echo changed; kill -9 $!; wait $!; check`,
    );
    expect(shown).toContain("changed");
    expect(shown).toEndWith("restored\n");
    expect(lab.call("delete", "--force", id)).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("without any terminal is an error that says what to do", () => {
    const id = lab.container(program("true"));
    const answer = lab.spawn(["setsid", "-w", ...lab.argv("run", "--bundle", lab.bundle, id)]);
    expect(answer).toMatchObject({ code: 1, stdout: "" });
    expect(answer.stderr).toContain("use --console-socket");
    expect(lab.traces(id)).toEqual([]);
    const detached = lab.call("run", "--detach", "--bundle", lab.bundle, id);
    expect(detached.stderr).toContain("cannot allocate tty");
    expect(lab.traces(id)).toEqual([]);
  });
});

describe("exec", async () => {
  test("--tty joins the terminal of its process to the user's", async () => {
    const { id } = lab.running();
    const command = `${TALKS}; exit 6`;
    const shown = await inTerminal(
      `crio exec --tty ${id} sh -c '${command}'; echo "code $?"; check`,
      "typed\n",
    );
    expect(shown).toContain("/dev/pts/0\n33 77\n");
    expect(shown).toEndWith("[typed]\ncode 6\nrestored\n");
    expect(lab.call("exec", "--tty", "--detach", id, "true")).toMatchObject({
      code: 255,
      stderr: expect.stringContaining("cannot allocate tty"),
    });
  });

  test("a signal to it is one to its process", async () => {
    const files = meet();
    const { id } = lab.running(program("while :; do sleep 1000; done", false));
    const script = "trap 'exit 42' TERM; touch /meet/ready; while :; do sleep 0.1; done";
    const child = Bun.spawn(lab.argv("exec", id, "sh", "-c", script), {
      stdio: ["ignore", "ignore", "ignore"],
    });
    await appears(join(files, "ready"));
    child.kill("SIGTERM");
    expect(await child.exited).toBe(42);
  });
});

test("a signal to run is one to the container", async () => {
  const files = meet();
  const id = lab.container(
    program("trap 'exit 43' USR1; touch /meet/ready; while :; do sleep 0.1; done", false),
  );
  const child = Bun.spawn(lab.argv("run", "--bundle", lab.bundle, id), {
    stdio: ["ignore", "ignore", "ignore"],
  });
  await appears(join(files, "ready"));
  child.kill("SIGUSR1");
  expect(await child.exited).toBe(43);
  expect(lab.traces(id)).toEqual([]);
});
