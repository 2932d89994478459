import { createHash } from "node:crypto";
import { type ByteString, displayText } from "../core/bytestring.ts";
import { RLIMITS } from "../formats/oci/runtime-config/types.ts";
import { capabilityNames } from "./capability-plan.ts";
import { ATTRIBUTE } from "./mount-options.ts";
import type { Action, Capabilities, MountAttributes } from "./operations.ts";
import type { DescriptorRequest, LaunchPlan, MountIdMap } from "./plan.ts";

/** A plan as text, one decision a line: for `--debug` and for tests. Values of the environment are shown; it is not for the log. */
export function describePlan(plan: LaunchPlan): string {
  const { cgroups, state } = plan;
  const sections: [string, readonly string[]][] = [
    ["state", [`${state.id} ${state.ociVersion} bundle=${state.bundle} root=${state.rootfs}`]],
    ["lxc", plan.lxcConfig.map(([key, value]) => `${key} = ${value}`)],
    ["join", plan.join.map(({ type, path }) => `${type} ${path}`)],
    ["descriptors", plan.descriptors.map((descriptor, i) => `${i} ${describeDescriptor(descriptor)}`)],
    ["program", plan.program.operations.map(({ does, onError }) => describeAction(does) + suffix(onError))],
    ["cgroup directories", cgroups.directories],
    ["cgroup controllers", cgroups.controllers],
    ["other cgroup controllers", cgroups.otherControllers],
    ["cgroup owner", plan.cgroupOwner === undefined ? [] : [String(plan.cgroupOwner)]],
    [
      "cgroup writes",
      cgroups.writes.map(({ file, value, onError }) => `${file} = ${value}${suffix(onError)}`),
    ],
    ["hooks at create", [...plan.hooks.prestart, ...plan.hooks.createRuntime].map(({ path }) => path)],
    ["hooks after start", plan.hooks.poststart.map(({ path }) => path)],
    ["hooks after stop", plan.hooks.poststop.map(({ path }) => path)],
    ["warnings", [...plan.warnings, ...cgroups.warnings]],
  ];
  return sections
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => `${title}:\n${lines.map((line) => `  ${line}\n`).join("")}`)
    .join("");
}

function suffix(onError: string): string {
  return onError === "fail" ? "" : ` [${onError}]`;
}

function describeIdMap({ uids, gids, recursive }: MountIdMap): string {
  const text = (maps: MountIdMap["uids"]): string =>
    maps.map(({ containerId, hostId, size }) => `${containerId}-${hostId}-${size}`).join("#");
  return `${recursive ? "ridmap" : "idmap"}=uids=${text(uids)};gids=${text(gids)}`;
}

function describeDescriptor(descriptor: DescriptorRequest): string {
  switch (descriptor.kind) {
    case "bind-source": {
      const { path, recursive, attributes, idMap } = descriptor;
      return words(
        "bind-source",
        displayText(path),
        recursive ? "recursive" : "",
        describeAttributes(attributes),
        idMap === undefined ? "" : describeIdMap(idMap),
      );
    }
    case "cgroup-directory":
      return words(
        "cgroup-directory",
        displayText(descriptor.path),
        describeAttributes(descriptor.attributes),
      );
    case "device-node":
      return `device-node ${displayText(descriptor.path)} ${descriptor.type} ${descriptor.major}:${descriptor.minor}`;
    case "console-socket":
    case "runtime-tree":
      return descriptor.kind;
    case "filesystem": {
      const { type, source, options, attributes } = descriptor;
      const shown = options.map(([key, value]) => (value === "" ? key : `${key}=${value}`)).join(",");
      return words("filesystem", type, "from", source, shown, describeAttributes(attributes));
    }
    case "namespace":
      return `namespace ${descriptor.path}`;
    case "inherited":
      return `inherited ${descriptor.number}`;
  }
}

function words(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(" ");
}

