/** The demo's live output: numbered steps, what is run, what it said, how long it took. Silent with --json. */
export class Story {
  readonly #isSilent: boolean;
  readonly #steps: StepTime[] = [];

  constructor(isSilent: boolean) {
    this.#isSilent = isSilent;
  }

  get steps(): readonly StepTime[] {
    return this.#steps;
  }

  /** Runs one named part of the demo and says how long it took. */
  async step<T>(title: string, part: () => Promise<T>): Promise<T> {
    const number = this.#steps.length + 1;
    this.write(`\n${bold(`${number}. ${title}`)}`);
    const start = performance.now();
    const result = await part();
    const milliseconds = performance.now() - start;
    this.#steps.push({ title, milliseconds });
    this.write(dim(`   (${seconds(milliseconds)})`));
    return result;
  }

  /** A line below the step's title; text of several lines is indented as a whole. */
  readonly say = (text: string): void => {
    for (const line of text.replace(/\n+$/, "").split("\n")) this.write(`   ${line}`);
  };

  command(argv: readonly string[]): void {
    this.say(dim(`$ ${argv.join(" ")}`));
  }

  write(line: string): void {
    if (!this.#isSilent) process.stdout.write(`${line}\n`);
  }
}

export type StepTime = { readonly title: string; readonly milliseconds: number };

function styled(code: number, text: string): string {
  return process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined
    ? `\x1b[${code}m${text}\x1b[0m`
    : text;
}

export function bold(text: string): string {
  return styled(1, text);
}

export function dim(text: string): string {
  return styled(2, text);
}

export function seconds(milliseconds: number): string {
  return milliseconds < 100 ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(2)} s`;
}
