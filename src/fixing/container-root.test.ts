import { expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { verityDigest } from "../core/verity.ts";
import { measureDescriptor } from "./container-root.ts";

test("a file is measured only if it has the size that it had: one that grows does not keep its reader", () => {
  const directory = mkdtempSync(join(tmpdir(), "atomfs-measure-"));
  try {
    for (const size of [0, 1, 4096, 1 << 20, (1 << 20) + 1]) {
      const bytes = Buffer.alloc(size, "x");
      const path = join(directory, "file");
      writeFileSync(path, bytes);
      const fd = openSync(path, "r");
      expect(measureDescriptor(fd, size)).toBe(verityDigest(bytes));
      expect(measureDescriptor(fd, size + 1)).toBeUndefined();
      if (size > 0) expect(measureDescriptor(fd, size - 1)).toBeUndefined();
      closeSync(fd);
    }
    const endless = openSync("/dev/zero", "r");
    expect(measureDescriptor(endless, 5000)).toBeUndefined();
    closeSync(endless);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
