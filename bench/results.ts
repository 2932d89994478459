import { bytesText, table } from "../src/cli/output.ts";

/** One run. Times in milliseconds. */
export type Sample = {
  /** NaN where time is not what is measured. */
  readonly ms: number;
  /** User and system time of all processes of the run. */
  readonly cpuMs?: number;
  /** The largest resident memory of one process of the run. */
  readonly peakBytes?: number;
  /** Disk space that the run took. */
  readonly diskBytes?: number;
  /** Resident memory of processes that the run left behind. */
  readonly residentBytes?: number;
};

export type Row = {
  readonly group: string;
  readonly what: string;
  /** The row of the same group that this one is compared with. */
  readonly against: string | undefined;
  /** In the order in which they were taken. */
  readonly samples: Sample[];
};

/** Everything measured, in the order in which it is shown. */
export class Results {
  readonly #rows: Row[] = [];

  get rows(): readonly Row[] {
    return this.#rows;
  }

  add(group: string, what: string, sample: Sample, options: { readonly against?: string } = {}): void {
    let row = this.#rows.find((each) => each.group === group && each.what === what);
    if (row === undefined) {
      row = { group, what, against: options.against, samples: [] };
      this.#rows.push(row);
    }
    row.samples.push(sample);
  }

  /** Median of `what` divided by the median of the row it is compared with; above 1 the other one is faster. */
  ratio(row: Row): number | undefined {
    const other = this.#rows.find((each) => each.group === row.group && each.what === row.against);
    return other === undefined ? undefined : medianMs(row) / medianMs(other);
  }

  text(): string {
    const groups = [...new Set(this.#rows.map((row) => row.group))];
    const lines = groups.flatMap((group) => {
      const rows = this.#rows.filter((row) => row.group === group);
      return [[group, "", "", "", "", "", "", "", "", ""], ...rows.map((row) => this.#cells(row))];
    });
    return table(["WHAT", "RUNS", "MEDIAN", "P95", "MIN", "RATIO", "CPU", "MEMORY", "DISK", "STAYS"], lines);
  }

  #cells(row: Row): string[] {
    const ratio = this.ratio(row);
    return [
      `  ${row.what}`,
      String(row.samples.length),
      timeText(medianMs(row)),
      row.samples.length < ENOUGH_FOR_P95 ? "" : timeText(percentile95(row.samples.map(({ ms }) => ms))),
      timeText(Math.min(...row.samples.map(({ ms }) => ms))),
      ratio === undefined ? "" : `${ratio < 10 ? ratio.toFixed(2) : ratio.toFixed(0)}x`,
      optional(row, "cpuMs", timeText),
      optional(row, "peakBytes", bytesText),
      optional(row, "diskBytes", bytesText),
      optional(row, "residentBytes", bytesText),
    ];
  }
}

function optional(row: Row, field: keyof Sample, text: (value: number) => string): string {
  const values = row.samples.map((sample) => sample[field]).filter((value) => value !== undefined);
  return values.length === 0 ? "" : text(median(values));
}

function medianMs(row: Row): number {
  return median(row.samples.map(({ ms }) => ms));
}

/** With fewer runs it is the slowest one. */
const ENOUGH_FOR_P95 = 20;

/** The value that 95 of 100 do not exceed (nearest rank). */
export function percentile95(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.95) - 1] ?? Number.NaN;
}

/** The middle of the sorted values; of an even number of them, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export function timeText(ms: number): string {
  if (Number.isNaN(ms)) return "";
  if (ms < 10) return `${ms.toFixed(2)} ms`;
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
