import type { Command } from "commander";
import { EXIT_CODES } from "../core/errors.ts";
import { deployImages } from "../engines/podman/deploy.ts";
import { moleculesInUse, mountedMolecules, unmountMolecule } from "../mounts/molecule-mounts.ts";
import { checkStore, rebuildCatalog } from "../store/fsck.ts";
import { collectGarbage } from "../store/gc.ts";
import { type Context, openStore } from "./context.ts";
import { bytesText, shortId } from "./output.ts";

export function registerMaintenance(program: Command, context: () => Context): void {
  program
    .command("deploy")
    .description("mount the current molecules and bring the image store up to date (after a reboot)")
    .action(() => runDeploy(context()));
  program
    .command("unmount")
    .description("take the molecules' mounts away; running containers keep their roots")
    .action(() => runUnmount(context()));
  program
    .command("fsck")
    .description("check the store")
    .option("--quick", "do not read the objects")
    .option("--rebuild-catalog", "make the catalog again from the files")
    .action((options: { quick?: boolean; rebuildCatalog?: boolean }) => runFsck(context(), options));
  program
    .command("gc")
    .description("remove what no image, generation, fix, plan or mount needs")
    .option("--dry-run", "only say what would be removed")
    .action((options: { dryRun?: boolean }) => runGc(context(), options.dryRun === true));
}

function runDeploy(context: Context): void {
  using store = openStore(context);
  using _lock = store.lock();
  // A crash may have come between the journal and what runtimes read.
  store.repairCurrent();
  const deployed = deployImages(store);
  context.output.answer(deployed, (all) =>
    all.map((each) => `${shortId(each.config)}  ${each.target}`).join("\n"),
  );
}

function runUnmount(context: Context): void {
  using store = openStore(context);
  using _lock = store.lock();
  const unmounted = mountedMolecules(store.layout).filter((molecule) =>
    unmountMolecule(store.layout, molecule),
  );
  context.output.answer(unmounted, (all) => `${all.length} molecule(s) unmounted`);
}

async function runFsck(
  context: Context,
  options: { quick?: boolean; rebuildCatalog?: boolean },
): Promise<void> {
  using store = openStore(context, { damaged: true });
  if (options.rebuildCatalog === true) rebuildCatalog(store);
  const report = await checkStore(store, { readObjects: options.quick !== true, signal: context.signal });
  if (report.problems.length > 0) context.setExitCode(EXIT_CODES["bad-data"]);
  const { atoms, molecules, objects } = report.checked;
  context.output.answer(report, () =>
    [
      `${atoms} atoms, ${molecules} molecules, ${objects} objects checked`,
      ...(report.repaired > 0 ? [`${report.repaired} file(s) in current/ repaired`] : []),
      ...report.problems,
      report.problems.length === 0 ? "clean" : `${report.problems.length} problem(s)`,
    ].join("\n"),
  );
}

function runGc(context: Context, dryRun: boolean): void {
  using store = openStore(context);
  const garbage = collectGarbage(store, moleculesInUse(store.layout), { dryRun });
  context.output.answer(garbage, ({ paths, bytes }) =>
    [
      ...(dryRun ? paths : []),
      `${paths.length} file(s), ${bytesText(bytes)}${dryRun ? " would be" : ""} removed`,
    ].join("\n"),
  );
}
