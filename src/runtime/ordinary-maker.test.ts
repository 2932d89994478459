import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseRuntimeConfig } from "../formats/oci/runtime-config/parse.ts";
import { homeOf } from "./ordinary-maker.ts";

describe("the home of the process's user", () => {
  let rootfs: string;
  let passwd: string;
  beforeEach(() => {
    rootfs = mkdtempSync(join(tmpdir(), "atomfs-home-"));
    mkdirSync(join(rootfs, "etc"));
    passwd = join(rootfs, "etc/passwd");
  });
  afterEach(() => rmSync(rootfs, { recursive: true }));

  const home = (env: readonly string[] = []): string => {
    const process = { args: ["true"], cwd: "/", env, user: { uid: 1000, gid: 1000 } };
    const config = { ociVersion: "1.0.2", root: { path: "/" }, process, linux: {} };
    return homeOf(parseRuntimeConfig(Buffer.from(JSON.stringify(config))).process, rootfs);
  };
  const LINE = "me:x:1000:1000::/home/me:/bin/sh\n";

  test("as the root's own file says, unless the environment has one", () => {
    writeFileSync(passwd, `root:x:0:0::/root:/bin/sh\n${LINE}`);
    expect(home()).toBe("/home/me");
    expect(home(["HOME=/own"])).toBe("/");
    writeFileSync(passwd, "root:x:0:0::/root:/bin/sh\n");
    expect(home()).toBe("/");
  });

  test("a file of any size is read up to the bound", () => {
    writeFileSync(passwd, LINE);
    truncateSync(passwd, 2 ** 42);
    expect(home()).toBe("/home/me");
    writeFileSync(passwd, `${"x".repeat(1 << 20)}\n${LINE}`);
    expect(home()).toBe("/");
  });

  test("what is no regular file of the root names nobody", () => {
    expect(home()).toBe("/");
    Bun.spawnSync(["mkfifo", passwd]);
    expect(home()).toBe("/");
    rmSync(passwd);
    mkdirSync(passwd);
    expect(home()).toBe("/");
    rmSync(passwd, { recursive: true });
    for (const target of ["/etc/hosts", "passwd", "/proc/self/root/etc/passwd", `/${"x".repeat(300)}`]) {
      symlinkSync(target, passwd);
      expect(home()).toBe("/");
      rmSync(passwd);
    }
  });
});
