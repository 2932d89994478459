import { expect, test } from "bun:test";
import { AtomfsError } from "../core/errors.ts";
import { decodeReport, encodeCommand, MAX_PACKET, type Report } from "./control-protocol.ts";

function packet(words: readonly number[], text = ""): Uint8Array {
  return Buffer.concat([Uint8Array.from(new Uint8Array(Uint32Array.from(words).buffer)), Buffer.from(text)]);
}

test.each([
  [packet([1]), { kind: "ready" }],
  [packet([2, 3, 13], "größe"), { kind: "error", operation: 3, errno: 13, text: "größe" }],
  [packet([3, 0, 2], ""), { kind: "warning", operation: 0, errno: 2, text: "" }],
  [packet([2, 0xffffffff, 74], "x"), { kind: "error", operation: undefined, errno: 74, text: "x" }],
  [packet([4, 7]), { kind: "waiting", operation: 7 }],
  [packet([5, 4711]), { kind: "pid", pid: 4711 }],
  [packet([6]), { kind: "seccomp-listener" }],
] satisfies [Uint8Array, Report][])("report %#", (bytes, report) => {
  expect(decodeReport(bytes)).toEqual(report);
});

test.each([[packet([])], [packet([0])], [packet([7])], [packet([2, 1])], [packet([5]).subarray(0, 3)]])(
  "no report %#",
  (bytes) => {
    expect(() => decodeReport(bytes)).toThrow(AtomfsError);
  },
);

test("commands", () => {
  expect((["continue", "keep", "go"] as const).map((word) => [...encodeCommand(word)])).toEqual([
    [16, 0, 0, 0],
    [17, 0, 0, 0],
    [18, 0, 0, 0],
  ]);
  expect(MAX_PACKET).toBe(1024);
});
