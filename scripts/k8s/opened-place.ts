import { rmSync } from "node:fs";
import { join } from "node:path";
import { buildAtomfs, copyPrograms } from "../demo/commands.ts";
import { makeOwnDirectory, takeLock } from "../demo/workplace.ts";
import { type BinaryOptions, kubernetesBinaries } from "./binaries.ts";
import { clearPlace, PLACE } from "./place.ts";

/** With atomfs, crio-lxc and the player. */
export const PROGRAMS: string = join(PLACE, "programs");

export type OpenedPlace = {
  /** A PATH with the programs that were asked for. */
  readonly path: string;
  /** Ends and removes everything. */
  readonly clear: () => Promise<void>;
};

/** The place for one program, empty, with the programs in it; builds what is missing. Leaves nothing if it fails. */
export async function openPlace(options: BinaryOptions): Promise<OpenedPlace> {
  makeOwnDirectory(PLACE);
  const lock = takeLock({ purpose: "Kubernetes of AtomFS's demo or tests", directory: PLACE });
  const clear = async (): Promise<void> => {
    try {
      await clearPlace(PROGRAMS);
    } finally {
      lock[Symbol.dispose]();
    }
    rmSync(PLACE, { recursive: true, force: true });
  };
  try {
    const binaries = await kubernetesBinaries(options);
    await buildAtomfs(options.signal);
    await clearPlace(PROGRAMS);
    await copyPrograms(PROGRAMS);
    return { path: `${binaries}:${process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"}`, clear };
  } catch (error) {
    await clear();
    throw error;
  }
}
