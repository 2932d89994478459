import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ByteString } from "../core/bytestring.ts";
import type { Mount } from "../sys/mountinfo.ts";
import { setXattr } from "../sys/xattr.ts";
import { refuseDatalessFiles } from "./dataless-files.ts";

let upperdir = "";
beforeEach(() => {
  upperdir = mkdtempSync("/var/tmp/atomfs-dataless-");
  mkdirSync(join(upperdir, "etc/deep"), { recursive: true });
  writeFileSync(join(upperdir, "etc/plain"), "data");
  symlinkSync("/", join(upperdir, "out"));
  const file = join(upperdir, "etc/deep/f");
  writeFileSync(file, "");
  setXattr(file, "trusted.overlay.metacopy" as ByteString, "" as ByteString);
});
afterEach(() => rmSync(upperdir, { recursive: true }));

const overlay = (...superOptions: string[]): Mount => ({
  id: 2,
  parent: 1,
  major: 0,
  minor: 50,
  target: "/merged",
  root: "/",
  type: "overlay",
  source: "overlay",
  options: [],
  superOptions,
});

test("a file without data in the upper of an engine with metacopy=on keeps its root", () => {
  expect(() => refuseDatalessFiles({ mount: overlay("rw", "metacopy=on"), upperdir })).toThrow(
    `metacopy=on has left ${upperdir}/etc/deep/f without data`,
  );
  rmSync(join(upperdir, "etc/deep"), { recursive: true });
  refuseDatalessFiles({ mount: overlay("rw", "metacopy=on"), upperdir });
});

test("without the option there is none, and nothing is looked for", () => {
  refuseDatalessFiles({ mount: overlay("rw"), upperdir: "/nonexistent" });
});
