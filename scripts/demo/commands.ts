import { join } from "node:path";
import { AtomfsError } from "../../src/core/errors.ts";
import { run } from "../../src/sys/process.ts";
import type { Story } from "./story.ts";
import type { Workplace } from "./workplace.ts";

export const REPOSITORY: string = join(import.meta.dir, "../..");
const ATOMFS: string = join(REPOSITORY, "dist/atomfs");

/** Runs the commands that a user would type, shows them, and gives what they answered. */
export class Commands {
  readonly #story: Story;
  readonly #workplace: Workplace;
  readonly #signal: AbortSignal;

  constructor(story: Story, workplace: Workplace, signal: AbortSignal) {
    this.#story = story;
    this.#workplace = workplace;
    this.#signal = signal;
  }

  /** `atomfs ARGS`, twice as readable as data: its --json answer is returned, `show` says what of it people see. */
  async atomfs<T>(
    args: readonly string[],
    show: (answer: T) => string,
    okCodes: readonly number[] = [0],
  ): Promise<T> {
    this.#story.command(["atomfs", ...args]);
    const { stdout } = await this.#run([ATOMFS, "--json", ...args], okCodes);
    const answer = JSON.parse(stdout.toString()) as T;
    this.#story.say(show(answer));
    return answer;
  }

  async podman(args: readonly string[], okCodes: readonly number[] = [0]): Promise<string> {
    this.#story.command(["podman", ...args]);
    return (await this.#run(["podman", ...args], okCodes)).stdout.toString();
  }

  /** Part of the demo's own bookkeeping: not shown. */
  async quiet(argv: readonly [string, ...string[]], okCodes: readonly number[] = [0]): Promise<string> {
    return (await this.#run(argv, okCodes)).stdout.toString();
  }

  #run(argv: readonly [string, ...string[]], okCodes: readonly number[]): ReturnType<typeof run> {
    return run(argv, { env: this.#workplace.env, signal: this.#signal, okCodes });
  }
}

/** Builds dist/atomfs. */
export async function buildAtomfs(signal: AbortSignal): Promise<void> {
  await run([process.execPath, join(REPOSITORY, "scripts/build.ts")], { cwd: REPOSITORY, signal });
}

/** What the demo promises was not true: it ends as a failure, not as a table. */
export function must(isTrue: boolean, promise: string): void {
  if (!isTrue) throw new AtomfsError("failed", `The demo's promise was broken: ${promise}`);
}
