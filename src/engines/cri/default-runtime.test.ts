import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultRuntimeHandler } from "./default-runtime.ts";

const setDefault = (name: string): string => `[crio.runtime]\ndefault_runtime = "${name}"\n`;

test.each([
  ["nothing at all", {}, undefined],
  ["no word of it", { "crio.conf": "[crio]\n" }, undefined],
  ["the file", { "crio.conf": setDefault("runc") }, "runc"],
  [
    "the last drop-in that says it",
    {
      "crio.conf": setDefault("runc"),
      "crio.conf.d/10-crun.conf": setDefault("crun"),
      "crio.conf.d/50-atomfs.conf": setDefault("crio-lxc"),
      "crio.conf.d/60-other.conf": "[crio.image]\n",
      "crio.conf.d/70-broken.conf": "[crio",
    },
    "crio-lxc",
  ],
] as const)("CRI-O's default runtime: %s", (_, files, expected) => {
  const root = mkdtempSync(join(tmpdir(), "atomfs-crio-"));
  try {
    mkdirSync(join(root, "etc/crio/crio.conf.d"), { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(root, "etc/crio", name), text);
    expect(defaultRuntimeHandler(root)).toBe(expected);
  } finally {
    rmSync(root, { recursive: true });
  }
});
