import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { fromText } from "../../src/core/bytestring.ts";
import { EMPTY_XATTRS } from "../../src/core/tree.ts";
import { encodeTar } from "../../src/formats/tar/encode.ts";
import type { TarFile } from "../../src/formats/tar/member.ts";

/*
 * Images that look like Debian 12 to AtomFS and have some 30 files: a package database, a library that is no ELF file, and
 * a newer version of it in a package file. Equal calls give equal bytes.
 */

/** Debian's and OCI's name of the machine, which are the same for those that the project runs on. */
export const ARCHITECTURE: string = process.arch === "x64" ? "amd64" : process.arch;

export const OLD_VERSION = "1.0-1";
export const NEW_VERSION = "1.0-2";

const MTIME = { sec: 1_700_000_000, nsec: 0 };

export function member(path: string, rest: Partial<TarFile>): TarFile {
  return {
    path: fromText(path),
    type: "file",
    linkTarget: fromText(""),
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: MTIME,
    size: rest.bytes?.length ?? 0,
    xattrs: EMPTY_XATTRS,
    major: 0,
    minor: 0,
    bytes: new Uint8Array(),
    ...rest,
  };
}

export function file(path: string, text: string, mode = 0o644): TarFile {
  return member(path, { bytes: Buffer.from(text), mode });
}

export function directory(path: string): TarFile {
  return member(`${path}/`, { type: "dir", mode: 0o755 });
}

function symlink(path: string, target: string): TarFile {
  return member(path, { type: "symlink", linkTarget: fromText(target), mode: 0o777 });
}

/** A package as it is installed and as it is shipped. */
export type SyntheticPackage = {
  readonly name: string;
  readonly source: string;
  readonly version: string;
  /** Where it is not `version`: of a rebuild, or under another epoch. */
  readonly sourceVersion?: string;
  /** Default: the machine's. */
  readonly architecture?: string;
  readonly depends?: string;
  readonly files: readonly TarFile[];
};

function library(version: string): string {
  return `demo library ${version}\n${"text that makes this file an object\n".repeat(20)}`;
}

export function libdemo(version: string): SyntheticPackage {
  const files = [
    file(`usr/lib/libdemo.so.1.${version}`, library(version)),
    symlink("usr/lib/libdemo.so.1", `libdemo.so.1.${version}`),
    file("usr/share/doc/libdemo1/changelog", `libdemo1 (${version})\n`),
    file("usr/share/libdemo/table", `the same name in all versions, ${version}\n${"row\n".repeat(40)}`),
  ];
  return { name: "libdemo1", source: "demo", version, files };
}

export function demoTools(version: string): SyntheticPackage {
  const files = [
    file("usr/bin/demo", `#!/bin/sh\n# ${version}\n${"echo demo\n".repeat(10)}`, 0o755),
    member("usr/bin/demo-again", { type: "hardlink", linkTarget: fromText("usr/bin/demo") }),
  ];
  return { name: "demo-tools", source: "demo", version, depends: "libdemo1 (>= 1.0)", files };
}

/** A rebuild (binNMU) of the newest version, with an epoch that its source lacks; needs its library of the very version. */
export function libdemoDev(version: string): SyntheticPackage {
  return {
    name: "libdemo-dev",
    source: "demo",
    sourceVersion: version,
    version: `1:${version}${version === OLD_VERSION ? "" : "+b1"}`,
    depends: `libdemo1 (= ${version})`,
    files: [file("usr/include/demo.h", `/* ${version} */\n${"int demo(void);\n".repeat(10)}`)],
  };
}

export function demoData(version: string): SyntheticPackage {
  const files = [file("usr/share/demo/data", `${version}\n${"data\n".repeat(20)}`)];
  return { name: "demo-data", source: "demo", version, architecture: "all", files };
}

/** Works with the old library only. */
const legacy: SyntheticPackage = {
  name: "legacy",
  source: "legacy",
  version: "3.1",
  depends: `libdemo1 (<< ${NEW_VERSION})`,
  files: [file("usr/bin/legacy", "#!/bin/sh\nexit 0\n", 0o755)],
};

export const base: SyntheticPackage = {
  name: "base-files",
  source: "base-files",
  version: "12.4",
  files: [
    file(
      "usr/lib/os-release",
      'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
    ),
    symlink("etc/os-release", "../usr/lib/os-release"),
  ],
};

/** As dpkg-gencontrol writes it: only what the package's own name and version do not say. */
export function sourceField({ name, source, sourceVersion }: SyntheticPackage): string {
  if (sourceVersion !== undefined) return `Source: ${source} (${sourceVersion})\n`;
  return source === name ? "" : `Source: ${source}\n`;
}

export function architectureOf(each: SyntheticPackage): string {
  return each.architecture ?? ARCHITECTURE;
}

function controlOf(each: SyntheticPackage): string {
  const depends = each.depends === undefined ? "" : `Depends: ${each.depends}\n`;
  return (
    `${sourceField(each)}Version: ${each.version}\nArchitecture: ${architectureOf(each)}\n${depends}` +
    "Maintainer: Nobody <nobody@example.org>\nDescription: synthetic\n"
  );
}

function md5sumsOf(files: readonly TarFile[]): string {
  const bytesOf = new Map(files.map((each) => [each.path, each.bytes]));
  return files
    .flatMap((each) => {
      const bytes = each.type === "hardlink" ? bytesOf.get(each.linkTarget) : each.bytes;
      if (each.type === "symlink" || bytes === undefined) return [];
      return [`${createHash("md5").update(bytes).digest("hex")}  ${each.path}\n`];
    })
    .join("");
}

