import { resolve } from "node:path";
import type { Command } from "commander";
import { AtomfsError, EXIT_CODES } from "../core/errors.ts";
import { openStorages } from "../engines/held-images.ts";
import {
  importAllFromContainersStorage,
  importFromContainersStorage,
  type StorageImportOptions,
} from "../fixing/import-containers-storage.ts";
import { type Imported, importImage } from "../fixing/import-image.ts";
import { normalizeImageName, parseLayoutReference } from "../formats/oci/reference.ts";
import {
  type ContainersStorage,
  openContainersStorage,
  readStorageConf,
  type StoredImage,
} from "../sources/containers-storage.ts";
import { openOciLayout } from "../sources/oci-layout.ts";
import { currentGeneration } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { type Context, criStorageRoots, failWith, openStore, tryDeploy } from "./context.ts";
import { bytesText, shortId } from "./output.ts";

type Options = {
  readonly name?: string;
  readonly deploy?: boolean;
  readonly all?: boolean;
  readonly graphRoot?: string;
};

const STORAGE = "containers-storage:";

export function registerImport(program: Command, context: () => Context): void {
  program
    .command("import")
    .description("take an image into the store")
    .argument("[image]", `oci:DIRECTORY[:TAG], or ${STORAGE}NAME for an image that Podman or CRI-O holds`)
    .option("--all", "all images that Podman and CRI-O hold and the store does not have")
    .option(
      "--graph-root <directory>",
      "the engine's storage (default: what storage.conf says, and CRI-O's own)",
    )
    .option("--name <name>", "name of the image (default: the tag, or the engine's names)")
    .option("--deploy", "mount it and show it in the image store (default for oci:)")
    .option("--no-deploy", "store only (default for images that an engine holds)")
    .action((image: string | undefined, options: Options) => runImport(context(), image, options));
}

async function runImport(context: Context, image: string | undefined, options: Options): Promise<void> {
  if (options.all === true) {
    if (image !== undefined || options.name !== undefined)
      throw new AtomfsError("usage", "--all takes every image under its own names: no image and no --name");
    await importAll(context, options);
  } else if (image === undefined) {
    throw new AtomfsError("usage", "missing required argument 'image', or --all");
  } else if (image.startsWith(STORAGE)) await importHeld(context, image.slice(STORAGE.length), options);
  else await importLayout(context, image, options);
}

/**
 * Where the engines have their images: Podman's, as storage.conf says, and CRI-O's own, as it says itself.
 * @returns one at least
 * @throws AtomfsError as `openContainersStorage`
 */
async function findStorages(
  context: Context,
  { graphRoot }: Options,
): Promise<readonly [ContainersStorage, ...ContainersStorage[]]> {
  const conf = readStorageConf();
  if (graphRoot !== undefined) return [openContainersStorage({ ...conf, graphRoot: resolve(graphRoot) })];
  const roots = await criStorageRoots(context, "Images that only it has are not found.");
  const [first, ...others] = openStorages(roots, conf).values();
  // Why there is none is said by opening it.
  return first === undefined ? [openContainersStorage(conf)] : [first, ...others];
}

/** In the first storage that has it. @throws AtomfsError as `findImage` */
function findHeld(
  [first, ...others]: readonly [ContainersStorage, ...ContainersStorage[]],
  wanted: string,
): { readonly storage: ContainersStorage; readonly image: StoredImage } {
  try {
    return { storage: first, image: first.findImage(wanted) };
  } catch (error) {
    const [next, ...rest] = others;
    if (next === undefined || !(error instanceof AtomfsError) || error.kind !== "not-found") throw error;
    return findHeld([next, ...rest], wanted);
  }
}

async function importLayout(context: Context, reference: string, options: Options): Promise<void> {
  const start = performance.now();
  if (!reference.startsWith("oci:")) {
    throw new AtomfsError(
      "usage",
      `Cannot use image reference ${JSON.stringify(reference)}: want oci:DIR[:TAG] or ${STORAGE}NAME`,
    );
  }
  const { directory, tag } = parseLayoutReference(reference);
  const given = options.name ?? tag;
  if (given === undefined) {
    throw new AtomfsError("usage", `"${reference}" has no tag to name the image by`, {
      hints: ["add --name NAME"],
    });
  }
  const names = [normalizeImageName(given)];
  const source = await openOciLayout(resolve(directory), tag);
  using store = openStore(context, { create: true });
  const imported = await importImage(store, source, {
    ...importOptions(context),
    names,
    source: reference,
  });
  const deployError = (options.deploy ?? true) ? tryDeploy(store, [imported.image.config]) : undefined;
  answerOne(context, store, imported, names, performance.now() - start);
  failWith(deployError);
}

