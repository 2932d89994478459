import { checkRange, type ElfImage, PT_GNU_PROPERTY, u32 } from "./image.ts";

const NT_GNU_PROPERTY_TYPE_0 = 5;
const GNU_PROPERTY_X86_ISA_1_NEEDED = 0xc0008002;
/** "GNU\0" */
const GNU = [0x47, 0x4e, 0x55, 0];
const MACHINES = new Set([3, 62]);

/**
 * The x86 ISA level that the file needs (bit number: 0 baseline, 1 v2, 2 v3, 3 v4), from the property note, by the
 * rules of glibc's ldconfig: a note that it finds ill-formed counts as none.
 */
export function isaLevelNeeded(image: ElfImage): number {
  const unit = image.is64 ? 8 : 4;
  let level = 0;
  if (!MACHINES.has(image.machine)) return level;
  for (const segment of image.segments) {
    if (segment.type !== PT_GNU_PROPERTY || segment.align !== unit) continue;
    checkRange(image, segment.offset, segment.fileSize, "property note");
    const end = segment.offset + segment.fileSize;
    let at = segment.offset;
    while (at + 12 < end) {
      const nameSize = u32(image, at);
      const dataSize = u32(image, at + 4);
      const isGnu =
        nameSize === 4 &&
        u32(image, at + 8) === NT_GNU_PROPERTY_TYPE_0 &&
        GNU.every((byte, i) => image.bytes[at + 12 + i] === byte);
      if (isGnu) {
        level = levelInProperties(image, at + 16, Math.min(at + 16 + dataSize, end), unit) ?? level;
        break;
      }
      at += alignUp(alignUp(12 + nameSize, unit) + dataSize, unit);
    }
  }
  return level;
}

function levelInProperties(image: ElfImage, from: number, end: number, unit: number): number | undefined {
  if (end - from < 8 || (end - from) % unit !== 0) return undefined;
  let lastType = 0;
  for (let at = from; end - at >= 8; ) {
    const type = u32(image, at);
    const size = u32(image, at + 4);
    if (type < lastType || at + 8 + size > end || type > GNU_PROPERTY_X86_ISA_1_NEEDED) return undefined;
    if (type === GNU_PROPERTY_X86_ISA_1_NEEDED) {
      const bits = size === 4 ? u32(image, at + 8) : 0;
      return bits === 0 ? undefined : 31 - Math.clz32(bits);
    }
    lastType = type;
    at += 8 + alignUp(size, unit);
  }
  return undefined;
}

function alignUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
