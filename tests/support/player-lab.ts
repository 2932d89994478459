import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Action, LaunchProgram, Operation } from "../../src/runtime/operations.ts";
import { encodeProgram } from "../../src/runtime/program-codec.ts";
import { run } from "../../src/sys/process.ts";
import { debianRootfs } from "./debian-rootfs.ts";
import { START, shell } from "./player-actions.ts";

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
  readonly player: string;
  readonly #harness: string;
  readonly #lower: string;
  #roots = 0;

  private constructor({ player, harness }: Programs, lower: string) {
    // Root of a user namespace has to find the overlay's directories.
    chmodSync(this.directory, 0o755);
    this.player = player;
    this.#harness = harness;
    this.#lower = lower;
  }

  /** PLAYER_BUILD=sanitized: of a build that ends at the first wrong access or undefined behaviour. */
  static async open(): Promise<PlayerLab> {
    const kind = process.env["PLAYER_BUILD"] === "sanitized" ? "sanitized" : "release";
    const programs = built.get(kind) ?? build(kind);
    built.set(kind, programs);
    return new PlayerLab(await programs, await debianRootfs());
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

  /** What a shell script prints after these operations. @throws Error unless everything succeeds */
  async shown(
    before: readonly (Action | Operation)[],
    script: string,
    options: readonly string[] = [],
    upper?: string,
  ): Promise<string> {
    const { events, output } = await this.play(programOf(...before, START, shell(script)), options, upper);
    if (events.join() !== "ready,control closed,start closed,exit 0") {
      throw new Error(`The player said ${events.join(", ")} and its process ${output}`);
    }
    return output.trimEnd();
  }
}

type Programs = { readonly player: string; readonly harness: string };

/** Of this process: several labs share them. */
const built = new Map<string, Promise<Programs>>();

async function build(kind: "release" | "sanitized"): Promise<Programs> {
  const directory = mkdtempSync(join(tmpdir(), "atomfs-player-build-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  const [player, harness] = [join(directory, "player"), join(directory, "harness")];
  const source = join(REPOSITORY, "tests/support/player-harness.c");
  await run([join(REPOSITORY, "native/build.sh"), player, kind]);
  await run(["gcc", "-std=c11", "-Wall", "-Wextra", "-O1", source, "-o", harness]);
  return { player, harness };
}

export function programOf(...actions: readonly (Action | Operation)[]): LaunchProgram {
  return {
    operations: actions.map((one) => ("does" in one ? one : { does: one, onError: "fail" })),
  };
}
