import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type ByteString, fromText } from "../../core/bytestring.ts";
import { parseOneParagraph } from "./deb822.ts";
import { formatClause, formatDependencies, parseDependencies } from "./dependency.ts";
import {
  dependencyProblems,
  type InstalledPackage,
  type InstalledSet,
  indexInstalled,
  installedPackages,
  unsatisfied,
} from "./installed.ts";
import { parseFacts, parseStatus } from "./status.ts";

function made(name: string, version: string, more = "", architecture = "amd64"): InstalledPackage {
  const text = `Package: ${name}\nVersion: ${version}\nArchitecture: ${architecture}\n${more}`;
  return { ...parseFacts(parseOneParagraph(fromText(text))), isConfigured: true };
}

function set(...packages: InstalledPackage[]): InstalledSet {
  return indexInstalled(packages, "amd64");
}

function missing(field: string, installed: InstalledSet): ByteString[] {
  return unsatisfied(fromText(field), installed).map(formatClause);
}

test("fields are rewritten as dpkg does", () => {
  const clauses = parseDependencies(
    fromText("A(>=1) |b:any ( = 0:2-1 ) [amd64] <!nocheck>,\n c (< 3), , d (> 4)"),
  );
  expect(formatDependencies(clauses)).toBe(fromText("a (>= 1) | b:any (= 2-1), c (<= 3), d (>= 4)"));
});

test.each(["a b", "a (1", "a (>= )", "a (!= 1)", "../x", "a | | b", "a (>= 1) (<< 2)", "a:!"])(
  "refuses %p",
  (field) => {
    expect(() => parseDependencies(fromText(field))).toThrow("Cannot parse");
  },
);

test("alternatives, versions and provided names satisfy", () => {
  const installed = set(made("a", "2"), made("m", "1", "Provides: mta, libx (= 3)\n"));
  expect(missing("a (>= 1), a (<< 3), zz | a, mta, libx (>= 3)", installed)).toEqual([]);
  expect(missing("a (>= 3), a (<< 2), zz | a (= 1), mta (>= 1), libx (>> 3)", installed)).toHaveLength(5);
});

test("architectures follow the Multi-Arch rules", () => {
  const installed = set(
    made("foreign", "1", "Multi-Arch: foreign\n", "i386"),
    made("allowed", "1", "Multi-Arch: allowed\n", "i386"),
    made("plain", "1", "", "i386"),
    made("data", "1", "", "all"),
  );
  expect(missing("foreign, allowed:any, plain:i386, data", installed)).toEqual([]);
  expect(missing("allowed, plain, plain:any", installed)).toHaveLength(3);
});

test("only problems that the change makes are reported", () => {
  const user = made("user", "1", "Depends: lib (<< 3), nowhere\n");
  const before = set(user, made("lib", "2"), made("other", "1"));
  expect(dependencyProblems(before, set(user, made("lib", "2.1"), made("other", "1")))).toEqual([]);
  expect(dependencyProblems(before, set(user, made("lib", "3"), made("other", "1")))).toEqual([
    "user 1 depends on lib (<< 3), which nothing satisfies",
  ]);
  const breaker = made("lib", "2.1", "Breaks: other (<< 2)\nConflicts: lib, ghost\nProvides: ghost\n");
  expect(dependencyProblems(before, set(user, breaker, made("other", "1")))).toEqual([
    "lib 2.1 breaks other (<< 2): other 1 is installed",
  ]);
});

test("a package that is not configured satisfies nobody but still conflicts", () => {
  const unpacked = { ...made("lib", "1"), isConfigured: false };
  expect(missing("lib", set(unpacked))).toHaveLength(1);
  const enemy = made("enemy", "1", "Conflicts: lib\n");
  expect(dependencyProblems(set(enemy), set(enemy, unpacked))).toHaveLength(1);
});

test("on this machine, which apt keeps consistent, every dependency is satisfied and nothing conflicts", () => {
  const machine = installedPackages(parseStatus(readFileSync("/var/lib/dpkg/status")));
  const native = machine.find((each) => each.package === "dpkg")?.architecture ?? "";
  const everything = indexInstalled(machine, native);
  expect(dependencyProblems(indexInstalled([], native), everything)).toEqual([]);
  const withoutLibc = indexInstalled(
    machine.filter((each) => each.package !== "libc6"),
    native,
  );
  expect(dependencyProblems(everything, withoutLibc).length).toBeGreaterThan(100);
});
