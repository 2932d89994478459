import { resolve } from "node:path";
import type { Command } from "commander";
import { AtomfsError } from "../core/errors.ts";
import { deployImages } from "../engines/podman/deploy.ts";
import { type Imported, importImage } from "../fixing/import-image.ts";
import { normalizeImageName, parseLayoutReference } from "../formats/oci/reference.ts";
import { openOciLayout } from "../sources/oci-layout.ts";
import { currentGeneration } from "../store/state.ts";
import { type Context, openStore } from "./context.ts";
import { bytesText, shortId } from "./output.ts";

export function registerImport(program: Command, context: () => Context): void {
  program
    .command("import")
    .description("take an image into the store and show it to the engines")
    .argument("<image>", "oci:DIRECTORY[:TAG]")
    .option("--name <name>", "name of the image (default: the tag)")
    .option("--no-deploy", "store only: neither mount it nor show it in the image store")
    .action((image: string, options: { name?: string; deploy: boolean }) =>
      runImport(context(), image, options),
    );
}

async function runImport(
  context: Context,
  reference: string,
  options: { name?: string; deploy: boolean },
): Promise<void> {
  const start = performance.now();
  const { directory, tag } = parseLayoutReference(reference);
  const given = options.name ?? tag;
  if (given === undefined) {
    throw new AtomfsError("usage", `"${reference}" has no tag to name the image by`, {
      hints: ["add --name NAME"],
    });
  }
  const name = normalizeImageName(given);
  const source = await openOciLayout(resolve(directory), tag);
  using store = openStore(context, { create: true });
  const imported = await importImage(store, source, {
    names: [name],
    source: reference,
    command: context.commandLine,
    now: new Date(),
    signal: context.signal,
    onProgress: context.output.progress,
  });
  if (options.deploy) deployImages(store);
  const milliseconds = performance.now() - start;
  const generation = currentGeneration(store.state, imported.image.config);
  const answer = {
    image: imported.image.config,
    names: [name],
    isNew: imported.isNew,
    molecule: generation?.molecule,
    generation: generation?.number,
    fixes: generation?.fixes ?? [],
    refused: imported.settled.refused,
    packageAtoms: imported.packageAtoms,
    layerAtoms: imported.layerAtoms,
    newAtoms: imported.newAtoms,
    entries: imported.entries,
    totalBytes: imported.totalBytes,
    newBytes: imported.newBytes,
    sharedBytes: imported.sharedBytes,
    milliseconds,
  };
  context.output.answer(answer, () => importText(imported, name, answer.molecule ?? "", milliseconds));
}

function importText(imported: Imported, name: string, molecule: string, milliseconds: number): string {
  const atoms = imported.packageAtoms + imported.layerAtoms;
  const lines = [
    `${name}  ${shortId(imported.image.config)}${imported.isNew ? "" : "  (was in the store)"}`,
    `  atoms     ${atoms} (${imported.packageAtoms} packages, ${imported.layerAtoms} layers), ${imported.newAtoms} new to the store`,
    `  files     ${bytesText(imported.totalBytes)} in ${imported.entries} entries; ${bytesText(imported.newBytes)} new, ${bytesText(imported.sharedBytes)} shared`,
    `  molecule  ${shortId(molecule)}${imported.settled.evaluation.fixes.length > 0 ? `, with fix ${imported.settled.evaluation.fixes.join(", ")}` : ""}`,
    `  time      ${(milliseconds / 1000).toFixed(2)} s`,
  ];
  for (const { fix, results } of imported.settled.refused) {
    lines.push(
      `  fix ${fix} does not fit: ${results.find((each) => each.verdict === "block")?.reason ?? ""}`,
    );
  }
  return lines.join("\n");
}
