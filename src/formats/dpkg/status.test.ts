import { expect, test } from "bun:test";
import { fromText } from "../../core/bytestring.ts";
import { encodeStatus, infoBaseName, parseStatus } from "./status.ts";

const TEXT = `Package: libc6
Status: hold ok triggers-pending
Architecture: amd64
Multi-Arch: same
Source: glibc (2.36-9)
Version: 2.36-9+b1
Essential: yes
Depends: libgcc-s1, libcrypt1 (>= 1:4.4)
Conffiles:
 /etc/with space/x 0123456789abcdef0123456789abcdef obsolete
 /etc/y newconffile remove-on-upgrade

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: never
Status: hold ok not-installed

`;

test("reads what dpkg recorded and writes it back", () => {
  const records = parseStatus(fromText(TEXT));
  expect(encodeStatus(records)).toBe(fromText(TEXT));
  const [libc, gone, never] = records;
  expect(libc).toMatchObject({
    package: "libc6",
    multiArch: "same",
    essential: true,
    version: "2.36-9+b1",
    source: { name: "glibc", version: "2.36-9" },
    status: { want: "hold", flag: "ok", state: "triggers-pending" },
    conffiles: [
      { path: "/etc/with space/x", obsolete: true, removeOnUpgrade: false },
      { path: "/etc/y", md5: "newconffile", obsolete: false, removeOnUpgrade: true },
    ],
  } as never);
  expect(gone?.source).toEqual({ name: "gone", version: "1" } as never);
  expect(never?.version).toBe(fromText(""));
  expect(records.map(infoBaseName)).toEqual(["libc6:amd64", "gone", "never"].map(fromText));
});

test.each([
  ["a path as name", "Package: ../x\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"],
  ["a path as architecture", "Package: x\nStatus: install ok installed\nArchitecture: ../a\nVersion: 1\n"],
  ["no status", "Package: x\nArchitecture: all\nVersion: 1\n"],
  ["an unknown state", "Package: x\nStatus: install ok great\nArchitecture: all\nVersion: 1\n"],
  ["no version", "Package: x\nStatus: install ok installed\nArchitecture: all\n"],
  ["a conffile without a hash", "Package: x\nStatus: purge ok config-files\nConffiles:\n /a\n"],
])("refuses %s", (_, text) => {
  expect(() => parseStatus(fromText(text))).toThrow(/^Cannot /);
});
