import { expect, test } from "bun:test";
import { parseContainerList, parseInspected, parseRuntimeHandlers, parseStorageRoots } from "./output.ts";

const ID = "1e355acbb6e4a08fa03c45d09968936bfe8907b10be048a7e0557097b297abc8";
const POD = "52e6a60a08c53685fd886e995df7c5dda2027ba1457056569cf19fc422856d2f";
const IMAGE = "2761212810aa91bfec4fff2ad5dac11c46f29e54fffba89bbe10c3b1bd683240";

/** As crictl 1.36 prints it of a CRI-O 1.36. */
const LISTED = {
  id: ID,
  podSandboxId: POD,
  metadata: { name: "shop", attempt: 0 },
  image: { image: IMAGE },
  imageRef: "10.99.0.1:5000/demo/web@sha256:89f2",
  state: "CONTAINER_RUNNING",
  labels: {
    "io.kubernetes.container.name": "shop",
    "io.kubernetes.pod.name": "shop-678f5f776-mshth",
    "io.kubernetes.pod.namespace": "default",
    "io.kubernetes.pod.uid": "b7e8ab3f-9676-4f70-b935-998eefde9508",
  },
  imageId: IMAGE,
};
const list = (...containers: readonly object[]): string => JSON.stringify({ containers });

test("a container of a pod is named by its pod, too", () => {
  expect(parseContainerList(list(LISTED))).toEqual([
    {
      engine: "cri",
      id: ID,
      name: "default/shop-678f5f776-mshth/shop",
      imageId: IMAGE as never,
      imageName: "10.99.0.1:5000/demo/web@sha256:89f2",
      state: "running",
      restartPolicy: "kubelet",
      removedAtStop: false,
      pod: POD,
      isInfra: false,
      systemdUnit: undefined,
      kubernetesPod: {
        namespace: "default",
        name: "shop-678f5f776-mshth",
        uid: "b7e8ab3f-9676-4f70-b935-998eefde9508",
      },
    },
  ]);
});

test("a container that crictl itself made has no pod of Kubernetes", () => {
  const [own] = parseContainerList(list({ ...LISTED, labels: {}, state: "CONTAINER_EXITED" }));
  expect(own).toMatchObject({ name: "shop", state: "exited", kubernetesPod: undefined });
});

test("containerd says sha256: before an image's id", () => {
  expect(parseContainerList(list({ ...LISTED, imageId: `sha256:${IMAGE}` }))[0]?.imageId).toBe(
    IMAGE as never,
  );
});

test("no container at all", () => {
  expect(parseContainerList("{}")).toEqual([]);
});

const INSPECTED = {
  status: { id: ID, image: { image: "registry/demo/web:1.0" }, startedAt: "2026-11-23T23:03:47.1Z" },
  info: { pid: 27225, sandboxID: POD },
};

test("one inspected container is an object, several are a list", () => {
  const one = { id: ID, pid: 27225, startedAt: "2026-11-23T23:03:47.1Z", imageName: "registry/demo/web:1.0" };
  expect(parseInspected(JSON.stringify(INSPECTED))).toEqual([one]);
  expect(parseInspected(JSON.stringify([INSPECTED, INSPECTED]))).toEqual([one, one]);
});

test("a container that has ended has no process", () => {
  expect(parseInspected(JSON.stringify({ ...INSPECTED, info: { pid: 0 } }))[0]?.pid).toBeUndefined();
});

test.each(["", "[]", '{"containers":{}}', '{"containers":[1]}', list({ ...LISTED, id: "../x" })])(
  "what crictl never says is an error: %s",
  (answer) => expect(() => parseContainerList(answer)).toThrow(/Cannot understand what crictl says/),
);

test("an image id that is none is an error", () => {
  expect(() => parseContainerList(list({ ...LISTED, imageId: "latest" }))).toThrow(/image id/);
});

test("a pod's runtime handler; the default runtime has no name", () => {
  const items = [{ id: POD, runtimeHandler: "crio-lxc" }, { id: ID, runtimeHandler: "" }, { id: IMAGE }];
  expect([...parseRuntimeHandlers(JSON.stringify({ items })).values()]).toEqual(["crio-lxc", "", ""]);
  expect(parseRuntimeHandlers("{}").size).toBe(0);
  expect(() => parseRuntimeHandlers('{"items":[1]}')).toThrow("Cannot understand what crictl says");
});

const filesystem = (mountpoint: string): object => ({
  timestamp: "1732406400000000000",
  fsId: { mountpoint },
  usedBytes: { value: "1" },
});
const filesystems = (images: readonly object[], containers: readonly object[] = []): string =>
  JSON.stringify({ status: { imageFilesystems: images, containerFilesystems: containers } });

test.each([
  ["one graph root for both", [filesystem("/s/overlay-images")], [filesystem("/s/overlay-images")], ["/s"]],
  [
    "images elsewhere",
    [filesystem("/i/overlay-images")],
    [filesystem("/s/overlay-containers")],
    ["/i", "/s"],
  ],
  [
    "containerd's snapshotter",
    [filesystem("/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs")],
    [],
    [],
  ],
  ["nothing that is a path", [filesystem("overlay-images"), {}, filesystem("")], [], []],
])("where images are: %s", (_, images, containers, roots) =>
  expect(parseStorageRoots(filesystems(images, containers))).toEqual(roots),
);

test("an engine that tells nothing of filesystems has no root, and what is no answer is an error", () => {
  expect(parseStorageRoots("{}")).toEqual([]);
  expect(() => parseStorageRoots("[]")).toThrow("Cannot understand what crictl says");
});
