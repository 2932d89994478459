import { parseSha256 } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import type { ContainerState, EngineContainer, KubernetesPod } from "../engine.ts";
import { type Fields, isFields, part, text } from "../json-fields.ts";

/*
 * What crictl prints: the messages of the Container Runtime Interface (k8s.io/cri-api, runtime/v1) as protobuf's JSON.
 */

const STATES: ReadonlyMap<string, ContainerState> = new Map([
  ["CONTAINER_CREATED", "created"],
  ["CONTAINER_RUNNING", "running"],
  ["CONTAINER_EXITED", "exited"],
]);

/** What kubelet labels its containers with (k8s.io/kubelet, pkg/types/labels.go). */
const LABEL = {
  container: "io.kubernetes.container.name",
  pod: "io.kubernetes.pod.name",
  namespace: "io.kubernetes.pod.namespace",
  uid: "io.kubernetes.pod.uid",
} as const;

/** A container as `crictl ps` lists it: without its process. */
export type ListedContainer = Omit<EngineContainer, "pid" | "startedAt" | "runtimeHandler">;

/** What only `crictl inspect` tells. */
export type InspectedProcess = Pick<EngineContainer, "id" | "pid" | "startedAt" | "imageName">;

/** @throws AtomfsError "failed" for anything but the answer of `crictl ps --output json` */
export function parseContainerList(json: string): ListedContainer[] {
  const answer = parse(json, "the list of containers");
  const list = isFields(answer) ? (answer["containers"] ?? []) : undefined;
  if (!Array.isArray(list)) throw unexpected("the list of containers is no list");
  return list.map((value: unknown) => {
    if (!isFields(value)) throw unexpected("a container is no object");
    const id = containerId(value);
    const image = text(value, "imageId");
    const labels = part(value, "labels");
    const pod = podOf(labels);
    const own = text(labels, LABEL.container) ?? text(part(value, "metadata"), "name") ?? id.slice(0, 12);
    return {
      engine: "cri",
      id,
      name: pod === undefined ? own : `${pod.namespace}/${pod.name}/${own}`,
      imageId: image === undefined ? undefined : imageId(image, id),
      imageName: text(value, "imageRef") ?? "",
      state: STATES.get(text(value, "state") ?? "") ?? "other",
      restartPolicy: "kubelet",
      removedAtStop: false,
      pod: text(value, "podSandboxId"),
      isInfra: false,
      systemdUnit: undefined,
      kubernetesPod: pod,
    };
  });
}

/** @throws AtomfsError "failed" for anything but the answer of `crictl inspect`, for one container or several */
export function parseInspected(json: string): InspectedProcess[] {
  const answer = parse(json, "a container");
  return (Array.isArray(answer) ? answer : [answer]).map((value: unknown) => {
    if (!isFields(value)) throw unexpected("a container is no object");
    const status = part(value, "status");
    const pid = part(value, "info")["pid"];
    return {
      id: containerId(status),
      pid: typeof pid === "number" && Number.isSafeInteger(pid) && pid > 0 ? pid : undefined,
      startedAt: text(status, "startedAt"),
      imageName: text(part(status, "image"), "image") ?? "",
    };
  });
}

/**
 * The runtime handler of each pod's sandbox, by the sandbox's id; empty for the default runtime.
 * @throws AtomfsError "failed" for anything but the answer of `crictl pods --output json`
 */
export function parseRuntimeHandlers(json: string): ReadonlyMap<string, string> {
  const answer = parse(json, "the list of pods");
  const list = isFields(answer) ? (answer["items"] ?? []) : undefined;
  if (!Array.isArray(list)) throw unexpected("the list of pods is no list");
  return new Map(
    list.map((value: unknown) => {
      if (!isFields(value)) throw unexpected("a pod is no object");
      return [text(value, "id") ?? "", text(value, "runtimeHandler") ?? ""] as const;
    }),
  );
}

/** What CRI-O says to have its images and containers in: `GRAPH ROOT/overlay-images`, `.../overlay-containers`. */
const IN_STORAGE = /^(\/.+)\/overlay-(?:images|containers)$/;

/** @throws AtomfsError "failed" for anything but the answer of `crictl imagefsinfo` */
export function parseStorageRoots(json: string): string[] {
  const answer = parse(json, "the filesystems of images");
  if (!isFields(answer)) throw unexpected("the filesystems of images are no object");
  const status = part(answer, "status");
  const lists = [status["imageFilesystems"], status["containerFilesystems"]].flatMap((each: unknown) =>
    Array.isArray(each) ? each : [],
  );
  const roots = lists.flatMap((each: unknown) => {
    const mountpoint = isFields(each) ? text(part(each, "fsId"), "mountpoint") : undefined;
    return IN_STORAGE.exec(mountpoint ?? "")?.[1] ?? [];
  });
  return [...new Set(roots)];
}

function podOf(labels: Fields): KubernetesPod | undefined {
  const name = text(labels, LABEL.pod);
  const namespace = text(labels, LABEL.namespace);
  const uid = text(labels, LABEL.uid);
  return name === undefined || namespace === undefined || uid === undefined
    ? undefined
    : { namespace, name, uid };
}

function containerId(fields: Fields): string {
  const id = text(fields, "id") ?? "";
  if (!/^[0-9a-f]{64}$/.test(id)) throw unexpected(`a container with the id "${id.slice(0, 80)}"`);
  return id;
}

function imageId(value: string, container: string): EngineContainer["imageId"] {
  try {
    return parseSha256(value.replace(/^sha256:/, ""));
  } catch (cause) {
    throw new AtomfsError("failed", `${MISUNDERSTOOD}: the image id of container ${container}`, { cause });
  }
}

const MISUNDERSTOOD = "Cannot understand what crictl says";

function unexpected(what: string): AtomfsError {
  return new AtomfsError("failed", `${MISUNDERSTOOD}: ${what}`);
}

function parse(json: string, what: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new AtomfsError("failed", `${MISUNDERSTOOD}: ${what} is no JSON`, { cause });
  }
}
