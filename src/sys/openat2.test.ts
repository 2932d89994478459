import { expect, test } from "bun:test";
import { constants, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { treePath } from "../core/bytestring.ts";
import { openDirectoryPath } from "./fd.ts";
import { openInRoot } from "./openat2.ts";

test("openInRoot keeps symlinks and .. inside the root", () => {
  const directory = mkdtempSync("/var/tmp/atomfs-root-");
  try {
    mkdirSync(`${directory}/root/etc`, { recursive: true });
    writeFileSync(`${directory}/root/etc/passwd`, "inside");
    symlinkSync("/etc", `${directory}/root/absolute`);
    symlinkSync("../../../../../etc", `${directory}/root/up`);
    using root = openDirectoryPath(`${directory}/root`);
    for (const path of ["/etc/passwd", "/absolute/passwd", "/up/passwd"]) {
      using file = openInRoot(root, treePath(path), constants.O_RDONLY);
      expect(readFileSync(file.number, "latin1")).toBe("inside");
    }
    using self = openInRoot(root, treePath("/"), constants.O_RDONLY | constants.O_DIRECTORY);
    expect(self.number).toBeGreaterThan(2);
    expect(() => openInRoot(root, treePath("/none"), constants.O_RDONLY)).toThrow(
      /Cannot open \/none inside the tree: ENOENT/,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("magic links of /proc are refused", () => {
  using proc = openDirectoryPath("/proc");
  expect(() => openInRoot(proc, treePath("/self/root/etc"), constants.O_RDONLY)).toThrow(/ELOOP/);
});
