import type { Command } from "commander";
import { moleculesInUse } from "../mounts/molecule-mounts.ts";
import { estimateGarbage } from "../store/gc.ts";
import { findReachable } from "../store/reachable.ts";
import { measureStore, type StoreUsage, type Usage } from "../store/usage.ts";
import { type Context, openStore } from "./context.ts";
import { bytesText, shortId, table } from "./output.ts";

export function registerDf(program: Command, context: () => Context): void {
  program
    .command("df")
    .description("show whose bytes are whose")
    .action(() => runDf(context()));
}

function runDf(context: Context): void {
  using store = openStore(context);
  const usage = measureStore(store);
  const reclaimable = estimateGarbage(store, findReachable(store, moleculesInUse(store.layout))).bytes;
  context.output.answer({ ...usage, reclaimable }, () => dfText(usage, reclaimable));
}

function dfText(usage: StoreUsage, reclaimable: number): string {
  const { images, fixes, parts, bytes, engineShared } = usage;
  const cells = (each: Usage): string[] =>
    [each.bytes, each.shared, each.unique, each.engineShared, each.freed].map(bytesText);
  const rows = [
    ...images.map((image) => [image.names[0] ?? "<none>", shortId(image.config), ...cells(image)]),
    ...fixes.map((fix) => [fix.title, `fix ${fix.id}`, ...cells(fix)]),
  ];
  return [
    ...(rows.length === 0
      ? []
      : [table(["NAME", "ID", "BYTES", "SHARED", "UNIQUE", "ENGINE'S", "IF REMOVED"], rows), ""]),
    table(
      ["PART", "BYTES", "ENGINE'S"],
      parts
        .filter((part) => part.bytes > 0)
        .map((part) => [part.name, bytesText(part.bytes), bytesText(part.engineShared)]),
    ),
    "",
    `${bytesText(bytes - engineShared)} of the store's own, ${bytesText(engineShared)} on the engines' blocks, ${bytesText(reclaimable)} for gc to remove`,
  ].join("\n");
}
