import { AtomfsError } from "../core/errors.ts";
import type { DeviceRule } from "../formats/oci/runtime-config/types.ts";
import type { CgroupWrite } from "./cgroup-target.ts";
import type { CgroupHierarchy } from "./host-facts.ts";

/**
 * What every container may do, whatever the list says (config-linux.md, "Default Devices"; runc's own list): make any node, use
 * null, zero, full, random, urandom, tty, ptmx, net/tun and pseudoterminals.
 */
const DEFAULTS: readonly string[] = [
  "c *:* m",
  "b *:* m",
  "c 1:3 rwm",
  "c 1:5 rwm",
  "c 1:7 rwm",
  "c 1:8 rwm",
  "c 1:9 rwm",
  "c 5:0 rwm",
  "c 5:2 rwm",
  "c 10:200 rwm",
  "c 136:* rwm",
];

/** An ordered list of rules brought to the form that the kernel keeps: one default and the exceptions from it. */
export type DeviceState = {
  readonly allowed: boolean;
  /** "c 1:3" to its access; each the other way round than the default. */
  readonly exceptions: ReadonlyMap<string, string>;
};

/**
 * @throws AtomfsError "bad-data" for a rule that takes a part out of an earlier one, as 8:1 out of 8:*, or *:1 out of 8:*: an
 * exception has no exceptions, so the kernel would not do it, and say nothing
 */
export function deviceState(rules: readonly DeviceRule[]): DeviceState {
  let allowed = false;
  let exceptions = new Map<string, string>();
  const apply = (allow: boolean, device: string, access: string, name: string): void => {
    if (allow !== allowed) {
      exceptions.set(device, letters((exceptions.get(device) ?? "") + access));
      return;
    }
    for (const [other, had] of exceptions) {
      const common = [...had].filter((letter) => access.includes(letter));
      if (common.length === 0 || !overlap(device, other)) continue;
      if (!covers(device, other))
        throw new AtomfsError(
          "bad-data",
          `Cannot use config.json: ${name} takes ${device} out of the rule for ${other}`,
        );
      const left = [...had].filter((letter) => !access.includes(letter)).join("");
      if (left === "") exceptions.delete(other);
      else exceptions.set(other, left);
    }
  };
  for (const [i, rule] of rules.entries()) {
    const name = `linux.resources.devices[${i}]`;
    const numbers = `${rule.major ?? "*"}:${rule.minor ?? "*"}`;
    if (rule.type !== "all") {
      apply(rule.allow, `${rule.type === "char" ? "c" : "b"} ${numbers}`, rule.access, name);
    } else if (rule.access === "rwm" && numbers === "*:*") {
      allowed = rule.allow;
      exceptions = new Map();
    } else {
      apply(rule.allow, `c ${numbers}`, rule.access, name);
      apply(rule.allow, `b ${numbers}`, rule.access, name);
    }
  }
  for (const rule of DEFAULTS) {
    const [type = "", numbers = "", access = ""] = rule.split(" ");
    apply(true, `${type} ${numbers}`, access, "the default rule");
  }
  return { allowed, exceptions };
}

function letters(access: string): string {
  return ["r", "w", "m"].filter((letter) => access.includes(letter)).join("");
}

/** Does a rule for `wide` also speak of `narrow`? Both as "c 1:3", each number or "*". */
function covers(wide: string, narrow: string): boolean {
  const [type, major, minor] = wide.split(/[ :]/);
  const [otherType, otherMajor, otherMinor] = narrow.split(/[ :]/);
  return (
    type === otherType && (major === "*" || major === otherMajor) && (minor === "*" || minor === otherMinor)
  );
}

/** Is there a device that both speak of? */
function overlap(a: string, b: string): boolean {
  const others = b.split(/[ :]/);
  return a.split(/[ :]/).every((part, i) => part === "*" || others[i] === "*" || part === others[i]);
}

/** The default first: it empties the kernel's list. */
export function v1DeviceWrites(
  state: DeviceState,
  { mountPoint }: CgroupHierarchy,
  path: string,
): CgroupWrite[] {
  const write = (allow: boolean, value: string): CgroupWrite => ({
    file: `${mountPoint}${path}/devices.${allow ? "allow" : "deny"}`,
    value,
    onError: "fail",
  });
  const exceptions = [...state.exceptions].map(([device, access]) =>
    write(!state.allowed, `${device} ${access}`),
  );
  return [write(state.allowed, "a"), ...exceptions];
}

/** liblxc makes an eBPF program of these lines, which stays when liblxc is gone. */
export function lxcDeviceLines(state: DeviceState): [string, string][] {
  const key = (allow: boolean): string => `lxc.cgroup2.devices.${allow ? "allow" : "deny"}`;
  const exceptions = [...state.exceptions].map(([device, access]): [string, string] => [
    key(!state.allowed),
    `${device} ${access}`,
  ]);
  return [[key(state.allowed), "a"], ...exceptions];
}
