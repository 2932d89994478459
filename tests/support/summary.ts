import type { TestCount } from "./junit.ts";

/**
 * How every suite ends: the names of what was skipped and of what failed, two spaces before each, and the line that `.ci/run`
 * adds up.
 */
export function printSummary(
  counts: TestCount,
  names: { readonly skipped: readonly string[]; readonly failed: readonly string[] },
): void {
  printNames("Skipped", names.skipped);
  printNames("Failed", names.failed);
  console.log(`\n${countsText(counts)}`);
}

export function countsText({ passed, failed, skipped }: TestCount): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

function printNames(title: string, names: readonly string[]): void {
  if (names.length > 0) console.log(`\n${title}:\n${names.map((name) => `  ${name}`).join("\n")}`);
}
