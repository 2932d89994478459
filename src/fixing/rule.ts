import { createHash } from "node:crypto";
import type { FixRule } from "../store/records.ts";

/**
 * Makes a rule and its id. The id covers what the rule does and to which images (so also its scope), not what people
 * call it: planning the same fix twice gives the same rule.
 */
export function makeRule(rule: Omit<FixRule, "id">): FixRule {
  const identity = {
    distribution: { id: rule.distribution.id, codename: rule.distribution.codename },
    architecture: rule.architecture,
    scope: { images: [...rule.scope.images].sort(), exclude: [...rule.scope.exclude].sort() },
    replacements: rule.replacements
      .map(({ package: name, architecture, version, atom }) => ({ name, architecture, version, atom }))
      .sort((a, b) => (a.name + a.architecture < b.name + b.architecture ? -1 : 1)),
  };
  const id = createHash("sha256").update(JSON.stringify(identity)).digest("hex").slice(0, 12);
  return { id, ...rule };
}
