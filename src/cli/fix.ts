import { join } from "node:path";
import type { Command } from "commander";
import { AtomfsError, EXIT_CODES } from "../core/errors.ts";
import type { EngineContainer } from "../engines/engine.ts";
import { applyFix, revertFix } from "../fixing/apply.ts";
import { type FixPlan, planFix } from "../fixing/plan.ts";
import { openRepositories } from "../fixing/repository.ts";
import { readPlan } from "../fixing/stored-plan.ts";
import { verifyFix } from "../fixing/verify.ts";
import { inScope } from "../molecules/fix-matching.ts";
import type { Store } from "../store/store.ts";
import { type Context, failWith, listContainers, openStore, tryDeploy } from "./context.ts";
import {
  type FixOptions,
  parsePackage,
  refuseOptionsBefore,
  releaseOf,
  type TargetOptions,
  withOptionsBefore,
  withTarget,
} from "./fix-options.ts";
import { nextSteps, planText, standingText, verificationText } from "./fix-text.ts";
import { shortId, table } from "./output.ts";

export function registerFix(program: Command, context: () => Context): void {
  const fix = withTarget(
    program
      .command("fix")
      .description("replace a package in all images that have it: plan, show, ask, apply")
      .argument("<package>", "name[=version] of a package, or of a source package"),
  )
    .option("-y, --yes", "apply without asking")
    .action((name: string, options: FixOptions) => runFix(context(), name, options));
  withTarget(
    fix
      .command("plan")
      .description("print what a fix would do, and its id")
      .argument("<package>", "name[=version]"),
  ).action((name: string, options: TargetOptions, command: Command) =>
    runPlan(context(), name, withOptionsBefore(options, command)),
  );
  const plain = (name: string, description: string): Command =>
    fix
      .command(name)
      .description(description)
      .hook("preAction", (_, command) => refuseOptionsBefore(command));
  plain("apply", "do exactly what a plan says")
    .argument("<plan>", "the plan's id")
    .action((id: string) => runApply(context(), id));
  plain("list", "list the fixes of the store").action(() => runList(context()));
  plain("verify", "prove from the host that a fix is live in every running container")
    .argument("[fix]", "the fix's id (default: all)")
    .action((id: string | undefined) => runVerify(context(), id));
  plain("revert", "take a fix out: the molecules of before come back, bit for bit")
    .argument("<fix>", "the fix's id")
    .action((id: string) => runRevert(context(), id));
}

function makePlan(
  context: Context,
  store: Store,
  argument: string,
  options: TargetOptions,
): Promise<FixPlan> {
  const wanted = parsePackage(argument);
  const release = releaseOf(options);
  // Images to come may match.
  if (release === undefined) requireMatch(store, options.image);
  return planFix(
    {
      ...wanted,
      ...(release === undefined ? {} : { release }),
      scope: { images: options.image, exclude: options.exclude },
      command: context.commandLine,
    },
    {
      store,
      openRepositories: (codename, architecture) =>
        openRepositories({
          aptRoot: context.aptRoot,
          cacheDir: join(store.layout.cache, "apt"),
          codename,
          architecture,
          now: new Date(),
          signal: context.signal,
        }),
      signal: context.signal,
      onProgress: context.output.progress,
    },
  );
}

/** A typing error in --image would look like a fix that nothing needs. */
function requireMatch(store: Store, globs: readonly string[]): void {
  const names = [...store.state.names.keys()];
  for (const glob of globs) {
    if (inScope({ images: [glob], exclude: [] }, names)) continue;
    throw new AtomfsError("not-found", `No image has a name that matches "${glob.replace(/:\*$/, "")}"`, {
      hints: ["`atomfs images` lists the names"],
    });
  }
}

/** A new node has no store before its first image. */
function openStoreFor(context: Context, options: TargetOptions): Store {
  return openStore(context, { create: releaseOf(options) !== undefined });
}

async function runFix(context: Context, argument: string, options: FixOptions): Promise<void> {
  using store = openStoreFor(context, options);
  const plan = await makePlan(context, store, argument, options);
  const containers = await listContainers(context, { mustWork: false });
  const applies =
    plan.images.some((image) => image.verdict === "apply") || plan.standing.some((each) => each.isNew);
  if (!context.output.json) context.output.say(planText(plan, containers));
  if (applies && options.yes !== true) {
    if (!(await context.output.confirm("Apply?", context.signal))) {
      context.output.say(`Nothing was changed. \`atomfs fix apply ${plan.id}\` applies it later.`);
      return;
    }
  }
  const applied = applies ? applyAndDeploy(store, plan) : { applyMs: 0, deployMs: 0, deployError: undefined };
  finish(context, plan, containers, applied);
}

/** Journal first: from then on new containers get the fix; then what the engines see follows. */
function applyAndDeploy(store: Store, plan: FixPlan): Applied {
  const start = performance.now();
  applyFix(store, plan, new Date());
  const applied = performance.now();
  const deployError = tryDeploy(store);
  return { applyMs: applied - start, deployMs: performance.now() - applied, deployError };
}

type Applied = { readonly applyMs: number; readonly deployMs: number; readonly deployError: unknown };

