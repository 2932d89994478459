import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { launchPrograms } from "../../tests/arbitrary/launch-program.ts";
import { fromText } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import type { Action, LaunchProgram } from "./operations.ts";
import { decodeProgram, encodeProgram, operationLetters } from "./program-codec.ts";

function program(...actions: readonly Action[]): LaunchProgram {
  return { operations: actions.map((does) => ({ does, onError: "fail" })) };
}

const ID = { uid: 1, gid: 2, capabilities: undefined };

test("what is written is read back", () => {
  fc.assert(
    fc.property(launchPrograms, (value) => {
      expect(decodeProgram(encodeProgram(value))).toEqual(value);
    }),
    { numRuns: 300 },
  );
});

test("golden bytes", () => {
  const { operations } = program(
    { kind: "set-oom-score", value: -2 },
    { kind: "execute", args: [fromText("é")], env: [], descriptors: [1] },
  );
  const encoded = encodeProgram({
    operations: operations.map((one, i) => (i === 0 ? { ...one, onError: "warn" } : one)),
  });
  expect(Buffer.from(encoded).toString("hex")).toBe(
    [
      "41544f4d46534c50 01000000 43000000 02000000 02000000",
      "0f00 02 00 04000000 feffffff",
      "1c00 00 00 17000000 01000000 02000000 c3a9 00 00000000 01000000 01000000",
    ]
      .join("")
      .replaceAll(" ", ""),
  );
});

test("the player and the document have the same operations with the same fields", () => {
  const root = join(import.meta.dir, "../..");
  const inC = new Map<number, string>();
  const source = readFileSync(join(root, "native/program.c"), "utf8");
  for (const [, code, letters = ""] of source.matchAll(/^\s+\[(\d+)\] = \{"[^"]*", "([^"]*)"/gm)) {
    inC.set(Number(code), letters);
  }
  expect(inC).toEqual(new Map(operationLetters()));
  const inText = new Map<number, string>();
  const [document = ""] = readFileSync(join(root, "docs/formats/launch-program.md"), "utf8").split(
    "## Descriptors",
  );
  for (const [, code, letters = ""] of document.matchAll(/^\| (\d+) \| [a-z-]+ \| (?:`(\w*)`)?/gm)) {
    inText.set(Number(code), letters);
  }
  expect(inText).toEqual(new Map(operationLetters()));
});

describe("refused", () => {
  const good = encodeProgram(program({ kind: "make-directory", path: fromText("/a"), mode: 0o755 }));
  const changed = (at: number, value: number): Uint8Array => {
    const copy = Uint8Array.from(good);
    copy[at] = value;
    return copy;
  };
  test.each([
    ["magic", changed(0, 0)],
    ["version", changed(8, 2)],
    ["size", changed(12, 1)],
    ["operation count", changed(16, 2)],
    ["code", changed(24, 99)],
    ["policy", changed(26, 3)],
    ["reserved byte", changed(27, 1)],
    ["operation length", changed(28, 200)],
    ["string length", changed(32, 3)],
    ["NUL inside", changed(36, 0)],
    ["no NUL behind", changed(38, 1)],
    ["cut", good.subarray(0, good.length - 1)],
    ["descriptor", changedDescriptor()],
  ])("%s", (_, bytes) => {
    expect(() => decodeProgram(bytes)).toThrow(AtomfsError);
  });

  function changedDescriptor(): Uint8Array {
    const copy = encodeProgram(program({ kind: "join-namespaces", pidfd: 3, namespaces: 0 }));
    copy[20] = 3;
    return copy;
  }

  test("values that their fields cannot hold", () => {
    expect(() => encodeProgram(program({ kind: "set-umask", mask: -1 }))).toThrow(RangeError);
    expect(() => encodeProgram(program({ kind: "set-hostname", name: fromText("a\0b") }))).toThrow(
      RangeError,
    );
    expect(() => encodeProgram(program({ kind: "set-identity", ...ID, uid: 2 ** 32 }))).toThrow(RangeError);
  });

  test("a program beyond the limits", () => {
    const huge = fromText("x".repeat(17 * 1024 * 1024));
    expect(() => encodeProgram(program({ kind: "set-hostname", name: huge }))).toThrow(/needs .* bytes/);
  });
});
