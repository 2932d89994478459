import type { SystemdScope } from "./systemd-plan.ts";
import type { SystemdProperty } from "./systemd-property.ts";

/** Calls of systemd's manager (org.freedesktop.systemd1(5)) as arguments of busctl(1), which speaks D-Bus for us. */

const MANAGER = [
  "org.freedesktop.systemd1",
  "/org/freedesktop/systemd1",
  "org.freedesktop.systemd1.Manager",
] as const;
/** Signals that the unit ends in failure if it is there already: it is another container's. */
const MODE = "fail";

/** @param pid the first process of the scope, which must have one */
export function startScopeCall({ unit, properties }: SystemdScope, pid: number): string[] {
  const all: readonly SystemdProperty[] = [
    ...properties,
    { name: "PIDs", signature: "au", values: ["1", String(pid)] },
  ];
  return call("StartTransientUnit", "ssa(sv)a(sa(sv))", unit, MODE, ...propertyWords(all), "0");
}

export function setPropertiesCall(unit: string, properties: readonly SystemdProperty[]): string[] {
  // Until the next boot: the unit does not outlive it.
  return call("SetUnitProperties", "sba(sv)", unit, "true", ...propertyWords(properties));
}

export function stopUnitCall(unit: string): string[] {
  return call("StopUnit", "ss", unit, "replace");
}

export function resetFailedCall(unit: string): string[] {
  return call("ResetFailedUnit", "s", unit);
}

function call(method: string, signature: string, ...words: readonly string[]): string[] {
  // After "--" nothing that somebody named is taken for an option.
  return ["--system", "--quiet", "--timeout=30", "--", "call", ...MANAGER, method, signature, ...words];
}

function propertyWords(properties: readonly SystemdProperty[]): string[] {
  const words = properties.flatMap(({ name, signature, values }) => [name, signature, ...values]);
  return [String(properties.length), ...words];
}
