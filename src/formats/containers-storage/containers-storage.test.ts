import { describe, expect, test } from "bun:test";
import { fromBytes } from "../../core/bytestring.ts";
import { parseSha256 } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import {
  bigDataFileName,
  findContainerEntry,
  parseContainerEntries,
  parseImageEntries,
  parseLayerEntries,
} from "./records.ts";
import { DEFAULT_STORAGE_CONF, parseStorageConf } from "./storage-conf.ts";
import { parseTarSplitEntry } from "./tar-split.ts";

const A = "a".repeat(64);
const B = "b".repeat(64);

/** As Podman 4.3 writes them, shortened. */
const IMAGES = `[{"id":"${A}","digest":"sha256:${B}","names":["localhost/web:1"],"layer":"${B}","metadata":"{}","big-data-names":["sha256:${A}","manifest"],"created":"2026-11-23T19:34:30Z"},{"id":"${B}","names":null}]`;
const LAYERS = `[{"id":"${A}","created":"2026-11-23T20:07:27Z","diff-digest":"sha256:${B}","uidset":[0]},{"id":"${B}","parent":"${A}","uidmap":[{"container_id":0,"host_id":100000,"size":65536}]}]`;

test("images, layers and containers as Podman writes them", () => {
  expect(parseImageEntries(IMAGES)).toEqual([
    { id: A, names: ["localhost/web:1"], layer: B, bigDataNames: [`sha256:${A}`, "manifest"] },
    { id: B, names: [], layer: undefined, bigDataNames: [] },
  ]);
  expect(parseLayerEntries(LAYERS)).toEqual([
    { id: A, parent: undefined, diffId: parseSha256(B), idMapped: false },
    { id: B, parent: A, diffId: undefined, idMapped: true },
  ]);
  expect(parseContainerEntries(`[{"id":"${A}","image":"","layer":"${B}"}]`)).toEqual([
    { id: A, image: undefined, layer: B },
  ]);
  expect(parseImageEntries("null")).toEqual([]);
});

test.each([
  "",
  "{}",
  "[1]",
  "[{}]",
  '[{"id":"../../etc"}]',
  `[{"id":"${A}","layer":"x/y"}]`,
  `[{"id":"${A}","names":[1]}]`,
])("images.json %j is bad data", (text) => {
  expect(() => parseImageEntries(text)).toThrow(AtomfsError);
});

test("big data files are named as c/storage names them", () => {
  expect(bigDataFileName("manifest")).toBe("manifest");
  expect(bigDataFileName("sha256:ab")).toBe("=c2hhMjU2OmFi");
});

test("storage.conf: what it says, and the defaults", () => {
  expect(parseStorageConf({})).toEqual(DEFAULT_STORAGE_CONF);
  expect(
    parseStorageConf({
      storage: {
        driver: "overlay",
        graphroot: "/g",
        runroot: "/r",
        imagestore: "/i",
        options: { additionalimagestores: ["/a", "/i"], overlay: { mountopt: "nodev" } },
      },
    }),
  ).toEqual({ driver: "overlay", graphRoot: "/g", runRoot: "/r", imageStores: ["/i", "/a"] });
  expect(() => parseStorageConf({ storage: { graphroot: "relative" } })).toThrow(AtomfsError);
  expect(() => parseStorageConf({ storage: 1 })).toThrow(AtomfsError);
});

test("tar-split: segments and files, names as bytes", () => {
  expect(parseTarSplitEntry('{"type":2,"payload":"AAEC","position":0}')).toEqual({
    kind: "bytes",
    bytes: Buffer.from([0, 1, 2]),
  });
  expect(
    parseTarSplitEntry('{"type":1,"name":"a\\u003cb","size":7,"payload":"AAAAAAAAAAA=","position":1}'),
  ).toEqual({
    kind: "file",
    name: fromBytes(Buffer.from("a<b")),
    size: 7,
  });
  expect(parseTarSplitEntry('{"type":1,"name_raw":"Yf9i","payload":null}')).toEqual({
    kind: "file",
    name: fromBytes(Buffer.from([0x61, 0xff, 0x62])),
    size: 0,
  });
});

test.each(["", "[]", '{"type":3}', '{"type":2}', '{"type":1,"name":"a","size":-1}', '{"type":1,"name":1}'])(
  "tar-split line %j is bad data",
  (line) => {
    expect(() => parseTarSplitEntry(line)).toThrow(AtomfsError);
  },
);

describe("one container of the index", () => {
  const id = (digit: string): string => digit.repeat(64);
  const entry = (digit: string, more: object = {}): object => ({
    id: id(digit),
    names: [`name ${digit}`],
    image: id("e"),
    layer: id("f"),
    metadata: JSON.stringify({ id: id("b"), text: `,{"id":"${id("c")}"}]` }),
    flags: {},
    ...more,
  });
  const entries = [entry("a"), entry("b"), entry("d", { image: "" })];

  test.each([
    ["as the storage writes it", JSON.stringify(entries)],
    ["with spaces", JSON.stringify(entries, undefined, 1)],
    ["with another order of fields", JSON.stringify(entries.map((each) => ({ flags: {}, ...each })))],
    ["with a line's end", `${JSON.stringify(entries)}\n`],
  ])("is found %s", (_, text) => {
    for (const digit of ["a", "b", "d", "c", "e", "0"]) {
      const whole = parseContainerEntries(text).find((each) => each.id === id(digit));
      expect(findContainerEntry(Buffer.from(text), id(digit))).toEqual(whole);
    }
    expect(findContainerEntry(Buffer.from(text), id("a"))?.layer).toBe(id("f"));
  });

  test("what is no index is an error if it names the container", () => {
    expect(() => findContainerEntry(Buffer.from(`{"id":"${id("a")}"`), id("a"))).toThrow(AtomfsError);
    expect(findContainerEntry(Buffer.from("nothing"), id("a"))).toBeUndefined();
  });
});
