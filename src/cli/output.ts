import { createInterface } from "node:readline/promises";
import { AtomfsError } from "../core/errors.ts";

/** stdout is the answer, stderr the story. With --json the answer is one JSON document and the story is silent. */
export class Output {
  readonly json: boolean;
  readonly #isTerminal: boolean = process.stderr.isTTY === true;
  #hasProgress = false;

  constructor(json: boolean) {
    this.json = json;
  }

  /** The answer: `value` with --json, else what `text` makes of it. */
  answer<T>(value: T, text: (value: T) => string): void {
    this.#endProgress();
    const shown = this.json ? JSON.stringify(value, null, 2) : text(value);
    if (shown !== "") process.stdout.write(`${shown}\n`);
  }

  /** A line for people. */
  say(line: string): void {
    this.#endProgress();
    if (!this.json) process.stderr.write(`${line}\n`);
  }

  /** What is going on right now; only on a terminal. */
  readonly progress = (text: string): void => {
    if (!this.#isTerminal || this.json) return;
    process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
    this.#hasProgress = true;
  };

  #endProgress(): void {
    if (this.#hasProgress) process.stderr.write("\r\x1b[K");
    this.#hasProgress = false;
  }

  /** @param origin what was thrown, shown with ATOMFS_DEBUG */
  error(failure: AtomfsError, origin: unknown): void {
    this.#endProgress();
    const { kind, message, hints } = failure;
    if (this.json) process.stderr.write(`${JSON.stringify({ error: { kind, message, hints } })}\n`);
    else {
      process.stderr.write(`atomfs: ${message}\n`);
      for (const hint of hints) process.stderr.write(`atomfs: hint: ${hint}\n`);
    }
    if (process.env["ATOMFS_DEBUG"] !== undefined && !this.json && origin instanceof Error)
      process.stderr.write(`${origin.stack}\n`);
  }

  /** @throws AtomfsError "usage" if there is nobody to ask */
  async confirm(question: string, signal: AbortSignal): Promise<boolean> {
    this.#endProgress();
    if (!this.#isTerminal || process.stdin.isTTY !== true || this.json) {
      throw new AtomfsError("usage", "This needs a yes, and there is no terminal to ask on", {
        hints: ["add --yes"],
      });
    }
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    try {
      return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `, { signal })).trim());
    } finally {
      terminal.close();
    }
  }
}

/** Columns of text, two spaces apart; the last column is not padded. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((cell, column) =>
    Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  return [header, ...rows]
    .map((row) =>
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
        .join("  "),
    )
    .join("\n");
}

/** "12.3 MB": decimal, as disks and registries count. */
export function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** The first 12 digits of a digest, as engines show ids. */
export function shortId(digest: string): string {
  return digest.slice(0, 12);
}
