import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { ContainerLab } from "../support/container-lab.ts";
import { patience } from "../support/slowness.ts";

/** Signals to a `run` or `exec` in the foreground are its program's; runc is the control. */

const LIMIT_MS = patience(60_000);
const NAMES = ["HUP", "INT", "QUIT", "ABRT", "USR1", "USR2", "ALRM", "TERM"].concat([
  ...["CONT", "TSTP", "XCPU", "XFSZ", "VTALRM", "IO", "SYS"],
]);
/** Go takes it for its own profiler's. */
const NOT_OF_RUNC = "PROF";
const SCRIPT = [
  ...[...NAMES, NOT_OF_RUNC].map(
    (name) => `trap 'echo ${name}' ${constants.signals[`SIG${name}` as "SIGTERM"]}`,
  ),
  "echo ready",
  "while :; do sleep 0.02; done",
].join("; ");

let labs: readonly (readonly [lab: ContainerLab, names: readonly string[]])[];
beforeAll(() => {
  const runc = new ContainerLab(Bun.which("runc") ?? "runc");
  labs = [
    [runc, NAMES],
    [new ContainerLab(), [...NAMES, NOT_OF_RUNC]],
  ];
}, patience(300_000));
afterAll(() => {
  for (const [lab] of labs) lab[Symbol.dispose]();
});

/** Sends each signal once the one before has been told of. */
async function signalsSeen(
  lab: ContainerLab,
  argv: readonly string[],
  id: string,
  names: readonly string[],
): Promise<string[]> {
  const file = join(lab.scratch, `signals-${argv[0]}`);
  const output = openSync(file, "w");
  using child = disposable(Bun.spawn(lab.argv(...argv), { stdin: "ignore", stdout: output, stderr: output }));
  closeSync(output);
  const seen = (): string[] => (existsSync(file) ? readFileSync(file, "utf8").split("\n") : []);
  const until = async (word: string): Promise<void> => {
    for (const end = Date.now() + LIMIT_MS; !seen().includes(word); await Bun.sleep(5))
      if (Date.now() > end) throw new Error(`${word} did not come: ${seen().join(" ")}`);
  };
  await until("ready");
  for (const name of names) {
    child.process.kill(constants.signals[`SIG${name}` as "SIGTERM"]);
    await until(name);
  }
  lab.must("kill", id, "KILL");
  expect(await child.process.exited).toBe(137);
  return seen();
}

function disposable(process: Bun.Subprocess): Disposable & { readonly process: Bun.Subprocess } {
  return { process, [Symbol.dispose]: () => process.kill("SIGKILL") };
}

test(
  "of run",
  async () => {
    for (const [lab, names] of labs) {
      const id = lab.container((config) => {
        config.process.args = ["sh", "-c", SCRIPT];
      });
      expect(await signalsSeen(lab, ["run", "--bundle", lab.bundle, id], id, names)).toEqual([
        "ready",
        ...names,
        "",
      ]);
    }
  },
  4 * LIMIT_MS,
);

test(
  "of exec",
  async () => {
    for (const [lab, names] of labs) {
      const { id } = lab.running();
      expect(await signalsSeen(lab, ["exec", id, "sh", "-c", SCRIPT], id, names)).toEqual([
        "ready",
        ...names,
        "",
      ]);
    }
  },
  4 * LIMIT_MS,
);
