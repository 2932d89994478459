import { REPOSITORY } from "../scripts/demo/commands.ts";
import type { DemoImages } from "../scripts/demo/images.ts";
import { type Measured, type MeterOptions, measureCommand } from "./meter.ts";
import type { BenchPlace } from "./place.ts";
import type { Results, Sample } from "./results.ts";

const ATOMFS = `${REPOSITORY}/dist/atomfs`;

type Environment = Readonly<Record<string, string | undefined>>;

/** What every case gets. */
export class Bench {
  readonly place: BenchPlace;
  readonly images: DemoImages;
  readonly results: Results;
  readonly signal: AbortSignal;
  /** One or two runs of everything, to see that it works. */
  readonly isQuick: boolean;
  readonly say: (text: string) => void;

  constructor(fields: {
    readonly place: BenchPlace;
    readonly images: DemoImages;
    readonly results: Results;
    readonly signal: AbortSignal;
    readonly isQuick: boolean;
    readonly say: (text: string) => void;
  }) {
    this.place = fields.place;
    this.images = fields.images;
    this.results = fields.results;
    this.signal = fields.signal;
    this.isQuick = fields.isQuick;
    this.say = fields.say;
  }

  /** Each round runs all contenders, every round starting with another one, so that a change of the machine's load meets all of them. */
  async interleave(rounds: number, contenders: readonly (() => Promise<void>)[]): Promise<void> {
    const count = this.isQuick ? Math.min(rounds, 2) : rounds;
    for (let round = 0; round < count; round++) {
      for (let i = 0; i < contenders.length; i++) {
        this.signal.throwIfAborted();
        await contenders[(round + i) % contenders.length]?.();
      }
    }
  }

  command(
    argv: readonly [string, ...string[]],
    env: Environment,
    okCodes: readonly number[] = [0],
    options: Pick<MeterOptions, "leavesProcesses" | "around"> = {},
  ): Promise<Measured> {
    const { signal, place } = this;
    return measureCommand(argv, { env, signal, scratch: place.meterFile, okCodes, ...options });
  }

  /** `atomfs ARGS` in the store `root`, with the bench's own Podman. */
  atomfs(root: string, args: readonly string[], okCodes: readonly number[] = [0]): Promise<Measured> {
    return this.command([ATOMFS, ...args], { ...this.place.env, ATOMFS_ROOT: root }, okCodes);
  }

  /** Times a piece of this program. */
  async timed(work: () => void | Promise<void>): Promise<Sample> {
    const start = performance.now();
    await work();
    const ms = performance.now() - start;
    // Lets a signal that came meanwhile be seen.
    await Bun.sleep(0);
    this.signal.throwIfAborted();
    return { ms };
  }
}
