import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attachBeside } from "./cgroups.ts";

const INIT = 40;
const JOINING = 41;

let place = "";
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "cgroups-"));
  mkdirSync(join(place, "proc", String(INIT)), { recursive: true });
});
afterEach(() => rmSync(place, { recursive: true }));

/** A directory that looks like a group; a busy one takes no process. */
function group(path: string, { v2, busy }: { v2: boolean; busy: boolean }): string {
  const directory = join(place, path);
  mkdirSync(directory, { recursive: true });
  if (v2) writeFileSync(join(directory, "cgroup.controllers"), "");
  if (busy) mkdirSync(join(directory, "cgroup.procs"));
  else writeFileSync(join(directory, "cgroup.procs"), "");
  return directory;
}

function initIsIn(lines: string): void {
  writeFileSync(join(place, "proc", String(INIT), "cgroup"), lines);
}

function attach(...directories: readonly string[]): void {
  attachBeside(INIT, directories, join(place, "unified"), JOINING, join(place, "proc"));
}

test("a process joins the container's groups, whatever group init has gone to", () => {
  const v1 = group("pids/box", { v2: false, busy: false });
  const v2 = group("unified/box", { v2: true, busy: false });
  initIsIn("1:pids:/box/inner\n0::/box/inner\n");
  attach(v1, v2);
  for (const directory of [v1, v2])
    expect(readFileSync(join(directory, "cgroup.procs"), "utf8")).toBe(String(JOINING));
});

test("on v2 one that takes no process is left out for init's own", () => {
  const v2 = group("unified/box", { v2: true, busy: true });
  const inner = group("unified/box/init.scope", { v2: true, busy: false });
  initIsIn("1:name=systemd:/other\n0::/box/init.scope\n");
  attach(v2);
  expect(readFileSync(join(inner, "cgroup.procs"), "utf8")).toBe(String(JOINING));
});

test.each(["", "1:pids:/box\n", "0::/../elsewhere\n", "0::/gone\n"])("init in %j is no way out", (lines) => {
  const v2 = group("unified/box", { v2: true, busy: true });
  group("elsewhere", { v2: true, busy: false });
  initIsIn(lines);
  expect(() => attach(v2)).toThrow(/^Cannot write "41" to .*cgroup\.procs/);
});

test("on v1 there is no such rule: an error stays one", () => {
  const v1 = group("pids/box", { v2: false, busy: true });
  group("unified/box/init.scope", { v2: true, busy: false });
  initIsIn("1:pids:/box\n0::/box/init.scope\n");
  expect(() => attach(v1)).toThrow(/pids\/box\/cgroup\.procs/);
});
