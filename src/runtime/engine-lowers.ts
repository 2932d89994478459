import { appendFileSync, existsSync, mkdirSync, realpathSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { fromText } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { readStorageConf } from "../sources/containers-storage.ts";
import { readFileBounded } from "../sys/files.ts";
import type { Mount } from "../sys/mountinfo.ts";
import type { EngineRoot } from "./engine-root.ts";
import { readIfThere } from "./read-if-there.ts";

const MAX_LIST = 1 << 20;
/** Below the run directory, so it ends with the boot, as the mounts do. */
const SEEN = "image-stores";

/**
 * The engine's lower directories, top first, for putting its own mount back: `LAYER/lower` is "l/LINK:l/LINK...", which
 * is read because the mount's own option does not tell them where there are many or where they are id-mapped. A link is
 * the graph root's own or an additional image store's.
 * @param runDirectory of AtomFS, for the image stores that were seen
 * @throws AtomfsError "not-found" if no store has one of them
 */
export function findLowers(
  { graphRoot, layer, mount }: Pick<EngineRoot, "graphRoot" | "layer" | "mount">,
  runDirectory: string,
): string[] {
  const home = join(graphRoot, "overlay");
  const list = readFileBounded(join(home, layer, "lower"), MAX_LIST)
    .toString("utf8")
    .trim();
  const lowers = list.split(":").map((link) => {
    const path = isAbsolute(link) ? link : join(home, link);
    return existsSync(path) ? path : join(imageStoreOf(link, mount, runDirectory), link);
  });
  return [
    ...older(join(home, layer)),
    ...lowers.flatMap((path) => [path, ...older(dirname(realpathSync(path)))]),
  ];
}

/**
 * The `overlay/` of the additional image store that has this link. No engine tells a runtime which stores there are, but
 * its own mount has their paths. That one is gone once a molecule is in its place: so they are noted.
 */
function imageStoreOf(link: string, mount: Mount, runDirectory: string): string {
  const note = join(runDirectory, SEEN);
  const known = () =>
    readIfThere(note)
      ?.split("\n")
      .filter((line) => line !== "") ?? [];
  const mounted = storeInMount(mount, link);
  if (mounted !== undefined && existsSync(join(mounted, link))) {
    if (!known().includes(mounted)) {
      mkdirSync(runDirectory, { recursive: true, mode: 0o700 });
      appendFileSync(note, `${mounted}\n`, { mode: 0o600 });
    }
    return mounted;
  }
  const configured = readStorageConf().imageStores.map((store) => join(store, "overlay"));
  const found = [...known(), ...configured].find((each) => existsSync(join(each, link)));
  if (found !== undefined) return found;
  throw new AtomfsError(
    "not-found",
    `Cannot find the image's layer ${link}: the engine's own root could not be put back`,
    {
      hints: ["name its additional image store in /etc/containers/storage.conf"],
    },
  );
}

/** From `lowerdir=/store/overlay/l/LINK:...`. */
function storeInMount({ superOptions }: Mount, link: string): string | undefined {
  const paths = superOptions.flatMap((option) => /^lowerdir\+?=(.*)$/s.exec(option)?.[1]?.split(":") ?? []);
  const end = fromText(`/${link}`);
  const found = paths.find((path) => isAbsolute(path) && path.endsWith(end));
  return found === undefined
    ? undefined
    : Buffer.from(found.slice(0, -end.length), "latin1").toString("utf8");
}

/** Where containers/storage had to give a layer other owners, what it was before lies beside it: diff1, diff2... */
function older(layer: string): string[] {
  const found: string[] = [];
  for (let n = 1; existsSync(join(layer, `diff${n}`)); n++) found.push(join(layer, `diff${n}`));
  return found;
}
