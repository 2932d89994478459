import { describe, expect, test } from "bun:test";
import { statSync, writeFileSync } from "node:fs";
import { digestOf, imageRecord, TemporaryStore } from "../../tests/support/temporary-store.ts";
import type { Sha256 } from "../core/digest.ts";
import {
  type EngineImages,
  type Followed,
  followEngine,
  noteEngineImage,
  readEngineImages,
  writeEngineImages,
} from "./engine-images.ts";
import { EMPTY_STATE, type State } from "./state.ts";

const HERE = "/var/lib/containers/storage";
const CRIO = "/srv/crio";
const HOUR = 3_600_000;
const NOW = 1_000_000 * HOUR;

const engines = digestOf("a");
const own = digestOf("b");

/** One image that an engine had, one from a layout. */
function stateOf(names: readonly (readonly [string, Sha256])[]): State {
  const images = new Map([
    [engines, { ...imageRecord(engines), source: "containers-storage:localhost/web:latest" }],
    [own, imageRecord(own)],
  ]);
  return { ...EMPTY_STATE, images, names: new Map(names) };
}

const named = stateOf([
  ["localhost/web:latest", engines],
  ["localhost/own:latest", own],
]);

function follow(state: State, records: EngineImages, held: readonly Sha256[], now = NOW): Followed {
  const engines = {
    storages: new Set([HERE, CRIO]),
    held: new Map(held.map((each) => [each, HERE] as const)),
  };
  return followEngine(state, records, engines, { now, graceMs: 24 * HOUR });
}

const seenHere: EngineImages = new Map([[engines, { storage: HERE }]]);

describe("an image that came from an engine", () => {
  test("stays while the engine holds it", () => {
    const { records, expired, waiting } = follow(named, new Map(), [engines]);
    expect([...records]).toEqual([[engines, { storage: HERE }]]);
    expect([expired, waiting]).toEqual([[], []]);
  });

  test("waits for the grace time from when it was missed first, then goes, name or not", () => {
    const first = follow(named, seenHere, []);
    expect(first.waiting).toEqual([{ config: engines, absentSince: NOW }]);
    expect(first.expired).toEqual([]);
    const later = follow(named, first.records, [], NOW + 24 * HOUR - 1);
    expect(later.waiting).toEqual([{ config: engines, absentSince: NOW }]);
    expect(follow(named, later.records, [], NOW + 24 * HOUR).expired).toEqual([engines]);
  });

  test("that comes back has its whole grace time again", () => {
    const first = follow(named, seenHere, []);
    const back = follow(named, first.records, [engines], NOW + 23 * HOUR);
    const again = follow(named, back.records, [], NOW + 25 * HOUR);
    expect(again.waiting).toEqual([{ config: engines, absentSince: NOW + 25 * HOUR }]);
  });

  test("and was seen in another storage only, or never, is not judged", () => {
    const elsewhere: EngineImages = new Map([[engines, { storage: "/srv/storage" }]]);
    for (const records of [elsewhere, new Map() as EngineImages]) {
      const followed = follow(named, records, [], NOW + 1000 * HOUR);
      expect([followed.expired, followed.waiting]).toEqual([[], []]);
      expect(followed.records).toEqual(records);
    }
  });

  test("is missed in the one of several storages in which it was seen, and found in another", () => {
    const seenThere: EngineImages = new Map([[engines, { storage: CRIO }]]);
    const missed = follow(named, seenThere, []);
    expect(missed.waiting).toEqual([{ config: engines, absentSince: NOW }]);
    expect(missed.records.get(engines)).toEqual({ storage: CRIO, absentSince: NOW });
    expect(follow(named, missed.records, [engines]).records).toEqual(seenHere);
  });

  test("is kept where no storage can be found", () => {
    const followed = followEngine(named, seenHere, undefined, { now: NOW, graceMs: 0 });
    expect(followed.expired).toEqual([]);
    expect(followed.records).toEqual(seenHere);
  });
});

describe("an image that was imported from elsewhere", () => {
  test("is kept while it has a name", () => {
    expect(follow(named, new Map(), []).waiting).toEqual([]);
  });

  test("goes the same way when it has none, unless an engine holds it", () => {
    const nameless = stateOf([["localhost/web:latest", engines]]);
    expect(follow(nameless, new Map(), [own]).waiting).toEqual([]);
    const first = follow(nameless, new Map(), []);
    expect(first.waiting).toEqual([{ config: own, absentSince: NOW }]);
    expect(follow(nameless, first.records, [], NOW + 25 * HOUR).expired).toEqual([own]);
  });

  test("keeps its name's protection after an engine had it", () => {
    const held = follow(named, new Map(), [own]);
    expect(follow(named, held.records, [], NOW + 100 * HOUR).expired).toEqual([]);
  });
});

