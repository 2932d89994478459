/** One line of `atomfs doctor`: what was tried and what came out. Ids and statuses are stable (docs/cli.md). */
export type Check = {
  /** "area.subject". */
  readonly id: string;
  /** "fails": something that AtomFS is for will not work. "limited": it works with less. "absent": not there, and not needed. */
  readonly status: "works" | "limited" | "fails" | "absent";
  /** What was found. */
  readonly finding: string;
  /** What it means for AtomFS; only where something is amiss. */
  readonly effect?: string;
  /** What to do about it. */
  readonly advice?: string;
};

export function works(id: string, finding: string): Check {
  return { id, status: "works", finding };
}

/** A probe that could not be made is an answer, too: the others go on. */
export async function attempt(
  id: string,
  effect: string,
  probe: () => Check[] | Promise<Check[]>,
): Promise<Check[]> {
  try {
    return await probe();
  } catch (error) {
    const finding = error instanceof Error ? error.message : String(error);
    return [{ id, status: "fails", finding, effect }];
  }
}
