/**
 * at-create-probe BUNDLE: what crio-lxc does about a container's root at create, first call of a process that has loaded
 * all else that a create needs. Prints {"ms": ..., "annotations": {...}}. Compiled as crio-lxc is.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseRuntimeConfig } from "../src/formats/oci/runtime-config/parse.ts";
import { ordinaryMaker } from "../src/runtime/ordinary-maker.ts";
import { openSession } from "../src/runtime/session.ts";
import { createDirectory } from "../src/runtime/state.ts";

const [bundle = ""] = process.argv.slice(2);
const config = parseRuntimeConfig(readFileSync(join(bundle, "config.json")));
const { placeRoot } = ordinaryMaker();
const session = openSession({
  root: "/nonexistent",
  log: undefined,
  logFormat: "text",
  logLevel: "info",
  cgroupManager: "cgroupfs",
});
// As create does first: what talks to the kernel is loaded then.
const states = mkdtempSync("/run/atomfs-bench-");
using _held = createDirectory(states, "probe");
const start = performance.now();
const annotations = await placeRoot?.(session, { bundle, config });
const ms = performance.now() - start;
process.stdout.write(JSON.stringify({ ms, annotations }));
rmSync(states, { recursive: true });