test("without a grace time it goes at once", () => {
  const engine = { storages: new Set([HERE]), held: new Map() };
  const none = followEngine(named, seenHere, engine, { now: NOW, graceMs: 0 });
  expect(none.expired).toEqual([engines]);
});

test("a clock that was set back lets the grace time begin anew", () => {
  const records: EngineImages = new Map([[engines, { storage: HERE, absentSince: NOW + 900 * HOUR }]]);
  expect(follow(named, records, []).waiting).toEqual([{ config: engines, absentSince: NOW }]);
});

describe("on a disk that is nearly full", () => {
  const engine = { storages: new Set([HERE]), held: new Map<Sha256, string>() };
  const followed = (inUse: readonly Sha256[], held = engine.held, state = named, graceMs = 0): Followed =>
    followEngine(
      state,
      seenHere,
      { ...engine, held },
      {
        now: NOW,
        graceMs: 24 * HOUR,
        pressure: { graceMs, inUse: new Set(inUse) },
      },
    );

  test("an image that its engine let go goes at once, or after the shorter grace time", () => {
    expect(followed([]).expired).toEqual([engines]);
    const later = followed([], engine.held, named, HOUR);
    expect([later.expired, later.waiting]).toEqual([[], [{ config: engines, absentSince: NOW }]]);
    const end = {
      now: NOW + HOUR,
      graceMs: 24 * HOUR,
      pressure: { graceMs: HOUR, inUse: new Set<Sha256>() },
    };
    expect(followEngine(named, later.records, engine, end).expired).toEqual([engines]);
  });

  test("the ordinary grace time is never made longer", () => {
    const times = { now: NOW, graceMs: 0, pressure: { graceMs: HOUR, inUse: new Set<Sha256>() } };
    expect(followEngine(named, seenHere, engine, times).expired).toEqual([engines]);
  });

  test("one that an engine, a container or a mount needs stays", () => {
    expect(followed([], new Map([[engines, HERE]])).expired).toEqual([]);
    expect(followed([engines]).waiting).toEqual([{ config: engines, absentSince: NOW }]);
  });

  test("no engine brings back what was imported from elsewhere: named it stays, nameless it waits as ever", () => {
    const nameless = stateOf([]);
    expect(followed([], engine.held, nameless).waiting).toEqual([{ config: own, absentSince: NOW }]);
    expect(followed([]).records.has(own)).toBe(false);
  });
});

test("images that the journal lost are forgotten", () => {
  expect(follow(EMPTY_STATE, seenHere, []).records.size).toBe(0);
});

describe("engine-images.json", () => {
  test("is read as it was written, closed to others", () => {
    using temporary = new TemporaryStore();
    const { layout } = temporary.store;
    const records: EngineImages = new Map([
      [own, { storage: HERE, absentSince: NOW }],
      [engines, { storage: "/srv/storage" }],
    ]);
    writeEngineImages(layout, records);
    expect(readEngineImages(layout)).toEqual(records);
    expect(statSync(temporary.path("engine-images.json")).mode & 0o777).toBe(0o600);
    expect(temporary.read("engine-images.json")).toBe(
      `{"version":1,"images":{"${engines}":{"storage":"/srv/storage"},"${own}":{"storage":"${HERE}","absentSince":${NOW}}}}\n`,
    );
  });

  test("noting an image ends its absence", () => {
    using temporary = new TemporaryStore();
    const { layout } = temporary.store;
    writeEngineImages(layout, new Map([[engines, { storage: HERE, absentSince: NOW }]]));
    noteEngineImage(layout, engines, HERE);
    noteEngineImage(layout, own, HERE);
    expect([...readEngineImages(layout)]).toEqual([
      [engines, { storage: HERE }],
      [own, { storage: HERE }],
    ]);
  });

  test.each([
    "",
    "{",
    "null",
    "7",
    '{"version":2,"images":{}}',
    '{"version":1,"images":null}',
    '{"version":1,"images":{"../x":{"storage":"/"}}}',
    `{"version":1,"images":{"${digestOf("a")}":{"storage":7}}}`,
  ])("%j is as good as none", (text) => {
    using temporary = new TemporaryStore();
    const { layout } = temporary.store;
    writeFileSync(temporary.path("engine-images.json"), text);
    expect(readEngineImages(layout).size).toBe(0);
  });
});
