import { parseSha256 } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import type { ContainerState, EngineContainer, EngineImage } from "../engine.ts";
import { type Fields, isFields, part, text } from "../json-fields.ts";

/** A container as `podman container inspect` tells it, with the directories of its root. */
export type InspectedContainer = {
  readonly container: EngineContainer;
  /** The overlay's writable directory; undefined for a container without an overlay. */
  readonly upperDir: string | undefined;
  /** The mounted root; undefined while it isn't mounted. */
  readonly mergedDir: string | undefined;
};

const STATES: ReadonlyMap<string, ContainerState> = new Map([
  ["created", "created"],
  ["configured", "created"],
  ["initialized", "created"],
  ["running", "running"],
  ["stopping", "running"],
  ["paused", "paused"],
  ["exited", "exited"],
  ["stopped", "exited"],
]);

const GO_ZERO_TIME = "0001-01-01T00:00:00Z";

function unexpected(what: string): AtomfsError {
  return new AtomfsError("failed", `Cannot understand what podman says: ${what}`);
}

function parseList(json: string, what: string): readonly unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new AtomfsError("failed", `Cannot understand what podman says: ${what} is no JSON`, { cause });
  }
  // Go writes an empty list as null.
  if (value === null) return [];
  if (!Array.isArray(value)) throw unexpected(`${what} is no list`);
  return value;
}

function required(fields: Fields, key: string, what: string): string {
  const value = text(fields, key);
  if (value === undefined) throw unexpected(`${what} without ${key}`);
  return value;
}

function imageId(value: string, what: string): EngineImage["imageId"] {
  try {
    return parseSha256(value.replace(/^sha256:/, ""));
  } catch (cause) {
    throw new AtomfsError("failed", `Cannot understand what podman says: the image id of ${what}`, { cause });
  }
}

/** @throws AtomfsError "failed" for anything but the JSON of `podman container inspect` */
export function parseContainers(json: string): InspectedContainer[] {
  return parseList(json, "the list of containers").map((value) => {
    if (!isFields(value)) throw unexpected("a container is no object");
    const id = required(value, "Id", "a container");
    if (!/^[0-9a-f]{64}$/.test(id)) throw unexpected(`a container with the id "${id.slice(0, 80)}"`);
    const state = part(value, "State");
    const status = required(state, "Status", `container ${id}`);
    const pid = state["Pid"];
    const started = text(state, "StartedAt");
    const image = text(value, "Image");
    const host = part(value, "HostConfig");
    const labels = part(part(value, "Config"), "Labels");
    const directories = part(part(value, "GraphDriver"), "Data");
    return {
      container: {
        engine: "podman",
        id,
        name: required(value, "Name", `container ${id}`),
        imageId: image === undefined ? undefined : imageId(image, `container ${id}`),
        imageName: text(value, "ImageName") ?? "",
        state: STATES.get(status) ?? "other",
        pid: typeof pid === "number" && Number.isSafeInteger(pid) && pid > 0 ? pid : undefined,
        startedAt: started === GO_ZERO_TIME ? undefined : started,
        restartPolicy: text(part(host, "RestartPolicy"), "Name") ?? "no",
        removedAtStop: host["AutoRemove"] === true,
        pod: text(value, "Pod"),
        isInfra: value["IsInfra"] === true,
        systemdUnit: text(labels, "PODMAN_SYSTEMD_UNIT"),
        kubernetesPod: undefined,
        runtimeHandler: undefined,
      },
      upperDir: text(directories, "UpperDir"),
      mergedDir: text(directories, "MergedDir"),
    };
  });
}

/** Ids from `podman ps --format json`. @throws AtomfsError "failed" */
export function parseContainerIds(json: string): string[] {
  return parseList(json, "the list of containers").map((value) => {
    if (!isFields(value)) throw unexpected("a container is no object");
    return required(value, "Id", "a container");
  });
}

/** @throws AtomfsError "failed" for anything but the JSON of `podman images` */
export function parseImages(json: string): EngineImage[] {
  return parseList(json, "the list of images").map((value) => {
    if (!isFields(value)) throw unexpected("an image is no object");
    const id = required(value, "Id", "an image");
    const names = value["Names"] ?? [];
    if (!Array.isArray(names) || !names.every((name) => typeof name === "string")) {
      throw unexpected(`the names of image ${id.slice(0, 80)}`);
    }
    return {
      imageId: imageId(id, "an image"),
      names,
      manifestDigest: text(value, "Digest"),
      readOnly: value["ReadOnly"] === true,
    };
  });
}
