import { readFileSync } from "node:fs";
import { fromBytes } from "../../src/core/bytestring.ts";
import { encodeParagraph, parseDeb822 } from "../../src/formats/dpkg/deb822.ts";
import { formatDependencies, parseDependencies } from "../../src/formats/dpkg/dependency.ts";
import { dependencyProblems, indexInstalled, installedPackages } from "../../src/formats/dpkg/installed.ts";
import * as lists from "../../src/formats/dpkg/lists.ts";
import { replaceStanza } from "../../src/formats/dpkg/stanza.ts";
import { encodeStatus, parseStatus } from "../../src/formats/dpkg/status.ts";
import { compareVersions } from "../../src/formats/dpkg/version.ts";
import { fuzz } from "./harness.ts";

const database = readFileSync("/var/lib/dpkg/status");
const status = database.subarray(0, database.indexOf("\n\n", 20_000) + 2);

fuzz(
  "dpkg status",
  [
    status,
    Buffer.from("Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nDepends: b\n"),
  ],
  (bytes) => {
    const records = parseStatus(bytes);
    const again = encodeStatus(parseStatus(encodeStatus(records)));
    if (again !== encodeStatus(records)) throw new Error("encoding is not stable");
    const installed = indexInstalled(installedPackages(records), "amd64");
    dependencyProblems(indexInstalled([], "amd64"), installed);
    for (const record of records) {
      replaceStanza(record, {
        control: record.paragraph,
        conffiles: record.conffiles,
        status: record.status,
      });
    }
  },
);

fuzz("deb822", [status, Buffer.from("A: b\n c\n\nD:\n")], (bytes) => {
  for (const comments of [false, true]) parseDeb822(bytes, { comments }).map(encodeParagraph);
});

fuzz("dependencies", [Buffer.from("a (>= 1:2~3-4) | b:any, c [x] <y>")], (bytes) => {
  const written = formatDependencies(parseDependencies(fromBytes(bytes)));
  if (formatDependencies(parseDependencies(written)) !== written) throw new Error("rewriting is not stable");
});

fuzz("versions", [Buffer.from("1:2.3~rc1+b2-4")], (bytes) => {
  const order = compareVersions(fromBytes(bytes), "1.0");
  if (Number.isNaN(order)) throw new Error("no order");
});

const md5 = "0123456789abcdef0123456789abcdef";
const targets = [
  [lists.parseFileList, "/.\n/usr\n/usr/x y\n"],
  [lists.parseMd5sums, `\\${md5}  usr/a\\\\b\n${md5}  c\n`],
  [lists.parseConffileList, "/etc/x\nremove-on-upgrade /etc/y\n"],
  [lists.parseTriggers, "interest-noawait /x\nactivate y # z\n"],
  [lists.parseDiversions, "/a\n/b\n:\n"],
  [lists.parseStatOverrides, "root #12 4755 /x\n"],
  [lists.parseFileTriggers, "/x y\n/z w/noawait\n"],
] as const;
for (const [parse, seed] of targets) fuzz(`dpkg ${parse.name}`, [Buffer.from(seed)], parse);
