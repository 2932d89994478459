import type { Command } from "commander";
import { EXIT_CODES } from "../core/errors.ts";
import { deployImages } from "../engines/podman/deploy.ts";
import { mountedMolecules, unmountMolecule } from "../mounts/molecule-mounts.ts";
import { checkStore, rebuildCatalog } from "../store/fsck.ts";
import { type Context, openStore } from "./context.ts";
import { shortId } from "./output.ts";

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
    .option("--remove-damaged", "take files with wrong bytes away: the next import brings them again")
    .action((options: FsckFlags) => runFsck(context(), options));
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

type FsckFlags = {
  readonly quick?: boolean;
  readonly rebuildCatalog?: boolean;
  readonly removeDamaged?: boolean;
};

async function runFsck(context: Context, options: FsckFlags): Promise<void> {
  using store = openStore(context, { damaged: true });
  if (options.rebuildCatalog === true) rebuildCatalog(store);
  const report = await checkStore(store, {
    readObjects: options.quick !== true,
    removeDamaged: options.removeDamaged === true,
    signal: context.signal,
  });
  if (report.problems.length > 0) context.setExitCode(EXIT_CODES["bad-data"]);
  const { atoms, molecules, objects } = report.checked;
  context.output.answer(report, () =>
    [
      `${atoms} atoms, ${molecules} molecules, ${objects} objects checked`,
      ...(report.repaired > 0 ? [`${report.repaired} file(s) in current/ repaired`] : []),
      ...report.problems,
      ...(report.removed.length > 0
        ? [
            `${report.removed.length} file(s) removed: import the images again; revert damaged fixes and apply them again`,
          ]
        : []),
      report.problems.length === 0 ? "clean" : `${report.problems.length} problem(s)`,
    ].join("\n"),
  );
}
