import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type FilledImages, fillStore } from "../../tests/support/filled-store.ts";
import { digestOf, TemporaryStore } from "../../tests/support/temporary-store.ts";
import type { Sha256 } from "../core/digest.ts";
import { readEngineImages, writeEngineImages } from "../store/engine-images.ts";
import { dropReleasedImages, type RemovedImage, removeImages } from "./drop-images.ts";
import { readEngineHoldings } from "./held-images.ts";
import { publishedImages, publishImage } from "./podman/image-store.ts";

const NOW = new Date("2026-01-02T03:04:05Z");
const DROP = { command: "test", now: NOW };

let temporary: TemporaryStore;
let images: FilledImages;
let storage: TemporaryStore;
const savedConf = process.env["CONTAINERS_STORAGE_CONF"];

beforeEach(() => {
  temporary = new TemporaryStore();
  images = fillStore(temporary);
  storage = new TemporaryStore();
  const conf = storage.path("storage.conf");
  writeFileSync(
    conf,
    `[storage]\ndriver = "overlay"\ngraphroot = "${storage.root}"\nrunroot = "${storage.root}/run"\n`,
  );
  process.env["CONTAINERS_STORAGE_CONF"] = conf;
  engineHas({});
});

afterEach(() => {
  if (savedConf === undefined) delete process.env["CONTAINERS_STORAGE_CONF"];
  else process.env["CONTAINERS_STORAGE_CONF"] = savedConf;
  temporary[Symbol.dispose]();
  storage[Symbol.dispose]();
});

/** @param held.volatile images of containers that need not outlive a reboot */
function engineHas(held: {
  readonly images?: readonly Sha256[];
  readonly containers?: readonly Sha256[];
  readonly volatile?: readonly Sha256[];
}): void {
  const write = (folder: string, name: string, entries: readonly unknown[]): void => {
    mkdirSync(storage.path(folder), { recursive: true });
    writeFileSync(storage.path(folder, name), JSON.stringify(entries));
  };
  const containerOf = (image: Sha256) => ({ id: digestOf("1"), image, layer: digestOf("2") });
  write(
    "overlay-images",
    "images.json",
    (held.images ?? []).map((id) => ({ id, names: [] })),
  );
  write("overlay-layers", "layers.json", []);
  write("overlay-containers", "containers.json", (held.containers ?? []).map(containerOf));
  write("overlay-containers", "volatile-containers.json", (held.volatile ?? []).map(containerOf));
}

function remove(...references: string[]): RemovedImage[] {
  return removeImages(temporary.store, references, DROP);
}

const knownImages = (): Sha256[] => [...temporary.store.state.images.keys()];

function publish(): void {
  publishImage({
    storeDir: temporary.path("image-store"),
    configDigest: images.web.config,
    configBytes: Buffer.from("config web"),
    manifestDigest: temporary.store.state.images.get(images.web.config)?.manifest as Sha256,
    manifestBytes: Buffer.from("manifest web"),
    names: [...temporary.store.state.names.keys()],
    created: "2026-01-01T00:00:00Z",
    diffTarget: "/nowhere",
  });
}

describe("images remove", () => {
  test("a name goes, with the last one the image", () => {
    temporary.transact({ op: "name-set", name: "localhost/web:1.0", config: images.web.config });
    expect(remove("web:1.0")).toEqual([
      { config: images.web.config, names: ["localhost/web:1.0"], isGone: false },
    ]);
    expect(knownImages()).toEqual([images.web.config]);
    expect(remove("web")).toEqual([
      { config: images.web.config, names: ["localhost/web:latest"], isGone: true },
    ]);
    expect(knownImages()).toEqual([]);
    expect(temporary.list("current")).toEqual([]);
  });

  test("all names at once, or the id, take the image along", () => {
    temporary.transact({ op: "name-set", name: "localhost/web:1.0", config: images.web.config });
    expect(remove("web", "web:1.0", "web")[0]?.isGone).toBe(true);
    expect(knownImages()).toEqual([]);
  });

  test("an id takes all names along", () => {
    expect(remove(images.web.config.slice(0, 12))).toEqual([
      { config: images.web.config, names: ["localhost/web:latest"], isGone: true },
    ]);
  });

  test("what isn't there ends it before anything is removed", () => {
    expect(() => remove("web", "none")).toThrow(expect.objectContaining({ kind: "not-found" }));
    expect(knownImages()).toHaveLength(1);
  });

  test.each(["containers", "volatile"] as const)("an image of %s stays, its further names may go", (kind) => {
    engineHas({ [kind]: [images.web.config] });
    temporary.transact({ op: "name-set", name: "localhost/web:1.0", config: images.web.config });
    expect(remove("web:1.0")[0]?.isGone).toBe(false);
    expect(() => remove("web")).toThrow(expect.objectContaining({ kind: "blocked" }));
    expect(knownImages()).toHaveLength(1);
  });

  test("engines no longer see the image, nor the name", () => {
    temporary.transact({ op: "name-set", name: "localhost/web:1.0", config: images.web.config });
    publish();
    remove("web:1.0");
    expect(publishedImages(temporary.path("image-store"))[0]?.names).toEqual(["localhost/web:latest"]);
    remove("web");
    expect(publishedImages(temporary.path("image-store"))).toEqual([]);
  });
});

