import { expect, test } from "bun:test";
import { parseRuntimeConfig } from "../formats/oci/runtime-config/parse.ts";
import { cgroupOwner } from "./cgroup-owner.ts";

const MAPS = [{ containerID: 0, hostID: 100_000, size: 65_536 }];

type Shape = { readonly options?: readonly string[]; readonly namespaces?: readonly object[] };

function owner({ options = ["rw"], namespaces = [] }: Shape, layout: "v1" | "hybrid" | "v2" = "v2"): unknown {
  const document = {
    ociVersion: "1.0.2",
    root: { path: "rootfs" },
    process: { args: ["x"], cwd: "/", user: { uid: 33, gid: 33 } },
    mounts: [{ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options }],
    linux: { namespaces, uidMappings: MAPS, gidMappings: MAPS },
  };
  return cgroupOwner(parseRuntimeConfig(Buffer.from(JSON.stringify(document))), layout);
}

const CGROUP = { type: "cgroup" };
const USER = { type: "user" };

test.each<[string, Shape, number | undefined]>([
  ["its own namespace and writable: the process's user", { namespaces: [CGROUP] }, 33],
  ["read-only", { namespaces: [CGROUP], options: ["nosuid", "ro"] }, undefined],
  ["recursively read-only", { namespaces: [CGROUP], options: ["rro"] }, undefined],
  ["the host's cgroup namespace", {}, undefined],
  ["another's cgroup namespace", { namespaces: [{ ...CGROUP, path: "/proc/1/ns/cgroup" }] }, undefined],
  ["in a user namespace: as the host knows the user", { namespaces: [CGROUP, USER] }, 100_033],
  [
    "in a user namespace, read-only: root's, not the container's",
    { namespaces: [CGROUP, USER], options: ["ro"] },
    0,
  ],
])("%s", (_, shape, want) => {
  expect(owner(shape)).toBe(want);
});

test("groups of v1 are given to nobody", () => {
  expect(owner({ namespaces: [CGROUP] }, "v1")).toBeUndefined();
  expect(owner({ namespaces: [CGROUP, USER] }, "hybrid")).toBeUndefined();
});
