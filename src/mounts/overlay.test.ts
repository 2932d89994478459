import { expect, test } from "bun:test";
import { overlayData } from "./overlay.ts";
import type { OverlayStep } from "./spec.ts";

const STEP: OverlayStep = {
  ...{ kind: "overlay", source: "atomfs:x", lower: [{ path: "/l" }], dataOnly: ["/s/objects"] },
  ...{ singleColon: false, metacopy: true, verity: true, options: [], attributes: ["rdonly"] },
};
const UPPER = { upperdir: "/u:p,p\\er", workdir: "/w" };

test.each([
  [STEP, "lowerdir=/l::/s/objects,metacopy=on,redirect_dir=on,verity=require"],
  [{ ...STEP, singleColon: true, verity: false }, "lowerdir=/l:/s/objects,metacopy=on,redirect_dir=on"],
  [{ ...STEP, metacopy: false, verity: false }, "lowerdir=/l::/s/objects"],
  [
    {
      ...{ ...STEP, metacopy: false, verity: false, dataOnly: [], upper: UPPER },
      options: ["volatile", 'context="a:b,c"', "xino=off"],
    },
    'lowerdir=/l,upperdir=/u\\:p\\,p\\\\er,workdir=/w,volatile,context="a:b,c",xino=off',
  ],
] as const)("option string %#", (step, text) => {
  expect(overlayData(step, ["/l"]).toString()).toBe(text);
});
