import type { EngineContainer } from "../engines/engine.ts";
import type { FixPlan, PlannedImage } from "../fixing/plan.ts";
import type { FixVerification } from "../fixing/verify.ts";
import { bytesText, shortId, table } from "./output.ts";

/** A plan as its operator reads it: what changes where, what does not and why, which containers it reaches. */
export function planText(plan: FixPlan, containers: readonly EngineContainer[]): string {
  const lines = [`Plan ${plan.id}`];
  for (const rule of plan.rules) {
    lines.push(
      `  ${rule.title}, from ${rule.provenance} (${bytesText(plan.downloadedBytes)}), signatures verified`,
    );
  }
  for (const { fix, isNew, note } of plan.standing) {
    const packages = plan.rules.find((rule) => rule.id === fix)?.replacements ?? [];
    lines.push(
      `  fix ${fix}${isNew ? "" : ", which the store has already"}: ${packages.length} packages; ${note}`,
    );
  }
  for (const note of plan.notes) lines.push(`  note: ${note}`);
  if (plan.images.length > 0) {
    lines.push(
      "",
      table(
        ["IMAGE", "PACKAGE", "FROM", "TO", "VERDICT", "CONTAINERS"],
        plan.images.flatMap((image) => rows(image, containers)),
      ),
    );
  }
  lines.push(...reasonLines(plan.images));
  return lines.join("\n");
}

/** What a plan came to that changes no image. */
export function standingText({ standing }: FixPlan): string {
  if (standing.length === 0) return "Nothing to apply.";
  return standing
    .map(({ fix, isNew, note }) =>
      isNew ? `Fix ${fix} is in the store; ${note}.` : `Nothing to apply: the store has fix ${fix} already.`,
    )
    .join("\n");
}

/** So many reasons of one check are shown; --json has all. */
const REASONS_SHOWN = 3;

/** Why images are blocked and what else to know; what is true of several images is said once. */
function reasonLines(images: readonly PlannedImage[]): string[] {
  const imagesOf = new Map<string, Map<string, string[]>>();
  for (const image of images) {
    for (const { verdict, check, reason } of image.results) {
      const heading = `${verdict === "block" ? "blocked" : "warning"} (${check})`;
      const reasons = imagesOf.get(heading) ?? new Map<string, string[]>();
      imagesOf.set(heading, reasons);
      reasons.set(reason, [...(reasons.get(reason) ?? []), name(image)]);
    }
  }
  return [...imagesOf].flatMap(([heading, reasons]) => [
    ...[...reasons]
      .slice(0, REASONS_SHOWN)
      .map(([reason, names]) => `  ${heading}: ${reason}  [${names.join(", ")}]`),
    ...(reasons.size > REASONS_SHOWN
      ? [`  ${heading}: ${reasons.size - REASONS_SHOWN} more, see --json`]
      : []),
  ]);
}

function name(image: PlannedImage): string {
  return image.names[0] ?? shortId(image.config);
}

function rows(image: PlannedImage, containers: readonly EngineContainer[]): string[][] {
  const running = containers.filter((each) => each.imageId === image.config && each.pid !== undefined);
  const names = running.map((each) => each.name).join(",") || "-";
  if (image.changes.length === 0)
    return [[name(image), "-", "-", "-", `${image.verdict}: ${image.reason}`, names]];
  return image.changes.map((change) => [
    name(image),
    `${change.package}:${change.architecture}`,
    change.from,
    change.to,
    image.verdict,
    names,
  ]);
}

export function verificationText(verification: FixVerification): string {
  const lines = [`Fix ${verification.fix}  ${verification.title}`];
  for (const image of verification.images) {
    const verdict =
      image.problems.length === 0
        ? `${image.filesChecked} files and the package database are right`
        : "WRONG";
    lines.push(
      `  image ${image.names[0] ?? shortId(image.config)}  molecule ${shortId(image.molecule)}: ${verdict}`,
    );
    lines.push(...image.problems.map((problem) => `    ${problem}`));
  }
  for (const container of verification.containers) {
    const proof = {
      mapped: `${container.processes} process(es), ${container.provenMappings} mapping(s) of the new files measured, none of the old`,
      root: `${container.processes} process(es) map neither; proof: root is the current molecule, started ${container.startedAt ?? "?"}`,
      none: "NOT PROVEN",
    }[container.proof];
    lines.push(`  container ${container.name}: ${proof}`);
    lines.push(...container.problems.map((problem) => `    ${problem}`));
  }
  if (verification.isUnused) lines.push("  nothing to prove: no image here needs it");
  else lines.push(verification.isFixed ? "  fixed" : "  NOT fixed everywhere");
  return lines.join("\n");
}

/** What brings the new molecule to these containers, which run: an engine's restart, or Kubernetes for kubelet's. */
export function nextSteps(running: readonly Pick<EngineContainer, "kubernetesPod">[]): string[] {
  const ofPods = running.filter(({ kubernetesPod }) => kubernetesPod !== undefined).length;
  return [
    ...(running.length > ofPods ? ["Next: atomfs restart --outdated"] : []),
    ...(ofPods > 0
      ? [
          "Next, for pods: atomfs report here, then where kubectl may restart them: atomfs restart --outdated --cluster",
        ]
      : []),
  ];
}
