import { expect, test } from "bun:test";
import { AtomfsError } from "../../core/errors.ts";
import { parseContainerIds, parseContainers, parseImages } from "./output.ts";

const ID = "1".repeat(64);
const IMAGE = "2".repeat(64);

/** The parts that matter of what Podman 4.3.1 prints. */
const RUNNING = {
  Id: ID,
  Name: "web",
  Image: IMAGE,
  ImageName: "localhost/web:1.0",
  State: { Status: "running", Running: true, Pid: 4321, StartedAt: "2026-11-23T19:16:43.8Z" },
  Pod: "",
  IsInfra: false,
  Config: { Labels: { PODMAN_SYSTEMD_UNIT: "web.service" } },
  HostConfig: { AutoRemove: true, RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 } },
  GraphDriver: { Name: "overlay", Data: { LowerDir: "/l", UpperDir: "/u", WorkDir: "/w", MergedDir: "/m" } },
};

test("a running container", () => {
  expect(parseContainers(JSON.stringify([RUNNING]))).toEqual([
    {
      container: {
        engine: "podman",
        id: ID,
        name: "web",
        imageId: IMAGE as never,
        imageName: "localhost/web:1.0",
        state: "running",
        pid: 4321,
        startedAt: "2026-11-23T19:16:43.8Z",
        restartPolicy: "on-failure",
        removedAtStop: true,
        pod: undefined,
        isInfra: false,
        systemdUnit: "web.service",
        kubernetesPod: undefined,
        runtimeHandler: undefined,
      },
      upperDir: "/u",
      mergedDir: "/m",
    },
  ]);
});

test("a container that never ran and has neither image nor labels", () => {
  const state = { Status: "created", Pid: 0, StartedAt: "0001-01-01T00:00:00Z" };
  const bare = {
    Id: ID,
    Name: "bare",
    Image: "",
    State: state,
    Pod: ID,
    IsInfra: true,
    Config: { Labels: null },
  };
  expect(parseContainers(JSON.stringify([bare]))[0]).toMatchObject({
    container: {
      imageId: undefined,
      imageName: "",
      state: "created",
      pid: undefined,
      startedAt: undefined,
      restartPolicy: "no",
      pod: ID,
      isInfra: true,
      systemdUnit: undefined,
    },
    upperDir: undefined,
    mergedDir: undefined,
  });
});

test("a state of a newer Podman is not taken for another", () => {
  const state = { ...RUNNING.State, Status: "hibernating" };
  expect(parseContainers(JSON.stringify([{ ...RUNNING, State: state }]))[0]?.container.state).toBe("other");
});

test("Go's empty lists", () => {
  expect(parseContainers("null")).toEqual([]);
  expect(parseContainerIds("[]")).toEqual([]);
  expect(parseImages("null")).toEqual([]);
});

test("images, with and without names", () => {
  const json = JSON.stringify([
    { Id: IMAGE, Names: ["localhost/web:1.0"], Digest: "sha256:ab", ReadOnly: true },
    { Id: ID, Names: null },
  ]);
  expect(parseImages(json)).toEqual([
    { imageId: IMAGE as never, names: ["localhost/web:1.0"], manifestDigest: "sha256:ab", readOnly: true },
    { imageId: ID as never, names: [], manifestDigest: undefined, readOnly: false },
  ]);
});

test("what is no answer of Podman fails as such", () => {
  const without = (key: string): unknown => ({ ...RUNNING, [key]: undefined });
  const containers = ["", "{", "{}", "[1]", "[null]", "[{}]", JSON.stringify([{ ...RUNNING, Image: "web" }])];
  for (const key of ["Id", "Name", "State"]) containers.push(JSON.stringify([without(key)]));
  for (const json of containers)
    expect(failureOf(() => parseContainers(json))).toMatchObject({ kind: "failed" });
  for (const json of ["", "[{}]", "[7]"])
    expect(failureOf(() => parseContainerIds(json))).toMatchObject({ kind: "failed" });
  for (const json of ["x", '[{"Id":"zz"}]', `[{"Id":"${ID}","Names":[1]}]`])
    expect(failureOf(() => parseImages(json))).toMatchObject({ kind: "failed" });
});

function failureOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error instanceof AtomfsError ? error : undefined;
  }
  return undefined;
}
