import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { patience } from "../support/slowness.ts";
import { type Point, parseTap } from "./tap.ts";

/** The slowest program takes 15 s: it waits for something that does not happen. A loaded machine takes several times as long. */
const LIMIT_MS = patience(180_000);

/** Of stderr. */
const SHOWN = 500;

/** A runtime under its own state directory, as the validation programs call it. Disposing removes what they left. */
export class ValidatedRuntime implements Disposable {
  readonly name: string;
  readonly #suite: string;
  readonly #scratch: string;
  readonly #command: string;
  readonly #root: string;

  /** @param suite the directory of the programs */
  constructor(name: string, program: string, suite: string) {
    this.name = name;
    this.#suite = suite;
    this.#scratch = mkdtempSync("/var/tmp/atomfs-validation-");
    // A container's root may be no root of the host.
    chmodSync(this.#scratch, 0o711);
    this.#root = join(this.#scratch, "state");
    mkdirSync(this.#root);
    this.#command = join(this.#scratch, name);
    writeFileSync(this.#command, `#!/bin/sh\nexec '${program}' --root '${this.#root}' "$@"\n`, {
      mode: 0o755,
    });
  }

  /** What a program says, and how it ended. */
  async validate(program: string): Promise<Point[]> {
    const bundles = mkdtempSync(join(this.#scratch, "bundles-"));
    chmodSync(bundles, 0o711);
    const log = join(bundles, "tap");
    const out = openSync(log, "w");
    const err = openSync(this.#complaints(program), "w");
    // A container without a mount namespace of its own has its mounts made, by runc, in that of its caller; and the program
    // removes its bundle with all that is mounted there, message queues among it.
    const child = Bun.spawn(
      ["unshare", "--mount", "--ipc", "--propagation", "private", join(this.#suite, program)],
      {
        cwd: this.#suite,
        env: { ...process.env, RUNTIME: this.#command, TMPDIR: bundles },
        stdin: "ignore",
        stdout: out,
        stderr: err,
        detached: true,
      },
    );
    closeSync(out);
    closeSync(err);
    let late = false;
    const limit = setTimeout(() => {
      late = true;
      killGroup(child.pid);
    }, LIMIT_MS);
    await child.exited;
    clearTimeout(limit);
    killGroup(child.pid);
    this.#deleteContainers();
    const points = parseTap(readFileSync(log, "utf8"));
    rmSync(bundles, { recursive: true, force: true });
    return [
      ...points,
      { name: "ends in time", result: late ? "failed" : "passed" },
      { name: "exits with 0", result: child.exitCode === 0 ? "passed" : "failed" },
    ];
  }

  #complaints(program: string): string {
    return join(this.#scratch, `${program}.stderr`);
  }

  /** The end of what a program, and the runtime under it, wrote to stderr when it was last run. */
  said(program: string): string {
    const text = readFileSync(this.#complaints(program), "utf8").trim();
    return text === "" ? "said nothing" : text.slice(-SHOWN);
  }

  #deleteContainers(): void {
    for (const id of existsSync(this.#root) ? readdirSync(this.#root) : []) {
      if (id.startsWith(".")) continue;
      const argv = [this.#command, "delete", "--force", id];
      Bun.spawnSync(argv, { stdin: "ignore", stdout: "ignore", stderr: "ignore", timeout: LIMIT_MS });
    }
  }

  [Symbol.dispose](): void {
    this.#deleteContainers();
    rmSync(this.#scratch, { recursive: true, force: true });
  }
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // Nobody of it is left.
  }
}
