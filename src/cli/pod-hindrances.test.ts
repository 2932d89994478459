import { describe, expect, test } from "bun:test";
import { fromText, parseTreePath, type TreePath } from "../core/bytestring.ts";
import { type CureFacts, hindranceOf } from "./pod-hindrances.ts";

const path = (text: string): TreePath => parseTreePath(fromText(text)) as TreePath;
const LIBRARY = path("usr/lib/libdemo.so.1");
const STATUS = path("var/lib/dpkg/status");

/** A pod under CRI-O with crio-lxc that was started before the fix. */
const PLAIN: CureFacts = {
  isUnderCrioLxc: true,
  wasLeftAlone: false,
  source: "engine",
  isPublished: false,
  outdatedPolicy: "replace",
  hasFixes: true,
  root: { status: "outdated", shadowed: [], onVolumes: [] },
};
const RUNC: CureFacts = { ...PLAIN, isUnderCrioLxc: false };
const with_ = (base: CureFacts, more: Partial<CureFacts>): CureFacts => ({ ...base, ...more });

describe("a restart brings the current molecule", () => {
  test.each([
    ["under crio-lxc", PLAIN],
    ["under runc, from AtomFS's image store", with_(RUNC, { source: "image-store", isPublished: true })],
    [
      "of whose root it cannot be told, if the image store has the image",
      with_(RUNC, { source: undefined, isPublished: true }),
    ],
    [
      "under crio-lxc and policy warn, from the image store",
      with_(PLAIN, { outdatedPolicy: "warn", source: "image-store" }),
    ],
    ["that crio-lxc made before there was a store", with_(PLAIN, { wasLeftAlone: true })],
    ["after a revert, whatever the runtime", with_(RUNC, { hasFixes: false })],
    ["after a revert, whatever the policy", with_(PLAIN, { hasFixes: false, outdatedPolicy: "warn" })],
    [
      "that wrote over fixed files",
      with_(PLAIN, { root: { status: "shadowed", shadowed: [LIBRARY], onVolumes: [] } }),
    ],
    [
      "of which a volume covers only some",
      with_(PLAIN, { root: { status: "shadowed", shadowed: [LIBRARY, STATUS], onVolumes: [LIBRARY] } }),
    ],
    [
      "that is outdated, though a volume covers some of it",
      with_(PLAIN, { root: { status: "outdated", shadowed: [LIBRARY], onVolumes: [LIBRARY] } }),
    ],
  ])("to a pod %s", (_, facts) => expect(hindranceOf(facts)).toBeUndefined());
});

describe("a restart does not help", () => {
  test.each([
    ["another runtime", "runtime", RUNC],
    [
      "another runtime, nothing told of the root, an image that only the engine has",
      "runtime",
      with_(RUNC, { source: undefined }),
    ],
    [
      "another runtime, though the image is in the image store, too",
      "runtime",
      with_(RUNC, { isPublished: true }),
    ],
    [
      "another runtime and a root that could not be told",
      "runtime",
      with_(RUNC, { root: { status: "unknown", shadowed: [], onVolumes: [] } }),
    ],
    [
      "an engine without containers/storage",
      "engine-root",
      with_(PLAIN, { wasLeftAlone: true, source: "elsewhere" }),
    ],
    ["policy warn", "policy-warn", with_(PLAIN, { outdatedPolicy: "warn" })],
    ["policy refuse", "policy-refuse", with_(PLAIN, { outdatedPolicy: "refuse" })],
    [
      "policy refuse, also from the image store",
      "policy-refuse",
      with_(PLAIN, { outdatedPolicy: "refuse", source: "image-store" }),
    ],
    [
      "a policy that cannot be used",
      "policy-bad",
      with_(PLAIN, { outdatedPolicy: undefined, hasFixes: false }),
    ],
    [
      "a volume",
      "volume",
      with_(PLAIN, { root: { status: "shadowed", shadowed: [LIBRARY], onVolumes: [LIBRARY] } }),
    ],
    [
      "a volume over all that tells the molecules apart",
      "volume",
      with_(PLAIN, { root: { status: "unknown", shadowed: [LIBRARY], onVolumes: [LIBRARY] } }),
    ],
  ] as const)("%s: %s", (_, word, facts) => expect(hindranceOf(facts)).toBe(word));
});
