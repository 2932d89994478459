import type { ByteString } from "../../core/bytestring.ts";
import { DT_VERDEF, DT_VERNEED, type Dynamic } from "./dynamic.ts";
import { badElf, type ElfImage, fileOffset, stringAt, u16, u32 } from "./image.ts";

const VER_FLG_BASE = 1;
const VER_FLG_WEAK = 2;
/** Version indices have 15 bits, so no file can use more. */
const MAX_VERSIONS = 32_768;
const MAX_NAME = 1024;

/** What a version index of a symbol means. `file` is set for versions that another file must provide. */
export type VersionName = { readonly version: ByteString; readonly file: ByteString };

export type Versions = {
  readonly byIndex: ReadonlyMap<number, VersionName>;
  readonly defined: readonly ByteString[];
  /** Names of files with the versions they must have; versions marked weak may be absent and are left out. */
  readonly needed: readonly (readonly [file: ByteString, version: ByteString])[];
};

/** Symbol versions as the GNU extension defines them (LSB core, "Symbol Versioning"). */
export function readVersions(image: ElfImage, dynamic: Dynamic): Versions {
  const byIndex = new Map<number, VersionName>();
  return {
    byIndex,
    defined: readDefined(image, dynamic, byIndex),
    needed: readNeeded(image, dynamic, byIndex),
  };
}

function readDefined(image: ElfImage, dynamic: Dynamic, byIndex: Map<number, VersionName>): ByteString[] {
  const defined: ByteString[] = [];
  const address = dynamic.values.get(DT_VERDEF);
  if (address === undefined) return defined;
  let at = address;
  for (let n = 0; ; n++) {
    if (n > MAX_VERSIONS) throw badElf("version definitions do not end");
    const offset = fileOffset(image, at, 20, "version definition");
    const flags = u16(image, offset + 2);
    const index = u16(image, offset + 4) & 0x7fff;
    const next = u32(image, offset + 16);
    // The base definition names the file itself; symbols of that index have no version.
    if ((flags & VER_FLG_BASE) === 0) {
      const aux = fileOffset(image, at + u32(image, offset + 12), 8, "version definition");
      const version = stringAt(image, dynamic.strings.start + u32(image, aux), dynamic.strings.end, MAX_NAME);
      defined.push(version);
      byIndex.set(index, { version, file: "" as ByteString });
    }
    if (next === 0) return defined;
    at += next;
  }
}

function readNeeded(
  image: ElfImage,
  dynamic: Dynamic,
  byIndex: Map<number, VersionName>,
): [ByteString, ByteString][] {
  const needed: [ByteString, ByteString][] = [];
  const address = dynamic.values.get(DT_VERNEED);
  if (address === undefined) return needed;
  let at = address;
  let total = 0;
  for (;;) {
    const offset = fileOffset(image, at, 16, "version requirement");
    const file = stringAt(
      image,
      dynamic.strings.start + u32(image, offset + 4),
      dynamic.strings.end,
      MAX_NAME,
    );
    let auxAt = at + u32(image, offset + 8);
    for (let left = u16(image, offset + 2); left > 0; left--) {
      if (++total > MAX_VERSIONS) throw badElf("version requirements do not end");
      const aux = fileOffset(image, auxAt, 16, "version requirement");
      const version = stringAt(
        image,
        dynamic.strings.start + u32(image, aux + 8),
        dynamic.strings.end,
        MAX_NAME,
      );
      byIndex.set(u16(image, aux + 6) & 0x7fff, { version, file });
      if ((u16(image, aux + 4) & VER_FLG_WEAK) === 0) needed.push([file, version]);
      const next = u32(image, aux + 12);
      if (next === 0) break;
      auxAt += next;
    }
    const next = u32(image, offset + 12);
    if (next === 0) return needed;
    if (++total > MAX_VERSIONS) throw badElf("version requirements do not end");
    at += next;
  }
}