function parents(files: readonly TarFile[]): string[] {
  const found = new Set<string>();
  for (const { path } of files) {
    const names = path.split("/").slice(0, -1);
    for (let depth = 1; depth <= names.length; depth++) found.add(names.slice(0, depth).join("/"));
  }
  return [...found].sort();
}

function listOf(files: readonly TarFile[]): string {
  const names = [...parents(files), ...files.map((each) => each.path)].sort();
  return `/.\n${names.map((name) => `/${name}\n`).join("")}`;
}

/** A root directory with these packages as dpkg would leave it. */
export function rootLayer(packages: readonly SyntheticPackage[], more: readonly TarFile[] = []): Uint8Array {
  const info = packages.flatMap((each) => [
    file(`var/lib/dpkg/info/${each.name}.list`, listOf(each.files)),
    file(`var/lib/dpkg/info/${each.name}.md5sums`, md5sumsOf(each.files)),
  ]);
  const status = packages
    .map((each) => `Package: ${each.name}\nStatus: install ok installed\n${controlOf(each)}`)
    .join("\n");
  const files = [
    ...packages.flatMap((each) => each.files),
    ...info,
    file("var/lib/dpkg/status", status),
    file("etc/hostname", "synthetic\n"),
    member("dev/null", { type: "char", mode: 0o666, major: 1, minor: 3 }),
    ...more,
  ];
  return encodeTar([...parents(files).map(directory), ...files]);
}

/** A binary package, format 2.0 (deb(5)). */
export function debFile(each: SyntheticPackage): Buffer {
  const control = [
    file("./control", `Package: ${each.name}\n${controlOf(each)}`),
    file("./md5sums", md5sumsOf(each.files)),
  ];
  const dotted = (name: string): ReturnType<typeof fromText> => fromText(`./${name}`);
  const data = [
    ...parents(each.files).map((name) => directory(`./${name}`)),
    ...each.files.map((item) => ({
      ...item,
      path: dotted(item.path),
      linkTarget: item.type === "hardlink" ? dotted(item.linkTarget) : item.linkTarget,
    })),
  ];
  const part = (name: string, bytes: Uint8Array): Buffer => {
    const header = `${name.padEnd(16)}${"0".padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}`;
    const head = Buffer.from(`${header}${String(bytes.length).padEnd(10)}\`\n`);
    return Buffer.concat([head, bytes, Buffer.from(bytes.length % 2 === 0 ? "" : "\n")]);
  };
  return Buffer.concat([
    Buffer.from("!<arch>\n"),
    part("debian-binary", Buffer.from("2.0\n")),
    part("control.tar.gz", gzipSync(encodeTar(control))),
    part("data.tar.gz", gzipSync(encodeTar(data))),
  ]);
}

export type SyntheticImage = {
  readonly tag: string;
  readonly layers: readonly Uint8Array[];
  readonly labels?: Readonly<Record<string, string>>;
  /** What the image's configuration says otherwise or beside: Entrypoint, User... */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Layers as they are, not packed: another manifest of the same config. */
  readonly plainLayers?: boolean;
};

/** What the tests of the command line import, by tag. */
export function syntheticImages(): SyntheticImage[] {
  const old = [base, libdemo(OLD_VERSION), demoTools(OLD_VERSION)];
  const lower = rootLayer(old);
  const data = encodeTar([directory("srv"), file("srv/data", "of the application\n".repeat(50))]);
  const patch = encodeTar([file("usr/share/libdemo/table", "patched by hand\n".repeat(30))]);
  return [
    { tag: "web", layers: [lower] },
    { tag: "web-unpacked", layers: [lower], plainLayers: true },
    { tag: "db", layers: [lower, data] },
    { tag: "held", layers: [lower], labels: { "io.atomfs.fix": "never" } },
    { tag: "patched", layers: [lower, patch] },
    { tag: "legacy", layers: [rootLayer([...old, legacy])] },
    { tag: "fixed", layers: [rootLayer([base, libdemo(NEW_VERSION), demoTools(NEW_VERSION)])] },
    { tag: "slim", layers: [rootLayer([base, libdemo(OLD_VERSION)])] },
    { tag: "dev", layers: [rootLayer([...old, libdemoDev(OLD_VERSION), demoData(OLD_VERSION)])] },
    { tag: "scratch", layers: [encodeTar([file("hello", "no package database here\n".repeat(9))])] },
  ];
}

/** Writes an OCI layout. */
export function writeLayout(target: string, images: readonly SyntheticImage[]): void {
  const blobs = join(target, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const put = (bytes: Uint8Array): { digest: string; size: number } => {
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const manifests = images.map(({ tag, layers, labels, config: own, plainLayers }) => {
    const diffIds = layers.map((each) => `sha256:${createHash("sha256").update(each).digest("hex")}`);
    const config = put(
      json({
        architecture: ARCHITECTURE,
        os: "linux",
        config: { Env: ["PATH=/usr/bin:/bin"], Cmd: ["/usr/bin/demo"], Labels: labels ?? {}, ...own },
        rootfs: { type: "layers", diff_ids: diffIds },
      }),
    );
    const type = "application/vnd.oci.image.layer.v1.tar";
    const descriptors = layers.map((each) =>
      plainLayers === true
        ? { mediaType: type, ...put(each) }
        : { mediaType: `${type}+gzip`, ...put(gzipSync(each)) },
    );
    const manifest = put(
      json({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
        layers: descriptors,
      }),
    );
    return {
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      ...manifest,
      annotations: { "org.opencontainers.image.ref.name": tag },
    };
  });
  writeFileSync(join(target, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
  writeFileSync(join(target, "index.json"), json({ schemaVersion: 2, manifests }));
}