describe("images that engines let go", () => {
  const drop = (dryRun = false, graceMs = 0) =>
    dropReleasedImages(
      temporary.store,
      { ...DROP, graceMs, dryRun },
      readEngineHoldings(temporary.store.layout),
    );

  beforeEach(() => {
    temporary.transact({ op: "name-removed", name: "localhost/web:latest" });
  });

  test("go after the grace time, and engines no longer see them", () => {
    publish();
    expect(drop(false, 1000).waiting).toHaveLength(1);
    expect(readEngineImages(temporary.store.layout).size).toBe(1);
    expect(drop().expired).toEqual([images.web.config]);
    expect(knownImages()).toEqual([]);
    expect(publishedImages(temporary.path("image-store"))).toEqual([]);
    expect(readEngineImages(temporary.store.layout).size).toBe(0);
  });

  test("a dry run writes nothing", () => {
    expect(drop(true).expired).toEqual([images.web.config]);
    expect(knownImages()).toHaveLength(1);
    expect(temporary.list().includes("engine-images.json")).toBe(false);
  });

  test("stay while the engine has the image, or a container of it", () => {
    for (const held of ["images", "containers", "volatile"] as const) {
      engineHas({ [held]: [images.web.config] });
      expect(drop().expired).toEqual([]);
    }
  });

  test("what AtomFS itself shows to the engine is not held by the engine", () => {
    publish();
    const conf = storage.path("storage.conf");
    const store = temporary.path("image-store");
    writeFileSync(
      conf,
      `[storage]\ndriver = "overlay"\ngraphroot = "${storage.root}"\n[storage.options]\nadditionalimagestores = ["${store}"]\n`,
    );
    expect(drop().expired).toEqual([images.web.config]);
  });

  test("another engine's own storage holds its images, and is looked at, too", () => {
    const crio = temporary.path("crio");
    for (const [folder, name, entries] of [
      ["overlay-images", "images.json", [{ id: images.web.config, layer: "", names: [] }]],
      ["overlay-containers", "containers.json", []],
    ] as const) {
      mkdirSync(join(crio, folder), { recursive: true });
      writeFileSync(join(crio, folder, name), JSON.stringify(entries));
    }
    const released = (): readonly string[] =>
      dropReleasedImages(
        temporary.store,
        { ...DROP, graceMs: 0, dryRun: false },
        readEngineHoldings(temporary.store.layout, [crio]),
      ).expired;
    expect(released()).toEqual([]);
    // What kubelet's own image garbage collection does.
    writeFileSync(join(crio, "overlay-images/images.json"), "[]");
    expect(released()).toEqual([images.web.config]);
  });

  test("a storage that cannot be read ends it, and nothing is dropped", () => {
    writeFileSync(storage.path("overlay-images/images.json"), "[{");
    expect(() => drop()).toThrow(expect.objectContaining({ kind: "bad-data" }));
    expect(knownImages()).toHaveLength(1);
  });

  test("a storage of another driver holds nothing of AtomFS", () => {
    writeEngineImages(temporary.store.layout, new Map());
    writeFileSync(storage.path("storage.conf"), '[storage]\ndriver = "vfs"\n');
    expect(drop().expired).toEqual([images.web.config]);
  });
});