async function importHeld(context: Context, wanted: string, options: Options): Promise<void> {
  const start = performance.now();
  const { storage, image } = findHeld(await findStorages(context, options), wanted);
  const names = options.name === undefined ? image.names : [normalizeImageName(options.name)];
  using store = openStore(context, { create: true });
  const imported = await importFromContainersStorage(store, storage, image, {
    ...importOptions(context),
    names,
  });
  const deployError = (options.deploy ?? false) ? tryDeploy(store, [imported.image.config]) : undefined;
  answerOne(context, store, imported, names, performance.now() - start);
  failWith(deployError);
}

async function importAll(context: Context, options: Options): Promise<void> {
  const start = performance.now();
  const storages = await findStorages(context, options);
  using store = openStore(context, { create: true });
  const { imported, failed, known } = await importAllFromContainersStorage(
    store,
    storages,
    importOptions(context),
  );
  const configs = imported.map(({ result }) => result.image.config);
  const deployError = (options.deploy ?? false) ? tryDeploy(store, configs) : undefined;
  if (failed.length > 0) context.setExitCode(EXIT_CODES.blocked);
  const milliseconds = performance.now() - start;
  const answer = {
    imported: imported.map(({ image, result }) => answerOf(store, result, image.names)),
    known: known.map((image) => image.configDigest),
    failed: failed.map(({ image, error: { kind, message } }) => ({
      image: image.configDigest,
      names: image.names,
      kind,
      message,
    })),
    milliseconds,
  };
  context.output.answer(answer, () =>
    [
      ...imported.map(({ image, result }) => importText(store, result, image.names)),
      ...failed.map(({ image, error }) => `${shownName(image)}  not imported: ${error.message}`),
      `${imported.length} imported, ${known.length} were in the store, ${failed.length} failed in ${(milliseconds / 1000).toFixed(2)} s`,
    ].join("\n"),
  );
  failWith(deployError);
}

function importOptions(context: Context): Omit<StorageImportOptions, "names"> {
  return {
    command: context.commandLine,
    now: new Date(),
    signal: context.signal,
    onProgress: context.output.progress,
  };
}

function answerOne(
  context: Context,
  store: Store,
  imported: Imported,
  names: readonly string[],
  milliseconds: number,
): void {
  const answer = { ...answerOf(store, imported, names), milliseconds };
  context.output.answer(
    answer,
    () => `${importText(store, imported, names)}\n  time      ${(milliseconds / 1000).toFixed(2)} s`,
  );
}

function answerOf(store: Store, imported: Imported, names: readonly string[]) {
  const generation = currentGeneration(store.state, imported.image.config);
  return {
    image: imported.image.config,
    names,
    isNew: imported.isNew,
    molecule: generation?.molecule,
    generation: generation?.number,
    fixes: generation?.fixes ?? [],
    refused: imported.settled.refused,
    findings: imported.findings,
    packageAtoms: imported.packageAtoms,
    layerAtoms: imported.layerAtoms,
    newAtoms: imported.newAtoms,
    entries: imported.entries,
    totalBytes: imported.totalBytes,
    newBytes: imported.newBytes,
    adoptedBytes: imported.adoptedBytes,
    sharedBytes: imported.sharedBytes,
  };
}

function shownName({ names, configDigest }: Pick<StoredImage, "names" | "configDigest">): string {
  return names[0] ?? shortId(configDigest);
}

function importText(store: Store, imported: Imported, names: readonly string[]): string {
  const { image, settled } = imported;
  const molecule = currentGeneration(store.state, image.config)?.molecule ?? "";
  const atoms = imported.packageAtoms + imported.layerAtoms;
  const adopted =
    imported.adoptedBytes === 0
      ? ""
      : ` (${bytesText(imported.adoptedBytes)} of it on the engine's own blocks)`;
  const lines = [
    `${shownName({ names, configDigest: image.config })}  ${shortId(image.config)}${imported.isNew ? "" : "  (was in the store)"}`,
    `  atoms     ${atoms} (${imported.packageAtoms} packages, ${imported.layerAtoms} layers), ${imported.newAtoms} new to the store`,
    `  files     ${bytesText(imported.totalBytes)} in ${imported.entries} entries; ${bytesText(imported.newBytes)} new${adopted}, ${bytesText(imported.sharedBytes)} shared`,
    `  molecule  ${shortId(molecule)}${settled.evaluation.fixes.length > 0 ? `, with fix ${settled.evaluation.fixes.join(", ")}` : ""}`,
  ];
  for (const { fix, results } of settled.refused) {
    lines.push(
      `  fix ${fix} does not fit: ${results.find((each) => each.verdict === "block")?.reason ?? ""}`,
    );
  }
  lines.push(...imported.findings.map(({ reason }) => `  finding: ${reason}`));
  return lines.join("\n");
}