function finish(
  context: Context,
  plan: FixPlan,
  containers: readonly EngineContainer[],
  { applyMs, deployMs, deployError }: Applied,
): void {
  const changed = new Set(
    plan.images.filter((image) => image.verdict === "apply").map((image) => image.config),
  );
  const outdated = containers.filter(
    (each) => each.pid !== undefined && changed.has(each.imageId ?? ("" as never)),
  );
  const { timings } = plan;
  const answer = {
    plan: plan.id,
    fixes: plan.rules.map(({ id, title, provenance }) => ({ id, title, provenance })),
    images: plan.images,
    standing: plan.standing,
    outdated: outdated.map(({ id, name, imageName }) => ({ id, name, imageName })),
    notes: plan.notes,
    timings: { ...timings, applyMs, deployMs, fixMs: timings.composeMs + applyMs + deployMs },
  };
  if (plan.images.some((image) => image.verdict === "blocked")) context.setExitCode(EXIT_CODES.blocked);
  context.output.answer(answer, () => {
    if (changed.size === 0) return standingText(plan);
    const seconds = (answer.timings.fixMs / 1000).toFixed(2);
    const rules = answer.fixes.map((each) => each.id).join(", ");
    const lines = [
      `Fix ${rules} is in ${changed.size} image${changed.size === 1 ? "" : "s"} (${seconds} s without download).`,
    ];
    if (outdated.length > 0) {
      lines.push(
        `${outdated.length} running container(s) still have the old molecule: ${outdated.map((each) => each.name).join(", ")}`,
      );
      lines.push(...nextSteps(outdated), "Then: atomfs fix verify");
    }
    return lines.join("\n");
  });
  failWith(deployError);
}

async function runPlan(context: Context, argument: string, options: TargetOptions): Promise<void> {
  using store = openStoreFor(context, options);
  const plan = await makePlan(context, store, argument, options);
  const containers = await listContainers(context, { mustWork: false });
  if (plan.images.some((image) => image.verdict === "blocked")) context.setExitCode(EXIT_CODES.blocked);
  context.output.answer(plan, () => planText(plan, containers));
}

async function runApply(context: Context, id: string): Promise<void> {
  using store = openStore(context);
  const plan = readPlan(store, id);
  const containers = await listContainers(context, { mustWork: false });
  finish(context, plan, containers, applyAndDeploy(store, plan));
}

function runList(context: Context): void {
  using store = openStore(context);
  const { state } = store;
  const fixes = [...state.fixes.values()].map((rule) => ({
    ...rule,
    images: [...state.images.keys()].filter((config) =>
      state.generations.get(config)?.at(-1)?.fixes.includes(rule.id),
    ),
  }));
  context.output.answer(fixes, (all) =>
    table(
      ["FIX", "WHAT", "FROM", "IMAGES", "SINCE"],
      all.map((each) => [each.id, each.title, each.provenance, String(each.images.length), each.addedAt]),
    ),
  );
}

async function runVerify(context: Context, id: string | undefined): Promise<void> {
  using store = openStore(context);
  const rules = [...store.state.fixes.values()].filter((rule) => id === undefined || rule.id === id);
  if (rules.length === 0) {
    throw new AtomfsError(
      "not-found",
      id === undefined ? "The store has no fixes" : `There is no fix ${id}`,
      {
        hints: ["`atomfs fix list`"],
      },
    );
  }
  const containers = await listContainers(context, { mustWork: true });
  const answers = rules.map((rule) => verifyFix(store, rule, containers));
  if (answers.some((each) => !each.isFixed && !each.isUnused)) context.setExitCode(EXIT_CODES.blocked);
  context.output.answer(answers, (all) => all.map(verificationText).join("\n\n"));
}

async function runRevert(context: Context, id: string): Promise<void> {
  using store = openStore(context);
  const start = performance.now();
  const { rule, evaluations } = revertFix(store, id, context.commandLine, new Date());
  const deployError = tryDeploy(store);
  const milliseconds = performance.now() - start;
  const images = evaluations.map(({ image, molecule, fixes }) => ({ config: image.config, molecule, fixes }));
  const next = context.output.json
    ? []
    : await nextStepsOf(context, new Set(images.map(({ config }) => config)));
  context.output.answer({ fix: id, title: rule.title, images, milliseconds }, () =>
    images.length === 0
      ? `Fix ${id} (${rule.title}) is taken out; no image used it.`
      : [
          `Fix ${id} (${rule.title}) is reverted in ${images.length} image(s) (${(milliseconds / 1000).toFixed(2)} s).`,
          ...images.map((each) => `  ${shortId(each.config)}  molecule ${shortId(each.molecule)}`),
          ...next,
        ].join("\n"),
  );
  failWith(deployError);
}

/** The fix is reverted already: engines that do not answer make it no failure. */
async function nextStepsOf(context: Context, images: ReadonlySet<string>): Promise<readonly string[]> {
  try {
    const containers = await listContainers(context, { mustWork: false });
    return nextSteps(containers.filter((each) => each.pid !== undefined && images.has(each.imageId ?? "")));
  } catch (error) {
    if (!(error instanceof AtomfsError) || error.kind === "interrupted") throw error;
    context.output.say(
      `note: which containers run on the old molecule could not be found out: ${error.message}`,
    );
    return [];
  }
}
