import { bytesText, table } from "../../src/cli/output.ts";
import type { ImportAnswer, Report } from "./answers.ts";
import { seconds } from "./story.ts";

/** Every figure comes from the steps themselves. */
export function closingTable(report: Report): string {
  const { imports, before, after, fix, restart, undone, rebuildMs, totalMs } = report;
  const all = Object.values(imports);
  const sum = (pick: (answer: ImportAnswer) => number): number =>
    all.reduce((total, each) => total + pick(each), 0);
  return table(
    ["WHAT", "MEASURED"],
    [
      [
        "Attack document, before the fix (web, feed)",
        `${seconds(before.web.documentMs)}, ${seconds(before.feed.documentMs)}`,
      ],
      [
        "Attack document, after the fix (web, feed)",
        `${seconds(after.web.documentMs)}, ${seconds(after.feed.documentMs)}`,
      ],
      ["Fix of all images, after download", seconds(fix.timings.fixMs)],
      ["Signed index and package", seconds(fix.timings.repositoriesMs + fix.timings.downloadMs)],
      ["Restarts", restart.map((each) => `${each.name} ${seconds(each.milliseconds)}`).join(", ")],
      ["Undo of the fix", seconds(undone.milliseconds)],
      [
        "File bytes of the three images; written by AtomFS",
        `${bytesText(sum((each) => each.totalBytes))}; ${bytesText(sum((each) => each.newBytes - each.adoptedBytes))}`,
      ],
      ["Rebuild of ONE image with buildah and apt", seconds(rebuildMs)],
      ["The whole demo", seconds(totalMs)],
    ],
  );
}
