import { expect, test } from "bun:test";
import fc from "fast-check";
import { run } from "../../sys/process.ts";
import { compareVersions, formatVersion, parseVersion } from "./version.ts";

const part = fc.string({
  unit: fc.constantFrom(
    "0",
    "1",
    "9",
    "09",
    "10",
    "a",
    "B",
    "z",
    "~",
    "~~",
    "+",
    ".",
    "rc",
    "+really",
    "deb12u1",
  ),
  minLength: 1,
  maxLength: 5,
});
const version = fc
  .tuple(fc.option(fc.nat({ max: 3 })), part, fc.option(part))
  .map(([epoch, upstream, revision]) => {
    return `${epoch === null ? "" : `${epoch}:`}1${upstream}${revision === null ? "" : `-${revision}`}`;
  });

test("the order is antisymmetric, transitive and total", () => {
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      expect(Math.sign(compareVersions(a, b))).toBe(-Math.sign(compareVersions(b, a)) + 0);
      expect(compareVersions(a, a)).toBe(0);
      const [x, y, z] = [a, b, c].sort(compareVersions);
      expect(compareVersions(x ?? "", y ?? "")).toBeLessThanOrEqual(0);
      expect(compareVersions(y ?? "", z ?? "")).toBeLessThanOrEqual(0);
      expect(compareVersions(x ?? "", z ?? "")).toBeLessThanOrEqual(0);
    }),
    { numRuns: 2000 },
  );
});

test("the order is that of dpkg --compare-versions", async () => {
  const pairs = fc.sample(fc.tuple(version, version), { numRuns: 400, seed: 7 });
  const script = pairs
    .map(([a, b]) => {
      const compare = `dpkg --compare-versions '${a}'`;
      return `if ${compare} lt '${b}'; then echo -1; elif ${compare} eq '${b}'; then echo 0; else echo 1; fi`;
    })
    .join("\n");
  const { stdout } = await run(["sh", "-c", script]);
  const theirs = stdout.toString().trim().split("\n").map(Number);
  const ours = pairs.map(([a, b]) => Math.sign(compareVersions(a, b)));
  expect(ours).toEqual(theirs);
});

test.each([
  ["1.0~rc1", "1.0"],
  ["1.0", "1.0-1"],
  ["1.0-1", "1.0-1+deb12u1"],
  ["1.0+deb12u9", "1.0+deb12u10"],
  ["9", "1:1"],
  ["1.0a", "1.0+"],
  ["2.5.0-1+deb12u1", "2.5.0-1+deb12u2"],
])("%s is older than %s", (a, b) => {
  expect(compareVersions(a, b)).toBeLessThan(0);
});

test("no revision is revision 0, leading zeros do not count", () => {
  expect(compareVersions("1.0", "1.0-0")).toBe(0);
  expect(compareVersions("0:1.02", "1.2")).toBe(0);
});

test.each(["", "1:", "a:1", "1-", "1 2", "-1", "99999999999:1", "1_2", "1-2:3"])("refuses %p", (text) => {
  expect(() => parseVersion(text)).toThrow("Debian version");
});

test("is written without a needless epoch", () => {
  expect(formatVersion(parseVersion("0:1-2"))).toBe("1-2" as never);
  expect(formatVersion(parseVersion("0:1:2-2"))).toBe("0:1:2-2" as never);
});
