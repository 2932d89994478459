import type { ByteString } from "../core/bytestring.ts";
import { compileGlob } from "../core/glob.ts";
import { compareVersions } from "../formats/dpkg/version.ts";
import type { FixRule, ImageRecord, Replacement, Scope } from "../store/records.ts";

/** An image whose config has this label is never touched; the value is shown as the reason. */
export const OPT_OUT_LABEL = "io.atomfs.fix";
const OPT_OUT_VALUES = new Set(["never", "off", "false", "hold"]);

export function optOut(image: ImageRecord): string | undefined {
  const value = image.labels[OPT_OUT_LABEL];
  return value !== undefined && OPT_OUT_VALUES.has(value.toLowerCase())
    ? `${OPT_OUT_LABEL}=${value}`
    : undefined;
}

/** A scope has an image if one of its names matches `images` (or that is empty) and none matches `exclude`. */
export function inScope(scope: Scope, names: readonly string[]): boolean {
  const matches = (globs: readonly string[]): boolean =>
    globs
      .map(compileGlob)
      .some((glob) => names.some((name) => glob(name) || glob(name.replace(/^localhost\//, ""))));
  return (scope.images.length === 0 || matches(scope.images)) && !matches(scope.exclude);
}

export type InstalledVersion = {
  readonly name: string;
  readonly architecture: string;
  readonly version: string;
};

/** The replacements of one rule that apply to an image with these packages: those that bring a higher version. */
export function applicableReplacements(
  rule: FixRule,
  image: ImageRecord,
  names: readonly string[],
  installed: readonly InstalledVersion[],
): Replacement[] {
  const { distribution } = image;
  if (distribution.id !== rule.distribution.id || distribution.codename !== rule.distribution.codename)
    return [];
  if (image.architecture !== rule.architecture) return [];
  if (optOut(image) !== undefined || !inScope(rule.scope, names)) return [];
  return rule.replacements.filter((replacement) => {
    const present = installed.find(
      (each) => each.name === replacement.package && each.architecture === replacement.architecture,
    );
    return present !== undefined && isNewer(replacement.version, present.version);
  });
}

export function isNewer(version: string, than: string): boolean {
  return compareVersions(version as ByteString, than as ByteString) > 0;
}

export type ImageFixes = {
  /** Rules that change this image, ascending by id. Of two rules for one package only the higher version counts. */
  readonly fixes: readonly string[];
  /** One for each package, ascending by package. */
  readonly replacements: readonly (Replacement & { readonly fix: string })[];
};

/** Which of the rules apply to an image, and what they come to together: the order of the rules has no meaning. */
export function matchFixes(
  rules: Iterable<FixRule>,
  image: ImageRecord,
  names: readonly string[],
  installed: readonly InstalledVersion[],
): ImageFixes {
  const best = new Map<string, Replacement & { readonly fix: string }>();
  for (const rule of [...rules].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    for (const replacement of applicableReplacements(rule, image, names, installed)) {
      const key = `${replacement.package}:${replacement.architecture}`;
      const other = best.get(key);
      if (other === undefined || isNewer(replacement.version, other.version))
        best.set(key, { ...replacement, fix: rule.id });
    }
  }
  const replacements = [...best].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, replacement]) => replacement);
  return { fixes: [...new Set(replacements.map((each) => each.fix))].sort(), replacements };
}

/** Would the rule bring an image another version of a package than these other rules do? */
export function bringsMore(
  rule: FixRule,
  others: readonly FixRule[],
  image: ImageRecord,
  names: readonly string[],
  installed: readonly InstalledVersion[],
): boolean {
  const versionsUnder = (rules: readonly FixRule[]): string[] =>
    matchFixes(rules, image, names, installed).replacements.map(
      (each) => `${each.package}:${each.architecture} ${each.version}`,
    );
  const without = new Set(versionsUnder(others));
  return versionsUnder([...others, rule]).some((version) => !without.has(version));
}
