import { realpathSync } from "node:fs";
import { type ByteString, displayText } from "../core/bytestring.ts";
import { parseVerityDigest, type VerityDigest } from "../core/digest.ts";
import { applyMount } from "../mounts/apply.ts";
import { prepareMolecule, runDirectoryOf } from "../mounts/molecule-mounts.ts";
import { attributesOf, type MountSpec, type MountStep } from "../mounts/spec.ts";
import { storeLayout } from "../store/layout.ts";
import { unmountAt } from "../sys/mount.ts";
import { type IdMaps, makeUserNamespace } from "../sys/user-namespace.ts";
import { refuseDatalessFiles } from "./dataless-files.ts";
import { findLowers } from "./engine-lowers.ts";
import { type EngineRoot, EngineRootLost } from "./engine-root.ts";

/**
 * Unmounts what is on the root and mounts the molecule, or the engine's own lowers, under the same upper. Everything
 * that can fail beforehand is done beforehand, since two overlays over one upper at a time are undefined; if the new
 * mount fails all the same, the engine's own is put back.
 */
export function replaceRoot(
  storeRoot: string,
  root: EngineRoot,
  molecule: VerityDigest | undefined,
  idMaps: IdMaps | undefined,
): void {
  const { upperdir, workdir, mount } = root;
  const upper = { upperdir, workdir, options: [...mount.options, ...mount.superOptions] };
  const layout = storeLayout(storeRoot);
  // Files have the image's ids on disk, and the container's in its upper.
  using namespace = idMaps === undefined ? undefined : makeUserNamespace(idMaps);
  const idmap = namespace === undefined ? {} : { idmap: namespace.procPath };
  const runDirectory = runDirectoryOf(storeRoot);
  const ofEngine = engineSpec(root, findLowers(root, runDirectory), idmap);
  const spec =
    molecule === undefined
      ? ofEngine
      : prepareMolecule(layout, molecule, { upper, target: mount.target, ...idmap });
  if (molecule !== undefined) refuseDatalessFiles(root);
  unmountAt(mount.target, { detach: false });
  try {
    applyMount(spec, { runDirectory }).release();
  } catch (error) {
    putBack(ofEngine, root, runDirectory);
    throw error;
  }
}

function putBack(ofEngine: MountSpec, { mount }: EngineRoot, runDirectory: string): void {
  try {
    applyMount(ofEngine, { runDirectory }).release();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new EngineRootLost(displayText(mount.target as ByteString), error);
  }
}

const OF_LAYERS = /^(lowerdir|upperdir|workdir|datadir)\+?(=|$)/;
const OF_THE_MOUNT = new Set(["rw", "relatime"]);

/** The engine's own overlay, as it was mounted: with id-mapped lowers where containers/storage had them so. */
function engineSpec(
  root: EngineRoot,
  lowers: readonly string[],
  idmap: { readonly idmap?: string },
): MountSpec {
  const { mount, upperdir, workdir } = root;
  const options = mount.superOptions.filter((option) => !OF_LAYERS.test(option) && !OF_THE_MOUNT.has(option));
  const trees: readonly MountStep[] = root.hasMappedLowers
    ? lowers.map((path) => ({ kind: "tree", path: realpathSync(path), ...idmap }))
    : [];
  return {
    row: "tree",
    molecule: parseVerityDigest("0".repeat(64)),
    layers: "path",
    steps: [
      ...trees,
      {
        kind: "overlay",
        source: "overlay",
        lower: lowers.map((path, step) => (root.hasMappedLowers ? { step } : { path })),
        dataOnly: [],
        singleColon: false,
        metacopy: false,
        verity: false,
        upper: { upperdir, workdir },
        options,
        attributes: attributesOf(mount.options),
      },
      { kind: "move", target: mount.target },
    ],
  };
}
