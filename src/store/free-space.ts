import { statfsSync } from "node:fs";

export type Space = {
  readonly totalBytes: number;
  /** What a program without root's privileges may still write, as kubelet and `df` count it. */
  readonly availableBytes: number;
};

/** Of the filesystem that has this path. */
export function readSpace(path: string): Space {
  const { blocks, bavail, bsize } = statfsSync(path);
  return { totalBytes: blocks * bsize, availableBytes: bavail * bsize };
}

/** Is less than this share available? @param percent 0: never */
export function isNearlyFull({ totalBytes, availableBytes }: Space, percent: number): boolean {
  return availableBytes * 100 < totalBytes * percent;
}
