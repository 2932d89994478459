import { cp } from "node:fs/promises";
import { join } from "node:path";
import { AtomfsError, type ErrorKind, EXIT_CODES } from "../../src/core/errors.ts";
import { run } from "../../src/sys/process.ts";
import type { Story } from "./story.ts";
import type { Workplace } from "./workplace.ts";

export const REPOSITORY: string = join(import.meta.dir, "../..");

/** Where commands run: a network namespace by its name, if it isn't the machine's own. */
export type CommandPlace = Pick<Workplace, "programs" | "env"> & { readonly network?: string | undefined };

/** Runs the commands that a user would type, shows them, and gives what they answered. */
export class Commands {
  readonly #story: Story;
  readonly #workplace: CommandPlace;
  readonly #signal: AbortSignal;

  constructor(story: Story, workplace: CommandPlace, signal: AbortSignal) {
    this.#story = story;
    this.#workplace = workplace;
    this.#signal = signal;
  }

  /** `atomfs ARGS`, twice as readable as data: its --json answer is returned, `show` says what of it people see. */
  async atomfs<T>(args: readonly string[], show?: (answer: T) => string): Promise<T> {
    this.#story.command(["atomfs", ...args]);
    const answer = await this.quietly<T>(args);
    if (show !== undefined) this.#story.say(show(answer));
    return answer;
  }

  /** Part of the demo's own bookkeeping: not shown. */
  async quietly<T>(args: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.#start([
      join(this.#workplace.programs, "atomfs"),
      "--json",
      ...args,
    ]);
    if (code !== 0) throw failureOf(`atomfs ${args.join(" ")}`, code, stderr);
    return JSON.parse(stdout.toString()) as T;
  }

  /** Another program: what it wrote to stdout. */
  async run(argv: readonly [string, ...string[]], okCodes: readonly number[] = [0]): Promise<string> {
    this.#story.command(argv);
    const { code, stdout, stderr } = await this.#start(argv);
    if (!okCodes.includes(code)) throw failureOf(argv.slice(0, 2).join(" "), code, stderr);
    return stdout.toString();
  }

  #start(argv: readonly [string, ...string[]]): ReturnType<typeof run> {
    const { network } = this.#workplace;
    const there =
      network === undefined ? argv : (["nsenter", `--net=/run/netns/${network}`, "--", ...argv] as const);
    return run(tied(there), { env: this.#workplace.env, signal: this.#signal, okCodes: ANY_CODE });
  }
}

const ANY_CODE: readonly number[] = Array.from({ length: 256 }, (_, code) => code);

/** A program that is told to end when this one ends, also if this one is killed. */
export function tied(argv: readonly [string, ...string[]]): [string, ...string[]] {
  return ["setpriv", "--pdeathsig", "TERM", ...argv];
}

/** What atomfs says of its failure with --json; of other programs the end of what they wrote. */
export function failureOf(command: string, code: number, stderr: string): AtomfsError {
  try {
    const { message, hints } = (JSON.parse(stderr) as { error: { message: string; hints: string[] } }).error;
    const kind = KINDS.find((each) => EXIT_CODES[each] === code) ?? "failed";
    return new AtomfsError(kind, `${command}: ${message}`, { hints });
  } catch (cause) {
    if (!(cause instanceof SyntaxError || cause instanceof TypeError)) throw cause;
    const shown = stderr.trim().slice(-1000);
    return new AtomfsError("failed", `${command} failed with exit code ${code}: ${shown}`, { cause });
  }
}

const KINDS = Object.keys(EXIT_CODES) as ErrorKind[];

/** Builds dist/. */
export async function buildAtomfs(signal: AbortSignal): Promise<void> {
  await run([process.execPath, join(REPOSITORY, "scripts/build.ts")], { cwd: REPOSITORY, signal });
}

/**
 * Copies dist/: containers need their runtime until they are removed, also if the checkout is built again or removed
 * before the next demo finds what a killed one left.
 */
export async function copyPrograms(directory: string): Promise<void> {
  await cp(join(REPOSITORY, "dist"), directory, { recursive: true, verbatimSymlinks: true });
}

/** What the demo promises was not true: it ends as a failure, not as a table. */
export function must(isTrue: boolean, promise: string): void {
  if (!isTrue) throw new AtomfsError("failed", `The demo's promise was broken: ${promise}`);
}
