import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { tryRemoveGroup, walkGroups } from "./cgroup-tree.ts";

let scratch: string;
let group: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "atomfs-groups-"));
  group = join(scratch, "group");
  mkdirSync(group);
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

/** A shell goes where no path leads. */
function nest(levels: number, name: string): void {
  const made = Bun.spawnSync(
    [
      "bash",
      "-c",
      'i=0; while [ $i -lt "$1" ]; do mkdir "$2" && cd -P "$2" || exit 1; i=$((i+1)); done',
      "-",
      String(levels),
      name,
    ],
    { cwd: group, env: { PATH: process.env["PATH"] } },
  );
  expect({ code: made.exitCode, error: made.stderr.toString().slice(0, 200) }).toEqual({
    code: 0,
    error: "",
  });
}

function depth(): number {
  let found = 0;
  walkGroups(group, () => found++);
  return found;
}

test.each([
  [300, "g"],
  // Longer than PATH_MAX in all.
  [60, "g".repeat(200)],
])("%d groups in each other are removed at once", (levels, name) => {
  nest(levels, name);
  expect(depth()).toBe(levels + 1);
  expect(tryRemoveGroup(group)).toBe(true);
  expect(existsSync(group)).toBe(false);
});

test("wide ones, too; what is in use stays with what it is in, and the rest goes", () => {
  for (let i = 0; i < 50; i++)
    for (const name of ["a", "b"]) mkdirSync(join(group, `${i}/${name}`), { recursive: true });
  expect(depth()).toBe(1 + 50 * 3);
  writeFileSync(join(group, "7/b/process"), "");
  expect(tryRemoveGroup(group)).toBe(false);
  const left: string[] = [];
  walkGroups(
    group,
    () => undefined,
    (_above, name) => left.push(basename(name)),
  );
  expect(left).toEqual(["b", "7"]);
  rmSync(join(group, "7/b/process"));
  expect(tryRemoveGroup(group)).toBe(true);
});

test("what is not there is removed", () => {
  expect(tryRemoveGroup(join(group, "none"))).toBe(true);
  expect(() => walkGroups(join(group, "none"), () => expect.unreachable())).not.toThrow();
});
