import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { fstatSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { Fd } from "./fd.ts";
import { waitReadable } from "./poll.ts";
import {
  acceptUnix,
  connectUnix,
  learnSenders,
  listenUnix,
  receiveMessage,
  sendMessage,
  socketPair,
} from "./socket.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync("/var/tmp/atomfs-socket-");
});
afterAll(() => rmSync(directory, { recursive: true }));

describe("messages", () => {
  test("keep their bounds, and the end is undefined", () => {
    const [a, b] = socketPair("seqpacket");
    using _ = b;
    sendMessage(a, Buffer.from("one"));
    sendMessage(a, Buffer.from("two"));
    a[Symbol.dispose]();
    expect(receiveMessage(b, { bytes: 100 })?.bytes.toString()).toBe("one");
    expect(receiveMessage(b, { bytes: 100 })?.bytes.toString()).toBe("two");
    expect(receiveMessage(b, { bytes: 100 })).toBeUndefined();
  });

  test("carry descriptors, which arrive closed-on-exec", () => {
    const [a, b] = socketPair("stream");
    using _a = a;
    using _b = b;
    using first = new Fd(openSync("/dev/null", "r"));
    using second = new Fd(openSync("/dev/zero", "r"));
    sendMessage(a, Buffer.from("x"), [first, second]);
    const message = receiveMessage(b, { bytes: 1, descriptors: 2 });
    expect(message?.descriptors.map((fd) => fstatSync(fd.number).rdev)).toEqual(
      [first, second].map((fd) => fstatSync(fd.number).rdev),
    );
    for (const fd of message?.descriptors ?? []) {
      expect(readFileSync(`/proc/self/fdinfo/${fd.number}`, "latin1")).toMatch(/flags:\s+02\d{6}/);
      fd[Symbol.dispose]();
    }
  });

  test("name their sender, if asked to", async () => {
    const [a, b] = socketPair("seqpacket");
    using _a = a;
    using _b = b;
    sendMessage(a, Buffer.from("before"));
    expect(receiveMessage(b, { bytes: 10 })?.sender).toBeUndefined();
    learnSenders(b);
    await using child = Bun.spawn(["/bin/sh", "-c", "printf hello >&3; exec sleep 1000"], {
      stdio: ["ignore", "ignore", "ignore", a.number],
    });
    const message = receiveMessage(b, { bytes: 10, descriptors: 1 });
    expect(message?.bytes.toString()).toBe("hello");
    expect(message?.sender).toBe(child.pid);
    child.kill(9);
  });

  test("that do not fit are refused, and bring no descriptor along", () => {
    const [a, b] = socketPair("seqpacket");
    using _a = a;
    using _b = b;
    sendMessage(a, Buffer.alloc(11));
    expect(() => receiveMessage(b, { bytes: 10 })).toThrow(/more than 10 bytes/);
    using extra = new Fd(openSync("/dev/null", "r"));
    sendMessage(a, Buffer.alloc(1), [extra]);
    expect(() => receiveMessage(b, { bytes: 10 })).toThrow(/too many descriptors/);
  });

  test("to nobody are an error, not a signal", () => {
    const [a, b] = socketPair("seqpacket");
    using _ = a;
    b[Symbol.dispose]();
    expect(() => sendMessage(a, Buffer.from("x"))).toThrow(/EPIPE/);
  });

  test("that never come end with the timeout", () => {
    const [a, b] = socketPair("seqpacket");
    using _a = a;
    using _b = b;
    expect(waitReadable(a, 0)).toBe(false);
    expect(() => receiveMessage(a, { bytes: 1, timeoutMs: 5 })).toThrow(/No answer within 5 ms/);
  });
});

test("a path longer than an address holds can be listened at", () => {
  const long = `${directory}/${"d".repeat(200)}`;
  mkdirSync(long);
  using listener = listenUnix(`${long}/socket`, "seqpacket");
  using client = connectUnix(`${long}/socket`, "seqpacket");
  using server = acceptUnix(listener);
  sendMessage(client, Buffer.from("hello"));
  expect(receiveMessage(server, { bytes: 10 })?.bytes.toString()).toBe("hello");
  expect(() => listenUnix(`${long}/socket`, "seqpacket")).toThrow(/EADDRINUSE/);
  expect(() => connectUnix(`${long}/none`, "seqpacket")).toThrow(/ENOENT/);
});

test("nobody listens any more", () => {
  listenUnix(`${directory}/old`, "seqpacket")[Symbol.dispose]();
  expect(() => connectUnix(`${directory}/old`, "seqpacket")).toThrow(/ECONNREFUSED/);
});
