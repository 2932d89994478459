import { existsSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { AtomfsError, EXIT_CODES } from "../core/errors.ts";
import {
  nextSteps,
  nextStepsOfRemoval,
  PROGRAMS,
  planRetirement,
  planSetup,
  SETTINGS_PATH,
  type SetupFile,
  type SetupOptions,
} from "../engines/setup/files.ts";
import { installSetup, type SetupAction, uninstallSetup } from "../engines/setup/install.ts";
import { removeMetrics } from "../engines/setup/metrics-file.ts";
import { DEFAULT_STATE_DIRECTORY } from "../runtime/argv.ts";
import { type Context, requireRoot } from "./context.ts";

type InstallOptions = {
  readonly podman?: boolean;
  readonly crio?: boolean;
  readonly default?: boolean;
  readonly report: boolean;
  readonly programs?: string;
  readonly destdir: string;
  readonly print?: boolean;
};

type UninstallOptions = Pick<InstallOptions, "destdir" | "print"> & { readonly force?: boolean };

export function registerSetup(program: Command, context: () => Context): void {
  program
    .command("install")
    .description("make atomfs and crio-lxc known to this machine's engines, by new files only")
    .option("--podman", "for Podman and buildah")
    .option("--crio", "for CRI-O")
    .option("--default", "make crio-lxc their default runtime")
    .option("--no-report", "without the timer that reports to Kubernetes: somebody else does")
    .option("--programs <directory>", "take the compiled programs from there (default: where this atomfs is)")
    .option("--destdir <directory>", "the root directory to install to", "/")
    .option("--print", "only print what would be done")
    .action((options: InstallOptions) => runInstall(context(), options));
  program
    .command("uninstall")
    .description("remove what install made, and nothing else")
    .option("--destdir <directory>", "the root directory to remove from", "/")
    .option("--force", "also while containers of crio-lxc exist")
    .option("--print", "only print what would be done")
    .action((options: UninstallOptions) => runUninstall(context(), options));
}

function runInstall(context: Context, options: InstallOptions): void {
  if (options.podman !== true && options.crio !== true)
    throw new AtomfsError("usage", "For which engine?", { hints: ["--podman, --crio or both"] });
  requireRoot();
  const setup: SetupOptions = {
    podman: options.podman === true,
    crio: options.crio === true,
    isDefault: options.default === true,
    reports: options.report,
    programs: findPrograms(options.programs),
  };
  const files = planSetup(setup);
  const dryRun = options.print === true;
  const place = { root: resolve(options.destdir), dryRun };
  const actions = installSetup(files, place, planRetirement(setup));
  const answer = { files: actions.map((each) => withText(each, files)), next: nextSteps(setup) };
  context.output.answer(answer, () =>
    [
      ...actions.map(actionText),
      ...(dryRun ? answer.files.flatMap(({ path, text }) => contentLines(path, text)) : []),
      "",
      dryRun ? "nothing was changed; afterwards:" : "installed; next:",
      ...answer.next.map((step) => `  ${step}`),
    ].join("\n"),
  );
}

function withText(
  action: SetupAction,
  files: readonly SetupFile[],
): SetupAction & { readonly text?: string } {
  const file = files.find(({ path }) => path === action.path);
  return file?.kind === "text" || file?.kind === "settings" ? { ...action, text: file.text } : action;
}

function contentLines(path: string, text: string | undefined): string[] {
  return text === undefined ? [] : ["", `==> ${path}`, text.trimEnd()];
}

function actionText({ action, path }: SetupAction): string {
  return `${action.padEnd(9)}  ${path}`;
}

/** Only a compiled atomfs can be copied to where there is no Bun. */
function findPrograms(given: string | undefined): string {
  const directory = given === undefined ? dirname(process.execPath) : resolve(given);
  const missing = PROGRAMS.filter((name) => !existsSync(join(directory, name)));
  if (missing.length === 0) return directory;
  throw new AtomfsError("unsupported", `Cannot install: ${directory} has no ${missing.join(" and no ")}`, {
    hints: ["`npm run build` makes them in dist/", "--programs says where they are"],
  });
}

function runUninstall(context: Context, options: UninstallOptions): void {
  requireRoot();
  const root = resolve(options.destdir);
  const dryRun = options.print === true;
  if (options.force !== true && !dryRun) requireNoContainers(join(root, DEFAULT_STATE_DIRECTORY));
  const files = [...uninstallSetup({ root, dryRun }), ...removeMetrics({ root, dryRun })];
  const kept = files.filter(({ path, action }) => action === "kept" && path !== SETTINGS_PATH);
  if (kept.length > 0) context.setExitCode(EXIT_CODES.blocked);
  const next = nextStepsOfRemoval(files.flatMap(({ path, action }) => (action === "remove" ? [path] : [])));
  context.output.answer({ files, next }, () =>
    files.length === 0
      ? "Nothing is installed."
      : [
          ...files.map(actionText),
          ...kept.map(({ path }) => `${path} was changed since: look at it, and remove it yourself`),
          ...(next.length === 0 ? [] : ["", dryRun ? "nothing was changed; afterwards:" : "removed; next:"]),
          ...next.map((step) => `  ${step}`),
        ].join("\n"),
  );
}

/** Without its runtime an engine can neither stop nor remove a container. */
function requireNoContainers(stateRoot: string): void {
  const containers = existsSync(stateRoot)
    ? readdirSync(stateRoot).filter((name) => !name.startsWith("."))
    : [];
  if (containers.length === 0) return;
  const shown = containers.slice(0, 5).map((id) => id.slice(0, 12));
  throw new AtomfsError(
    "blocked",
    `Cannot uninstall: crio-lxc has ${containers.length} container(s), ${shown.join(", ")}`,
    { hints: ["remove them through their engine, which needs crio-lxc for that; or --force"] },
  );
}
