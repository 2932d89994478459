import { parseSha256, type Sha256 } from "../core/digest.ts";
import type { StoreLayout } from "./layout.ts";
import { type NoteFile, readNote, writeNote } from "./note-file.ts";
import type { ImageRecord } from "./records.ts";
import { namesOf, type State } from "./state.ts";

/*
 * Implements `engine-images.json` of docs/formats/store.md: where an image was last seen in an engine's storage, and since
 * when it is gone from there. Losing the file only lets the grace times begin anew.
 */

const NOTE: NoteFile<EngineImages> = { name: "engine-images.json", maxBytes: 64 * 1024 * 1024, parse };
/** The source of an image that an engine's storage held, as the journal has it. */
const FOLLOWS_ENGINE = "containers-storage:";

/** The engine that held the image at its import has it without AtomFS. */
export function cameFromEngine({ source }: Pick<ImageRecord, "source">): boolean {
  return source.startsWith(FOLLOWS_ENGINE);
}

export type EngineImage = {
  /** The engine's graph root; "" for an image that no engine was seen to hold. */
  readonly storage: string;
  /** Milliseconds since 1970. Absent while an engine holds the image. */
  readonly absentSince?: number;
};

export type EngineImages = ReadonlyMap<Sha256, EngineImage>;

/** What the engines' storages hold right now. */
export type HeldImages = {
  /** Graph roots of the storages that were looked at. */
  readonly storages: ReadonlySet<string>;
  /** Images with a record in one of them, and images of their containers, stopped ones too; with the storage. */
  readonly held: ReadonlyMap<Sha256, string>;
};

export type Followed = {
  readonly records: EngineImages;
  /** Nothing has needed them for the grace time. */
  readonly expired: readonly Sha256[];
  readonly waiting: readonly { readonly config: Sha256; readonly absentSince: number }[];
};

/** Anything but a whole file of this version is as good as none. */
export function readEngineImages(layout: StoreLayout): EngineImages {
  return readNote(layout, NOTE) ?? new Map();
}

function parse({ images }: Readonly<Record<string, unknown>>): EngineImages | undefined {
  const records = new Map<Sha256, EngineImage>();
  if (typeof images !== "object" || images === null) return undefined;
  for (const [config, each] of Object.entries(images)) {
    const { storage, absentSince } = (each ?? {}) as { storage?: unknown; absentSince?: unknown };
    if (typeof storage !== "string") continue;
    const since = typeof absentSince === "number" && Number.isFinite(absentSince) ? { absentSince } : {};
    records.set(parseSha256(config), { storage, ...since });
  }
  return records;
}

/** The caller holds the store's lock. */
export function writeEngineImages(layout: StoreLayout, records: EngineImages): void {
  const images = Object.fromEntries([...records].sort(([a], [b]) => (a < b ? -1 : 1)));
  writeNote(layout, NOTE, { images });
}

/** Notes that an engine holds an image. The caller holds the store's lock. */
export function noteEngineImage(layout: StoreLayout, config: Sha256, storage: string): void {
  const records = readEngineImages(layout);
  const known = records.get(config);
  if (known?.storage === storage && known.absentSince === undefined) return;
  writeEngineImages(layout, new Map(records).set(config, { storage }));
}

export type GraceTimes = {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly graceMs: number;
  /** The disk is nearly full. */
  readonly pressure?: {
    /** Of images that an engine had, which can be pulled again; the shorter of both holds. */
    readonly graceMs: number;
    /** Images that live mounts need: their removal would free little, and who runs on them may start again. */
    readonly inUse: ReadonlySet<Sha256>;
  };
};

/**
 * Which images are kept for an engine's sake only, and which of these no engine has held for `graceMs`. An image that was imported from elsewhere
 * is its name's: it is kept while it has one. One that was seen in another storage than these is not judged.
 * @param engines undefined if there is no engine's storage on this machine: then nothing is known of what came from one
 */
export function followEngine(
  state: State,
  records: EngineImages,
  engines: HeldImages | undefined,
  { now, graceMs, pressure }: GraceTimes,
): Followed {
  const next = new Map<Sha256, EngineImage>();
  const expired: Sha256[] = [];
  const waiting: { config: Sha256; absentSince: number }[] = [];
  for (const image of state.images.values()) {
    const { config } = image;
    const isEngines = cameFromEngine(image);
    const holder = engines?.held.get(config);
    if (holder !== undefined) {
      next.set(config, { storage: holder });
      continue;
    }
    const known = records.get(config);
    if (!isEngines && namesOf(state, config).length > 0) continue;
    const storage = known?.storage ?? "";
    // Never seen in these storages: it may come from one that only another configuration names.
    if (isEngines && engines?.storages.has(storage) !== true) {
      if (known !== undefined) next.set(config, known);
      continue;
    }
    // A clock that was set back must not end the grace time early, nor hold it forever.
    const absentSince = Math.min(known?.absentSince ?? now, now);
    next.set(config, { storage, absentSince });
    const isUrgent = pressure !== undefined && isEngines && !pressure.inUse.has(config);
    const graceOfImage = isUrgent ? Math.min(graceMs, pressure.graceMs) : graceMs;
    if (now - absentSince >= graceOfImage) expired.push(config);
    else waiting.push({ config, absentSince });
  }
  return { records: next, expired, waiting };
}
