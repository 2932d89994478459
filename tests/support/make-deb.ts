import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { run } from "../../src/sys/process.ts";

/** What a package file holds at one path. */
export type DebFile = {
  readonly text?: string;
  readonly symlink?: string;
  /** Path of an earlier file of the package. */
  readonly hardlink?: string;
  readonly isDirectory?: boolean;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
};

export type DebSpec = {
  readonly name: string;
  readonly version: string;
  /** By path, "/etc/x"; a string is a file's text; "" is not a directory. */
  readonly files?: Readonly<Record<string, DebFile | string>>;
  /** Further fields of the control file: "Multi-Arch: same". */
  readonly fields?: readonly string[];
  /** Members of control.tar: conffiles, triggers, postinst. */
  readonly control?: Readonly<Record<string, string>>;
  readonly architecture?: string;
  /** Without the file of digests that debhelper makes for every package. */
  readonly noMd5sums?: boolean;
};

type Files = NonNullable<DebSpec["files"]>;

/** Version 1 of the package "pkg". */
export function v1(files: Files, more: Partial<DebSpec> = {}): DebSpec {
  return { name: "pkg", version: "1", files, ...more };
}

/** Version 2 of the package "pkg". */
export function v2(files: Files, more: Partial<DebSpec> = {}): DebSpec {
  return { name: "pkg", version: "2", files, ...more };
}

/** Makes /etc/a.conf a conffile. */
export const CONF = { control: { conffiles: "/etc/a.conf\n" } };

/** An edit of a root directory: one file written. */
export function write(path: string, text: string): (root: string) => void {
  return (root) => writeFileSync(join(root, path), text);
}

/** Times tell the versions apart: version 2 of anything is made at second 2,000,000. */
function timeOf(version: string): number {
  return (Number.parseInt(version, 10) || 1) * 1_000_000;
}

/** Builds a package file in `directory` with dpkg-deb. @returns its path */
export async function makeDeb(directory: string, spec: DebSpec): Promise<string> {
  const architecture = spec.architecture ?? "amd64";
  const base = `${spec.name}_${spec.version}_${architecture}`;
  const tree = join(directory, `${base}.tree`);
  const time = timeOf(spec.version);
  mkdirSync(join(tree, "DEBIAN"), { recursive: true, mode: 0o755 });
  const fields = [
    `Package: ${spec.name}`,
    `Version: ${spec.version}`,
    `Architecture: ${architecture}`,
    "Maintainer: Test <test@example.org>",
    ...(spec.fields ?? []),
    `Description: version ${spec.version}`,
  ];
  writeFileSync(join(tree, "DEBIAN/control"), `${fields.join("\n")}\n`);
  for (const [name, text] of Object.entries(spec.control ?? {})) {
    writeFileSync(join(tree, "DEBIAN", name), text, { mode: text.startsWith("#!") ? 0o755 : 0o644 });
  }
  const made: string[] = [];
  for (const [path, file] of Object.entries(spec.files ?? {})) {
    const target = join(tree, path);
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
    writeDebFile(tree, target, typeof file === "string" ? { text: file } : file);
    made.push(target);
  }
  const sums = made.filter((target) => lstatSync(target).isFile()).map((target) => md5Line(tree, target));
  if (spec.noMd5sums !== true) writeFileSync(join(tree, "DEBIAN/md5sums"), sums.join(""));
  for (const target of made) lutimesSync(target, time, time);
  const deb = join(directory, `${base}.deb`);
  await run(["dpkg-deb", "--nocheck", "-Znone", "-b", tree, deb], {
    env: { ...process.env, SOURCE_DATE_EPOCH: String(time + 10) },
  });
  rmSync(tree, { recursive: true });
  return deb;
}

function md5Line(tree: string, target: string): string {
  const md5 = createHash("md5").update(readFileSync(target)).digest("hex");
  return `${md5}  ${target.slice(tree.length + 1)}\n`;
}

function writeDebFile(tree: string, target: string, file: DebFile): void {
  if (file.symlink !== undefined) {
    symlinkSync(file.symlink, target);
    return;
  }
  if (file.hardlink !== undefined) {
    linkSync(join(tree, file.hardlink), target);
    return;
  }
  if (file.isDirectory === true) mkdirSync(target);
  else writeFileSync(target, file.text ?? "");
  chownSync(target, file.uid ?? 0, file.gid ?? 0);
  chmodSync(target, file.mode ?? (file.isDirectory === true ? 0o755 : 0o644));
}