function describeAttributes({ set, clear, recursive }: MountAttributes): string {
  return words(bits("+", set), bits("-", clear), recursive ? "recursive" : "");
}

const FLAGS = ["readonly", "nosuid", "nodev", "noexec", "nodiratime", "nosymfollow"] as const;

function bits(sign: "+" | "-", mask: number): string {
  const flags: string[] = FLAGS.filter((name) => (mask & ATTRIBUTE[name]) !== 0);
  const field = mask & ATTRIBUTE.atimeField;
  if (sign === "-" && field !== 0) flags.push("atime");
  if (sign === "+" && field === ATTRIBUTE.noatime) flags.push("noatime");
  if (sign === "+" && field === ATTRIBUTE.strictatime) flags.push("strictatime");
  return flags.map((name) => sign + name).join(" ");
}

function describeCapabilities(capabilities: Capabilities | undefined): string {
  if (capabilities === undefined) return "as they are";
  const { bounding, effective, permitted, inheritable, ambient } = capabilities;
  const sets = Object.entries({ bounding, effective, permitted, inheritable, ambient });
  return sets
    .map(
      ([name, mask]) =>
        `${name}=${capabilityNames(mask)
          .map((full) => full.slice("CAP_".length).toLowerCase())
          .join(",")}`,
    )
    .join(" ");
}

function list(items: readonly ByteString[]): string {
  return items.map((item) => JSON.stringify(displayText(item))).join(" ");
}

/** Every field of an operation in its order; bytes by digest, bit masks by name. */
function describeAction(action: Action): string {
  switch (action.kind) {
    case "mount-filesystem": {
      const options = action.options.map(
        ([key, value]) => displayText(key) + (value === "" ? "" : `=${displayText(value)}`),
      );
      const extra = words(action.copyUp ? "copy-up" : "", action.keepMode ? "keep-mode" : "");
      return words(
        `mount-filesystem ${displayText(action.type)} from ${displayText(action.source)} at ${displayText(action.path)}`,
        options.length === 0 ? "" : `(${options.join(" ")})`,
        bits("+", action.attributes),
        extra,
      );
    }
    case "set-mount-attributes":
      return words("set-mount-attributes", displayText(action.path), describeAttributes(action.attributes));
    case "set-identity":
      return `set-identity ${action.uid}:${action.gid} ${describeCapabilities(action.capabilities)}`;
    case "load-seccomp": {
      const digest = createHash("sha256").update(action.filter).digest("hex").slice(0, 16);
      return `load-seccomp ${action.filter.length} bytes, sha256 ${digest}, flags ${action.flags}`;
    }
    case "set-rlimit": {
      const name = Object.entries(RLIMITS).find(([, number]) => number === action.resource)?.[0];
      return `set-rlimit ${name ?? action.resource} ${action.soft} ${action.hard}`;
    }
    case "execute":
      return `execute ${list(action.args)} with ${list(action.env)} and descriptors [${action.descriptors.join(" ")}]`;
    case "run-hook":
      return `run-hook ${displayText(action.path)} ${list(action.args)} with ${list(action.env)} for ${action.timeoutMs} ms`;
    case "find-executable":
      return `find-executable ${JSON.stringify(displayText(action.name))} in ${displayText(action.searchPath)} as ${action.uid}:${action.gid} (${action.groups.join(" ")})`;
    case "set-umask":
      return `set-umask 0${action.mask.toString(8)}`;
    case "make-directory":
      return `make-directory ${displayText(action.path)} 0${action.mode.toString(8)}`;
    case "make-node":
      return `make-node ${displayText(action.path)} ${action.type} ${action.major}:${action.minor} 0${action.mode.toString(8)} ${action.uid}:${action.gid}`;
    default: {
      const { kind, ...fields } = action;
      const shown = Object.entries(fields).map(
        ([name, value]) =>
          `${name}=${typeof value === "string" ? displayText(value as ByteString) : JSON.stringify(value)}`,
      );
      return words(kind, ...shown);
    }
  }
}
