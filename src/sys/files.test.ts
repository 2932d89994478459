import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import { Fd } from "./fd.ts";
import {
  copyOrReflink,
  fsyncDirectory,
  makeNode,
  readFileBounded,
  setTimes,
  syncFilesystem,
  writeAtomic,
} from "./files.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync("/var/tmp/atomfs-files-");
});
afterAll(() => rmSync(directory, { recursive: true }));

function open(name: string, flags: number): Fd {
  return new Fd(openSync(join(directory, name), flags, 0o600));
}

describe("writeAtomic", () => {
  test("writes the bytes with exactly the mode, and replaces", () => {
    const path = join(directory, "file");
    writeAtomic(path, Buffer.from("one"), { mode: 0o666 });
    writeAtomic(path, Buffer.from("two"), { mode: 0o640 });
    expect(readFileSync(path, "latin1")).toBe("two");
    expect(lstatSync(path).mode & 0o7777).toBe(0o640);
    expect(readdirSync(directory)).toEqual(["file"]);
  });

  test("leaves no temporary file when the rename fails, nor touches what was there", () => {
    const home = join(directory, "home");
    mkdirSync(join(home, "taken", "full"), { recursive: true });
    expect(() => writeAtomic(join(home, "taken"), Buffer.from("x"), { mode: 0o600 })).toThrow(/EISDIR/);
    expect(readdirSync(home)).toEqual(["taken"]);
  });

  test("takes another directory of the same filesystem for the temporary file", () => {
    const temporaryDirectory = join(directory, "staging");
    mkdirSync(temporaryDirectory);
    writeAtomic(join(directory, "staged"), Buffer.from("x"), { mode: 0o400, temporaryDirectory });
    expect(readdirSync(temporaryDirectory)).toEqual([]);
    expect(() =>
      writeAtomic(join(directory, "absent", "f"), Buffer.from("x"), { mode: 0o400, temporaryDirectory }),
    ).toThrow(/ENOENT/);
    expect(readdirSync(temporaryDirectory)).toEqual([]);
  });

  test("replaces a symlink, does not follow it", () => {
    writeFileSync(join(directory, "victim"), "keep");
    symlinkSync("victim", join(directory, "link"));
    writeAtomic(join(directory, "link"), Buffer.from("new"), { mode: 0o600 });
    expect(readFileSync(join(directory, "victim"), "latin1")).toBe("keep");
    expect(lstatSync(join(directory, "link")).isFile()).toBe(true);
  });
});

describe("readFileBounded", () => {
  test("reads up to the limit and refuses one byte more", () => {
    writeFileSync(join(directory, "five"), "12345");
    expect(readFileBounded(join(directory, "five"), 5).toString()).toBe("12345");
    expect(() => readFileBounded(join(directory, "five"), 4)).toThrow(/more than 4 bytes/);
  });

  test("reads files whose size the kernel gives as 0", () => {
    expect(readFileBounded("/proc/self/mountinfo", 10_000_000).length).toBeGreaterThan(10);
  });

  test("refuses symlinks, directories and fifos without waiting", () => {
    symlinkSync("five", join(directory, "to-five"));
    makeNode(Buffer.from(join(directory, "fifo")), "fifo");
    expect(() => readFileBounded(join(directory, "to-five"), 5)).toThrow(/ELOOP/);
    expect(() => readFileBounded(join(directory, "fifo"), 5)).toThrow(AtomfsError);
    expect(() => readFileBounded(directory, 5)).toThrow(AtomfsError);
  });
});

describe("copyOrReflink", () => {
  test("copies all bytes", () => {
    const bytes = Buffer.alloc(3_000_001, "abcdefg");
    writeFileSync(join(directory, "source"), bytes);
    using source = open("source", constants.O_RDONLY);
    using target = open("copy", constants.O_RDWR | constants.O_CREAT);
    copyOrReflink(source.number, target.number, bytes.length, "source");
    expect(readFileSync(join(directory, "copy")).equals(bytes)).toBe(true);
  });

  test("works across filesystems", () => {
    using source = open("source", constants.O_RDONLY);
    const path = `/dev/shm/atomfs-copy-${process.pid}`;
    using target = new Fd(openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600));
    expect(copyOrReflink(source.number, target.number, 3_000_001, "source")).toBe("copy");
    const same = readFileSync(path).equals(readFileSync(join(directory, "source")));
    rmSync(path);
    expect(same).toBe(true);
  });

  test("refuses a source of another size", () => {
    using source = open("source", constants.O_RDONLY);
    using target = open("copy2", constants.O_RDWR | constants.O_CREAT);
    expect(() => copyOrReflink(source.number, target.number, 7, "source")).toThrow(/has 3000001 bytes/);
  });
});

test("setTimes keeps nanoseconds, also before 1970 and on symlinks and names that are not UTF-8", () => {
  const path = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0xfe])]);
  symlinkSync("nowhere", path);
  for (const [sec, nsec] of [
    [1_700_000_000, 123_456_789],
    [-5, 999_999_999],
  ] as const) {
    setTimes(path, { sec, nsec });
    expect(lstatSync(path, { bigint: true }).mtimeNs).toBe(BigInt(sec) * 1_000_000_000n + BigInt(nsec));
  }
});

test("makeNode makes devices with large numbers", () => {
  const path = Buffer.from(join(directory, "device"));
  makeNode(path, "char", [4095, 0xabcde]);
  const { rdev } = lstatSync(path);
  expect(rdev).toBe(Number((0xabcden & 0xffn) | (4095n << 8n) | ((0xabcden & ~0xffn) << 12n)));
});

test("syncFilesystem and fsyncDirectory accept a directory and name one that is absent", () => {
  syncFilesystem(directory);
  fsyncDirectory(directory);
  expect(() => syncFilesystem(join(directory, "none"))).toThrow(/ENOENT/);
});
