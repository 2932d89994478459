import type { Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import {
  type EngineImages,
  type Followed,
  followEngine,
  type GraceTimes,
  readEngineImages,
  writeEngineImages,
} from "../store/engine-images.ts";
import type { Operation } from "../store/records.ts";
import { findImage, findName, namesOf } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { type EngineHoldings, readEngineHoldings } from "./held-images.ts";
import { withdrawRemovedImages } from "./podman/deploy.ts";

export type Drop = {
  readonly command: string;
  readonly now: Date;
};

export type RemovedImage = {
  readonly config: Sha256;
  /** Those that were taken away. */
  readonly names: readonly string[];
  /** False if it only lost names. */
  readonly isGone: boolean;
};

export type ReleasedImages = Pick<Followed, "expired" | "waiting">;

/**
 * What `gc` may take out of the journal: images that are in the store for an engine's sake, and that it has not held for
 * the grace time. With `dryRun` nothing is written.
 * @param engine `readEngineHoldings`, read just now
 */
export function dropReleasedImages(
  store: Store,
  options: Drop & Omit<GraceTimes, "now"> & { readonly dryRun: boolean },
  engine: EngineHoldings | undefined,
): ReleasedImages {
  using _lock = store.lock();
  const { layout, state } = store;
  const known = readEngineImages(layout);
  const followed = followEngine(state, known, engine, { ...options, now: options.now.getTime() });
  if (options.dryRun) return followed;
  const operations = followed.expired.map((config): Operation => ({ op: "image-removed", config }));
  if (operations.length > 0) store.transact(options.command, options.now, operations);
  // Also when nothing expired: a command that was killed may have left images in the engines' view.
  withdrawRemovedImages(store);
  const records = new Map([...followed.records].filter(([config]) => !followed.expired.includes(config)));
  if (!isSame(known, records)) writeEngineImages(layout, records);
  return followed;
}

function isSame(a: EngineImages, b: EngineImages): boolean {
  const text = (records: EngineImages): string => JSON.stringify([...records].sort());
  return text(a) === text(b);
}

/**
 * Takes away names; an image that loses its last one, or that is given by its id, goes out of the store. Its files go
 * with the next `gc`. All or nothing.
 * @param otherRoots as of `readEngineHoldings`
 * @throws AtomfsError "not-found"; "blocked" for an image that containers are made of
 */
export function removeImages(
  store: Store,
  references: readonly string[],
  drop: Drop,
  otherRoots: readonly string[] = [],
): RemovedImage[] {
  using _lock = store.lock();
  const { state } = store;
  const lost = new Map<Sha256, Set<string>>();
  const gone = new Set<Sha256>();
  for (const reference of references) {
    const { config } = findImage(state, reference);
    const name = findName(state, reference);
    const names = lost.get(config) ?? new Set<string>();
    lost.set(config, names);
    for (const each of name === undefined ? namesOf(state, config) : [name]) names.add(each);
    if (name === undefined || names.size === namesOf(state, config).length) gone.add(config);
  }
  requireUnused(readEngineHoldings(store.layout, otherRoots), gone);
  const operations = [...lost].flatMap(([config, names]): Operation[] =>
    gone.has(config)
      ? [{ op: "image-removed", config }]
      : [...names].map((name) => ({ op: "name-removed", name })),
  );
  store.transact(drop.command, drop.now, operations);
  withdrawRemovedImages(store);
  return [...lost].map(([config, names]) => ({ config, names: [...names].sort(), isGone: gone.has(config) }));
}

function requireUnused(engine: EngineHoldings | undefined, images: ReadonlySet<Sha256>): void {
  const used = [...images].filter((config) => engine?.ofContainers.has(config));
  if (used.length === 0) return;
  throw new AtomfsError(
    "blocked",
    `Cannot remove image ${used.map((config) => config.slice(0, 12)).join(", ")}: containers are made of it`,
    { hints: ["remove the containers first, also those that are stopped: `atomfs containers` lists them"] },
  );
}
