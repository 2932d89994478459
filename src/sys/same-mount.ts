import { fstatSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { fromText } from "../core/bytestring.ts";
import { type Fd, openDirectoryPath } from "./fd.ts";
import { cloneMount } from "./mount.ts";
import { type Mount, readMountinfo } from "./mountinfo.ts";

/** Two directories, open for lookups, from one mount if that can be. */
export type DirectoryPair = Disposable & { readonly source: Fd; readonly target: Fd };

/**
 * Opens two directories so that link(2) works from one to the other. It refuses links between mounts, also those of one
 * filesystem, and engines bind their layers' directory on itself while containers run. So where the mounts differ,
 * both are opened in a detached copy of a mount that shows both. Where there is none, they are opened as they are.
 */
export function openDirectoryPair(source: string, target: string): DirectoryPair {
  using stack = new DisposableStack();
  const plain = {
    source: stack.use(openDirectoryPath(source)),
    target: stack.use(openDirectoryPath(target)),
  };
  const pair = inOneMount(plain, [realpathSync(source), realpathSync(target)]);
  if (pair !== undefined) return pair;
  const opened = stack.move();
  return { ...plain, [Symbol.dispose]: () => opened.dispose() };
}

function inOneMount(
  plain: { readonly source: Fd; readonly target: Fd },
  paths: readonly [string, string],
): DirectoryPair | undefined {
  const ids = [mountIdOf(plain.source), mountIdOf(plain.target)] as const;
  if (ids[0] === ids[1]) return undefined;
  for (const way of commonMounts(
    readMountinfo(),
    { id: ids[0], path: paths[0] },
    { id: ids[1], path: paths[1] },
  )) {
    try {
      using stack = new DisposableStack();
      const clone = stack.use(cloneMount(Buffer.from(way.target, "latin1").toString("utf8")));
      const source = stack.use(openDirectoryPath(inside(clone, way.source)));
      const target = stack.use(openDirectoryPath(inside(clone, way.other)));
      // Another mount may lie over the one that was looked for.
      if (!isSame(source, plain.source) || !isSame(target, plain.target)) continue;
      const opened = stack.move();
      return { source, target, [Symbol.dispose]: () => opened.dispose() };
    } catch (error) {
      // Not allowed to clone, or not to be found there: the next one.
      if (!(error instanceof Error && "code" in error)) throw error;
    }
  }
  return undefined;
}

function inside(mount: Fd, path: string): Buffer {
  return Buffer.concat([Buffer.from(mount.procPath), Buffer.from(join("/", path, "."), "latin1")]);
}

function isSame(a: Fd, b: Fd): boolean {
  const [one, other] = [fstatSync(a.number, { bigint: true }), fstatSync(b.number, { bigint: true })];
  return one.dev === other.dev && one.ino === other.ino;
}

function mountIdOf(fd: Fd): number {
  const id = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd.number}`, "utf8"))?.[1];
  return Number(id ?? -1);
}

/** A directory by the mount it was found in and its real path. */
export type Place = { readonly id: number; readonly path: string };

/** Paths as mountinfo has them, bytes as latin1. */
export type CommonMount = { readonly target: string; readonly source: string; readonly other: string };

/**
 * Mounts of one filesystem that show both places, unless something is mounted over them there.
 * `source` and `other` are the places' paths below the mount.
 */
export function commonMounts(mounts: readonly Mount[], source: Place, other: Place): CommonMount[] {
  const from = mounts.find((mount) => mount.id === source.id);
  const to = mounts.find((mount) => mount.id === other.id);
  if (from === undefined || to === undefined || deviceOf(from) !== deviceOf(to)) return [];
  const paths = [onFilesystem(from, source.path), onFilesystem(to, other.path)] as const;
  return mounts.flatMap((mount) => {
    if (deviceOf(mount) !== deviceOf(from)) return [];
    const [a, b] = [below(mount.root, paths[0]), below(mount.root, paths[1])];
    return a === undefined || b === undefined ? [] : [{ target: mount.target, source: a, other: b }];
  });
}

function deviceOf(mount: Mount): string {
  return `${mount.major}:${mount.minor}`;
}

function onFilesystem(mount: Mount, path: string): string {
  return join("/", mount.root, below(mount.target, fromText(path)) ?? "");
}

/** "" or "/..." if `path` is `directory` or below it. */
function below(directory: string, path: string): string | undefined {
  const prefix = directory === "/" ? "" : directory;
  if (path === prefix || path === directory) return "";
  return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : undefined;
}
