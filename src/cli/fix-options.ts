import type { Command } from "commander";
import { AtomfsError } from "../core/errors.ts";
import type { DebianRelease, WantedPackage } from "../fixing/candidates.ts";

/** What `fix` and `fix plan` are for: which images, and whether images to come are. */
export type TargetOptions = {
  readonly image: readonly string[];
  readonly exclude: readonly string[];
  readonly release?: string;
  readonly arch?: string;
};
export type FixOptions = TargetOptions & { readonly yes?: boolean };

/** Every name has a tag: a glob without one means all of them. */
function collect(glob: string, previous: readonly string[]): readonly string[] {
  return [...previous, /:[^/]*$/.test(glob) ? glob : `${glob}:*`];
}

export function withTarget(command: Command): Command {
  return command
    .option(
      "--image <glob>",
      "only images with such a name, of any tag if it has none (repeatable)",
      collect,
      [],
    )
    .option("--exclude <glob>", "no image with such a name, likewise (repeatable)", collect, [])
    .option("--release <codename>", "for all images of this Debian release, also if none is here yet")
    .option("--arch <architecture>", "with --release: Debian's name of it (default: this machine's)");
}

/** Options between `fix` and the name of its step: commander gives them to `fix`. */
function optionsBefore(step: Command): FixOptions {
  return step.parent?.opts<FixOptions>() ?? { image: [], exclude: [] };
}

/** Those of `fix plan`, with what stands before `plan`. @throws AtomfsError "usage" */
export function withOptionsBefore(options: TargetOptions, step: Command): TargetOptions {
  const { yes, ...before } = optionsBefore(step);
  if (yes === true) throw misplaced("--yes", step);
  return {
    ...before,
    ...options,
    image: [...before.image, ...options.image],
    exclude: [...before.exclude, ...options.exclude],
  };
}

/** What a step doesn't have must not be left out silently. @throws AtomfsError "usage" */
export function refuseOptionsBefore(step: Command): void {
  const { image, exclude, release, arch, yes } = optionsBefore(step);
  if (image.length > 0) throw misplaced("--image", step);
  if (exclude.length > 0) throw misplaced("--exclude", step);
  if (release !== undefined) throw misplaced("--release", step);
  if (arch !== undefined) throw misplaced("--arch", step);
  if (yes === true) throw misplaced("--yes", step);
}

function misplaced(option: string, step: Command): AtomfsError {
  return new AtomfsError("usage", `\`fix ${step.name()}\` has no option ${option}`);
}

/** @throws AtomfsError "usage" */
export function parsePackage(argument: string): WantedPackage {
  const [, name, version] = /^([^=\s]+)(?:=([^=\s]+))?$/.exec(argument) ?? [];
  if (name !== undefined) return { package: name, ...(version === undefined ? {} : { version }) };
  throw new AtomfsError("usage", `"${argument}" is not a package: want NAME or NAME=VERSION`);
}

/** Debian's names of architectures that the machine's programs name in another way. */
const DEBIAN_NAMES: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "i386",
  arm: "armhf",
  ppc64: "ppc64el",
};

/**
 * The release that a fix is for, or undefined if it is for the images that are here.
 * @throws AtomfsError "usage" for what is no codename or architecture: no image would ever have it
 */
export function releaseOf({ release, arch }: TargetOptions): DebianRelease | undefined {
  if (release === undefined) {
    if (arch === undefined) return undefined;
    throw new AtomfsError("usage", "--arch says more about --release, which is missing");
  }
  if (!/^[a-z]+$/.test(release)) {
    throw new AtomfsError("usage", `"${release}" is not the codename of a release`, {
      hints: [
        "it is VERSION_CODENAME of /etc/os-release in the images: bookworm, not bookworm-security or 12",
      ],
    });
  }
  const architecture = arch ?? DEBIAN_NAMES[process.arch] ?? process.arch;
  if (architecture === "all" || !/^[a-z0-9][a-z0-9-]*$/.test(architecture)) {
    throw new AtomfsError("usage", `"${architecture}" is not Debian's name of an architecture`, {
      hints: ["`dpkg --print-architecture` in an image says it: amd64, arm64"],
    });
  }
  return { codename: release, architecture };
}
