import { expect, test } from "bun:test";
import { parseProcess } from "../formats/oci/runtime-config/parse.ts";
import { parseIdMap } from "./joined-id-maps.ts";
import { withListenDescriptors } from "./socket-activation.ts";

const process = parseProcess(
  Buffer.from(JSON.stringify({ args: ["x"], env: ["A=1"], cwd: "/", user: { uid: 0, gid: 0 } })),
);
const before = { process, preserveDescriptors: 2 };

test("sockets for this process come before those that are preserved", () => {
  const after = withListenDescriptors(before, { LISTEN_FDS: "3", LISTEN_PID: "77" }, 77);
  expect(after.preserveDescriptors).toBe(5);
  expect(after.process.env).toEqual(["A=1", "LISTEN_FDS=3", "LISTEN_PID=1"]);
});

test.each([
  {},
  { LISTEN_FDS: "3" },
  { LISTEN_FDS: "3", LISTEN_PID: "78" },
  { LISTEN_FDS: "0", LISTEN_PID: "77" },
  { LISTEN_FDS: "-1", LISTEN_PID: "77" },
  { LISTEN_FDS: "999", LISTEN_PID: "77" },
  { LISTEN_FDS: "3x", LISTEN_PID: "77" },
])("nothing else is taken for them: %p", (environment) => {
  expect(withListenDescriptors(before, environment, 77)).toEqual(before);
});

test("id maps as the kernel writes them", () => {
  expect(parseIdMap("         0     100000      65536\n     70000          5          1\n")).toEqual([
    { containerId: 0, hostId: 100000, size: 65536 },
    { containerId: 70000, hostId: 5, size: 1 },
  ]);
  expect(parseIdMap("")).toEqual([]);
});
