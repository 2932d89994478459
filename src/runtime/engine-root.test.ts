import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromText } from "../core/bytestring.ts";
import type { Mount } from "../sys/mountinfo.ts";
import { findLowers } from "./engine-lowers.ts";
import { findEngineRoot } from "./engine-root.ts";

const ID = "1".repeat(64);
const LAYER = "2".repeat(64);
const IMAGE = "3".repeat(64);

let place = "";
let graph = "";
let bundle = "";
let rootfs = "";

beforeEach(() => {
  place = realpathSync(mkdtempSync(join(tmpdir(), "atomfs-räume-")));
  graph = join(place, "graph");
  bundle = join(graph, "overlay-containers", ID, "userdata");
  rootfs = join(graph, "overlay", LAYER, "merged");
  for (const path of [bundle, rootfs, ...["diff", "work"].map((name) => join(graph, "overlay", LAYER, name))])
    mkdirSync(path, { recursive: true });
  record(graph, [{ id: ID, image: IMAGE, layer: LAYER }]);
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

function record(root: string, containers: readonly object[], name = "containers.json"): void {
  mkdirSync(join(root, "overlay-containers"), { recursive: true });
  writeFileSync(join(root, "overlay-containers", name), JSON.stringify(containers));
}

function mounted(options: readonly string[], change: Partial<Mount> = {}): Mount[] {
  const target = fromText(rootfs);
  const own = { id: 1, parent: 1, major: 0, minor: 1, root: "/", target, options: ["rw"], source: "overlay" };
  return [{ ...own, type: "overlay", superOptions: options.map(fromText), ...change }];
}

const absolute = (): string[] =>
  ["upperdir/diff", "workdir/work"].map((each) => each.replace("/", `=${graph}/overlay/${LAYER}/`));
const relative = (): string[] => [`upperdir=${LAYER}/diff`, `workdir=${LAYER}/work`];

test("absolute and relative names are the container's own directories", () => {
  const want = {
    upperdir: join(graph, "overlay", LAYER, "diff"),
    workdir: join(graph, "overlay", LAYER, "work"),
    graphRoot: graph,
    layer: LAYER,
    image: IMAGE,
    hasMappedLowers: false,
  };
  for (const options of [absolute(), relative(), ["rw", "lowerdir=l/A:l/B", ...relative()]])
    expect(findEngineRoot(rootfs, bundle, mounted(options))).toMatchObject(want);
});

test("a graph root that the engine names by a symlink", () => {
  symlinkSync(graph, join(place, "link"));
  const options = absolute().map((each) => each.replace(graph, join(place, "link")));
  expect(findEngineRoot(rootfs, bundle, mounted(options))?.graphRoot).toBe(graph);
});

test("layers are mapped if the mount says so, or did before a molecule took its place", () => {
  const mapped = [`lowerdir=${graph}/overlay/${LAYER}/mapped/0/l/A`, ...absolute()];
  expect(findEngineRoot(rootfs, bundle, mounted(mapped))?.hasMappedLowers).toBe(true);
  mkdirSync(join(graph, "overlay", LAYER, "mapped"));
  expect(findEngineRoot(rootfs, bundle, mounted(absolute()))?.hasMappedLowers).toBe(true);
});

test("what is no container of containers/storage is nothing", () => {
  expect(findEngineRoot(rootfs, "/var/tmp/buildah123", mounted(absolute()))).toBeUndefined();
  expect(findEngineRoot("/srv/root", bundle, mounted(absolute()))).toBeUndefined();
  record(graph, [{ id: ID, image: "", layer: LAYER }]);
  expect(findEngineRoot(rootfs, bundle, mounted(absolute()))).toBeUndefined();
});

test("a container's record may lie beside its bundle only, as with a transient store", () => {
  record(graph, []);
  const run = join(place, "run");
  record(run, [{ id: ID, image: IMAGE, layer: LAYER }], "volatile-containers.json");
  const there = join(run, "overlay-containers", ID, "userdata");
  expect(findEngineRoot(rootfs, there, mounted(absolute()))?.image as string).toBe(IMAGE);
});

test("what looks like one and does not fit is an error", () => {
  const find = (mounts: Mount[]) => () => findEngineRoot(rootfs, bundle, mounts);
  expect(find([])).toThrow(/nothing is mounted there/);
  expect(find(mounted([], { type: "fuse.fuse-overlayfs" }))).toThrow(/it is of type fuse.fuse-overlayfs/);
  expect(find(mounted(["upperdir=/else/diff", "workdir=/else/work"]))).toThrow(
    /its upperdir is \/else\/diff, not/,
  );
  expect(find(mounted(["upperdir=7", "workdir=8"]))).toThrow(/its upperdir is 7, not/);
  expect(find(mounted(["lowerdir=/a:/b"]))).toThrow(/its upperdir is missing/);
  record(graph, [{ id: ID, image: IMAGE, layer: "4".repeat(64) }]);
  expect(find(mounted(absolute()))).toThrow(/it is layer 2+, the engine's record says 4+/);
  record(graph, []);
  expect(find(mounted(absolute()))).toThrow(/the engine has no record of it/);
});

/** A layer with its short name, in a store of images or the graph root. */
function layer(store: string, name: string): string {
  mkdirSync(join(store, "overlay", name, "diff"), { recursive: true });
  mkdirSync(join(store, "overlay/l"), { recursive: true });
  symlinkSync(`../${name}/diff`, join(store, "overlay/l", name.toUpperCase()));
  return join(store, "overlay/l", name.toUpperCase());
}

test("lowers are the graph root's own, or of the image store that the mount names, also once it is gone", () => {
  const other = join(place, "öther");
  const run = join(place, "run");
  const [own, foreign] = [layer(graph, "own"), layer(other, "foreign")];
  writeFileSync(join(graph, "overlay", LAYER, "lower"), "l/OWN:l/FOREIGN");
  const find = (options: string[]) => {
    const [mount] = mounted(options);
    if (mount === undefined) throw new Error("no mount");
    return findLowers({ graphRoot: graph, layer: LAYER, mount }, run);
  };
  expect(() => find(["lowerdir=/run/molecule"])).toThrow(/Cannot find the image's layer l\/FOREIGN/);
  expect(find([`lowerdir=${own}:${foreign}`])).toEqual([own, foreign]);
  expect(find(["lowerdir=/run/molecule"])).toEqual([own, foreign]);
  expect(find([`lowerdir+=${foreign}`])).toEqual([own, foreign]);
});

test("directories that a change of owners left are lowers, too", () => {
  const own = layer(graph, "own");
  const older = ["diff1", "diff2"].map((name) => join(graph, "overlay/own", name));
  for (const path of [...older, join(graph, "overlay", LAYER, "diff1")]) mkdirSync(path);
  writeFileSync(join(graph, "overlay", LAYER, "lower"), "l/OWN");
  const [mount] = mounted([]);
  if (mount === undefined) throw new Error("no mount");
  expect(findLowers({ graphRoot: graph, layer: LAYER, mount }, place)).toEqual([
    join(graph, "overlay", LAYER, "diff1"),
    own,
    ...older,
  ]);
});
