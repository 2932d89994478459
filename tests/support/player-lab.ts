import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Action, LaunchProgram, Operation } from "../../src/runtime/operations.ts";
import { encodeProgram } from "../../src/runtime/program-codec.ts";
import { run } from "../../src/sys/process.ts";
import { debianRootfs } from "./debian-rootfs.ts";

/** The id that is 0 in the harness's user namespace. */
const FIRST_ID = 100_000;
const REPOSITORY = join(import.meta.dir, "../..");

export type Played = {
  /** What the player and the kernel reported, a line an event (player-harness.c). */
  readonly events: readonly string[];
  /** What the container's process wrote. */
  readonly output: string;
};

/** Builds the player and runs programs in new namespaces on a Debian root. */
export class PlayerLab {
  readonly directory: string = mkdtempSync(join(tmpdir(), "atomfs-player-"));
  readonly player: string = join(this.directory, "player");
  readonly #harness = join(this.directory, "harness");
  #lower = "";
  #roots = 0;

  async prepare(build: "release" | "sanitized"): Promise<void> {
    // Root of a user namespace has to find the overlay's directories.
    chmodSync(this.directory, 0o755);
    const source = join(REPOSITORY, "tests/support/player-harness.c");
    await run([join(REPOSITORY, "native/build.sh"), this.player, build]);
    await run(["gcc", "-std=c11", "-Wall", "-Wextra", "-O1", source, "-o", this.#harness]);
    this.#lower = await debianRootfs();
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** An upper directory: what a container finds changed in its root, and where its writes arrive. */
  newUpper(): string {
    const upper = join(this.directory, `upper${this.#roots++}`);
    mkdirSync(upper);
    return upper;
  }

  start(
    program: LaunchProgram | Uint8Array,
    options: readonly string[] = [],
    upper: string = this.newUpper(),
  ): Bun.Subprocess<"pipe", "pipe", "pipe"> {
    const work = `${upper}.work`;
    const file = `${upper}.program`;
    mkdirSync(work, { recursive: true });
    writeFileSync(file, program instanceof Uint8Array ? program : encodeProgram(program));
    if (options.includes("user")) for (const one of [upper, work]) chownSync(one, FIRST_ID, FIRST_ID);
    const argv = [this.#harness, this.player, file, this.#lower, upper, work, ...options];
    return Bun.spawn(argv, { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  }

  async play(
    program: LaunchProgram | Uint8Array,
    options: readonly string[] = [],
    upper?: string,
  ): Promise<Played> {
    await using child = this.start(program, options, upper);
    const [stdout, output] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { events: stdout.trimEnd().split("\n"), output };
  }
}

export function programOf(...actions: readonly (Action | Operation)[]): LaunchProgram {
  return {
    operations: actions.map((one) => ("does" in one ? one : { does: one, onError: "fail" })),
  };
}
