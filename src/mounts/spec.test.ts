import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseVerityDigest } from "../core/digest.ts";
import { chooseRow, type MountCapabilities, type MountRequest, moleculeOfSource, planMount } from "./spec.ts";

const DIGEST = parseVerityDigest("ab".repeat(32));
const UPPER = { upperdir: "/c/diff", workdir: "/c/work" };
const REQUEST: MountRequest = {
  molecule: DIGEST,
  erofsPath: "/s/molecules/m.erofs",
  objectsDir: "/s/objects",
  treesDir: "/s/trees",
  target: "/t",
};
const FULL: MountCapabilities = {
  erofs: "file",
  layers: "fd",
  dataOnly: "plain",
  singleColon: true,
  secondLevel: true,
  verity: "none",
};
/** Debian 12's 6.1. */
const OLD: MountCapabilities = { ...FULL, erofs: "loop", layers: "path", dataOnly: "none" };

const ABOVE = ["metacopy=off", "redirect_dir=off", "index=off", "nfs_export=off"];
const IMAGE = { kind: "erofs", source: "/s/molecules/m.erofs", backing: "file" } as const;
const TREE = { kind: "tree", path: `/s/trees/${DIGEST}` } as const;
const MOVE = { kind: "move", target: "/t" } as const;
const BELOW = {
  kind: "overlay",
  source: `atomfs:${DIGEST}`,
  lower: [{ step: 0 }],
  dataOnly: ["/s/objects"],
  singleColon: false,
  metacopy: true,
  verity: false,
  options: [],
  attributes: ["rdonly"],
} as const;
const TOP = {
  ...{ kind: "overlay", source: `atomfs:${DIGEST}`, lower: [{ step: 1 }], dataOnly: [] },
  ...{ singleColon: false, metacopy: false, verity: false, upper: UPPER, options: ABOVE, attributes: [] },
} as const;

test.each([
  ["one-overlay", FULL, true, [IMAGE, { ...TOP, lower: [{ step: 0 }], dataOnly: ["/s/objects"] }]],
  ["one-overlay", FULL, false, [IMAGE, { ...BELOW, metacopy: false }]],
  ["two-levels", { ...FULL, dataOnly: "metacopy" }, true, [IMAGE, BELOW, TOP]],
  ["two-levels", { ...FULL, dataOnly: "metacopy" }, false, [IMAGE, BELOW]],
  ["single-colon", OLD, true, [{ ...IMAGE, backing: "loop" }, { ...BELOW, singleColon: true }, TOP]],
  [
    "single-colon",
    OLD,
    false,
    [
      { ...IMAGE, backing: "loop" },
      { ...BELOW, singleColon: true },
    ],
  ],
  ["tree", { ...FULL, erofs: "none" }, true, [TREE, { ...TOP, lower: [{ step: 0 }] }]],
  ["tree", { ...FULL, erofs: "none" }, false, [TREE]],
] as const)("row %s of %j, with an upper: %p", (row, capabilities, hasUpper, steps) => {
  const request = hasUpper ? { ...REQUEST, upper: UPPER } : REQUEST;
  expect<unknown>(planMount(request, capabilities)).toEqual({
    row,
    molecule: DIGEST,
    layers: capabilities.layers,
    steps: [...steps, MOVE],
  });
});

describe("where a second level is refused", () => {
  const noStack = { ...FULL, secondLevel: false } as const;
  test.each([
    [noStack, true, "one-overlay"],
    [{ ...noStack, dataOnly: "metacopy" }, false, "two-levels"],
    [{ ...noStack, dataOnly: "metacopy" }, true, "tree"],
    [{ ...noStack, dataOnly: "none" }, true, "tree"],
    [{ ...noStack, dataOnly: "none" }, false, "single-colon"],
    [{ ...FULL, dataOnly: "none", singleColon: false }, false, "tree"],
  ] as const)("%j, with an upper %p: %s", (capabilities, hasUpper, row) => {
    expect(chooseRow(capabilities, hasUpper)).toBe(row);
  });
});

