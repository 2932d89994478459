import { AtomfsError } from "../../src/core/errors.ts";
import type { Point } from "./tap.ts";

/** Points of one program that crio-lxc is known not to pass, though runc does. */
export type Exception = {
  readonly program: string;
  readonly points: readonly string[];
  readonly reason: string;
  /** Which process is faster decides: neither result says anything, with either runtime. */
  readonly race: boolean;
  /** "6.8": older kernels show no difference, so that there the points must pass. */
  readonly sinceKernel: string;
};

export type Comparison = {
  /** That both runtimes pass. */
  readonly passed: readonly string[];
  /** What is wrong: one sentence each. */
  readonly failed: readonly string[];
  /** Known and excused, with the reason. */
  readonly skipped: readonly string[];
  /** That crio-lxc passes, and runc does not. */
  readonly better: readonly string[];
};

/** @throws AtomfsError "bad-data" for a list that is not one */
export function parseExceptions(text: string): Exception[] {
  const value: unknown = JSON.parse(text);
  if (!Array.isArray(value)) throw new AtomfsError("bad-data", "The list of exceptions is no list");
  return value.map((entry: unknown, i) => {
    const { program, points, reason, race, sinceKernel = "0.0" } = entry as Readonly<Record<string, unknown>>;
    const complete =
      typeof program === "string" &&
      Array.isArray(points) &&
      points.length > 0 &&
      points.every((point) => typeof point === "string") &&
      typeof reason === "string" &&
      reason.length > 20 &&
      (race === undefined || race === true) &&
      typeof sinceKernel === "string" &&
      /^[0-9]+\.[0-9]+$/.test(sinceKernel);
    if (!complete) throw new AtomfsError("bad-data", `Exception ${i} lacks its program, points or reason`);
    return { program, points, reason, race: race === true, sinceKernel };
  });
}

/** @param release of uname(2) */
export function appliesTo({ sinceKernel }: Exception, release: string): boolean {
  const [major = 0, minor = 0] = release.split(/[^0-9]/).map(Number);
  const [first = 0, second = 0] = sinceKernel.split(".").map(Number);
  return major > first || (major === first && minor >= second);
}

/**
 * What runc passes, crio-lxc must pass, unless it is listed; and what is listed must differ, so that the list can only shrink.
 * @param exceptions of this program
 */
export function compareProgram(
  program: string,
  runc: readonly Point[],
  ours: readonly Point[],
  exceptions: readonly Exception[],
): Comparison {
  const mine = passedNames(ours);
  const theirs = passedNames(runc);
  const listed = new Map(exceptions.flatMap((one) => one.points.map((point) => [point, one] as const)));
  const show = (point: string): string => `${program}: ${point}`;
  const passed: string[] = [];
  const failed: string[] = [];
  const skipped: string[] = [];
  for (const point of theirs) {
    const exception = listed.get(point);
    if (exception === undefined && !mine.has(point))
      failed.push(`${show(point)}: runc passes this and crio-lxc does not`);
    else if (exception === undefined) passed.push(show(point));
  }
  for (const [point, { reason, race }] of listed) {
    if (race || (theirs.has(point) && !mine.has(point))) skipped.push(`${show(point)}: ${reason}`);
    else if (mine.has(point)) failed.push(`${show(point)}: crio-lxc passes this: remove it from the list`);
    else failed.push(`${show(point)}: runc does not pass this either: remove it from the list`);
  }
  const better = [...mine].filter((point) => !theirs.has(point) && !listed.has(point)).map(show);
  return { passed, failed, skipped, better };
}

function passedNames(points: readonly Point[]): Set<string> {
  return new Set(points.filter(({ result }) => result === "passed").map(({ name }) => name));
}
