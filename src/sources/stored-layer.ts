import { AtomfsError } from "../core/errors.ts";
import { decodeTar } from "../formats/tar/decode.ts";
import type { TarMember } from "../formats/tar/member.ts";
import { type ChunkOrigins, SharedDirectory } from "../store/adopt.ts";
import type { ObjectStaging } from "../store/objects.ts";
import { hasCode } from "../sys/ffi.ts";
import type { StoredLayer } from "./containers-storage.ts";
import type { MemberLayer } from "./flatten.ts";
import { walkLayer } from "./layer-directory.ts";
import { SharedFiles } from "./shared-files.ts";
import { replayTar } from "./tar-split.ts";
import { verified } from "./verified.ts";

/**
 * An engine's layer to apply. Where the engine kept its tar-split, it is exactly the layer's tar, verified by its diff
 * id; else what is in its directory.
 * @param origins will know the files that the contents come from
 */
export function openStoredLayer(
  layer: StoredLayer,
  staging: ObjectStaging,
  origins: ChunkOrigins,
): MemberLayer {
  return { diffId: layer.diffId, members: () => membersOf(layer, staging, origins) };
}

async function* membersOf(
  layer: StoredLayer,
  staging: ObjectStaging,
  origins: ChunkOrigins,
): AsyncGenerator<TarMember, void, void> {
  try {
    yield* readMembers(layer, staging, origins);
  } catch (cause) {
    // System calls of our own name what they did; what Node throws here means that the directory is going away.
    if (cause instanceof AtomfsError || !hasCode(cause, "ENOENT")) throw cause;
    throw new AtomfsError("not-found", "Cannot read the engine's layer: it was removed meanwhile", { cause });
  }
}

async function* readMembers(
  layer: StoredLayer,
  staging: ObjectStaging,
  origins: ChunkOrigins,
): AsyncGenerator<TarMember, void, void> {
  using directory = new SharedDirectory(layer.directory, staging);
  using files = new SharedFiles(directory, origins);
  if (layer.tarSplit !== undefined) {
    const what = `the engine's layer ${layer.id.slice(0, 12)}`;
    const tar = verified(replayTar(layer.tarSplit, files), { digest: layer.diffId, what });
    // The diff id guards against an archive that is cut off.
    yield* decodeTar(tar, { endMark: "optional" });
    return;
  }
  if (layer.idMapped)
    throw new AtomfsError("unsupported", "Cannot read the engine's layer: its files have mapped owners");
  yield* walkLayer(directory, files);
}