describe("verity", () => {
  function verityOf(capabilities: MountCapabilities, hasUpper: boolean): (boolean | string)[] {
    const { row, steps } = planMount(hasUpper ? { ...REQUEST, upper: UPPER } : REQUEST, capabilities);
    return [row, ...steps.flatMap((step) => (step.kind === "overlay" ? [step.verity] : []))];
  }

  test("is required on the overlay that sees the objects", () => {
    expect(verityOf({ ...FULL, verity: "plain" }, true)).toEqual(["one-overlay", true]);
    expect(verityOf({ ...FULL, verity: "plain" }, false)).toEqual(["one-overlay", true]);
    expect(verityOf({ ...FULL, dataOnly: "metacopy", verity: "metacopy" }, true)).toEqual([
      ...["two-levels", true, false],
    ]);
  });

  test("goes to a level of its own where it would bring metacopy to the upper", () => {
    expect(verityOf({ ...FULL, verity: "metacopy" }, true)).toEqual(["two-levels", true, false]);
    expect(verityOf({ ...FULL, verity: "metacopy" }, false)).toEqual(["one-overlay", true]);
    expect(verityOf({ ...FULL, verity: "metacopy", secondLevel: false }, true)).toEqual([
      ...["one-overlay", false],
    ]);
  });
});

test("an engine's options: its own are kept, ours are ours, flags of the mount become attributes", () => {
  const options = [
    ...["rw", "nodev", "relatime", "nosuid", "volatile", 'context="u:r:t:s0:c1,c2"', "xino=off", "uuid=on"],
    ...["lowerdir=l/A:l/B", "lowerdir+=/", "datadir+=/o", "upperdir=/x", "workdir=/y", "metacopy=on"],
    ...["redirect_dir=on", "index=on", "nfs_export=on", "verity=off", "seclabel"],
  ];
  const spec = planMount({ ...REQUEST, upper: { ...UPPER, options } }, FULL);
  expect(spec.steps[1]).toMatchObject({
    options: [...ABOVE, "volatile", 'context="u:r:t:s0:c1,c2"', "xino=off", "uuid=on"],
    attributes: ["nodev", "nosuid"],
  });
  for (const bad of ["", "=x", "a\0b"]) {
    expect(() => planMount({ ...REQUEST, upper: { ...UPPER, options: [bad] } }, FULL)).toThrow(
      /Cannot use the mount option/,
    );
  }
});

test("whatever a machine can do: an upper never meets metacopy or redirect_dir, steps use earlier ones only", () => {
  const capabilities = fc.record({
    erofs: fc.constantFrom("file", "loop", "none"),
    layers: fc.constantFrom("fd", "path"),
    dataOnly: fc.constantFrom("plain", "metacopy", "none"),
    singleColon: fc.boolean(),
    secondLevel: fc.boolean(),
    verity: fc.constantFrom("plain", "metacopy", "none"),
  } as const);
  const upper = fc.record({
    ...{ upperdir: fc.constant("/c/diff"), workdir: fc.constant("/c/work") },
    options: fc.array(fc.constantFrom("metacopy=on", "redirect_dir=on", "redirect_dir=follow", "nodev")),
  });
  fc.assert(
    fc.property(capabilities, fc.option(upper, { nil: undefined }), (caps, wanted) => {
      const spec = planMount(wanted === undefined ? REQUEST : { ...REQUEST, upper: wanted }, caps);
      for (const [index, step] of spec.steps.entries()) {
        if (step.kind !== "overlay") continue;
        if (step.upper !== undefined) {
          expect(step.metacopy).toBe(false);
          expect(step.options.filter((o) => /^(metacopy|redirect_dir)/.test(o))).toEqual(ABOVE.slice(0, 2));
        }
        for (const layer of step.lower) if ("step" in layer) expect(layer.step).toBeLessThan(index);
      }
      expect(spec.steps.at(-1)).toEqual(MOVE);
      const overlays = spec.steps.filter((step) => step.kind === "overlay").length;
      expect(overlays).toBeLessThanOrEqual(wanted === undefined ? 1 : 2);
      if (overlays === 2) expect(caps.secondLevel).toBe(true);
    }),
  );
});

test.each([FULL, { ...FULL, dataOnly: "metacopy" }, OLD, { ...FULL, erofs: "none" }] as const)(
  "an id map goes to the lowest mount, no overlay takes one: %j",
  (capabilities) => {
    const request = { ...REQUEST, upper: UPPER, idmap: "/proc/7/ns/user" };
    const maps = planMount(request, capabilities).steps.map((step) => "idmap" in step && step.idmap);
    expect(maps).toEqual(maps.map((_, index) => index === 0 && "/proc/7/ns/user"));
  },
);

test("moleculeOfSource knows our sources and no others", () => {
  expect(moleculeOfSource(`atomfs:${DIGEST}`)).toBe(DIGEST);
  expect(moleculeOfSource(`atomfs:${DIGEST}0`)).toBeUndefined();
  expect(moleculeOfSource("overlay")).toBeUndefined();
});
