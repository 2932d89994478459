import type { Command } from "commander";
import { removeImages } from "../engines/drop-images.ts";
import { packageFindings } from "../fixing/package-findings.ts";
import { currentGeneration, findImage, namesOf } from "../store/state.ts";
import { type Context, criStorageRoots, openStore } from "./context.ts";
import { shortId, table } from "./output.ts";

export function registerImages(program: Command, context: () => Context): void {
  const images = program
    .command("images")
    .description("list the images of the store and their current molecules")
    .action(() => runImages(context()));
  images
    .command("remove")
    .description("take images, or some of their names, out of the store; gc then removes their files")
    .argument(
      "<image...>",
      "a name: only the name goes, with the last one the image; 12 digits or more of its id: all",
    )
    .action((references: string[]) => runRemove(context(), references));
  program
    .command("inspect")
    .description("show an image's packages, fixes and generations")
    .argument("<image>", "name, or 12 digits or more of its id")
    .action((image: string) => runInspect(context(), image));
}

function runImages(context: Context): void {
  using store = openStore(context);
  const { state } = store;
  const images = [...state.images.values()].map((image) => {
    const current = currentGeneration(state, image.config);
    return {
      id: image.config,
      names: namesOf(state, image.config),
      distribution: `${image.distribution.id} ${image.distribution.codename}`,
      atoms: image.atoms.length,
      generation: current?.number ?? 0,
      molecule: current?.molecule ?? "",
      fixes: current?.fixes ?? [],
    };
  });
  context.output.answer(images, (all) =>
    table(
      ["NAME", "IMAGE", "FROM", "ATOMS", "GEN", "MOLECULE", "FIXES"],
      all.map((image) => [
        image.names[0] ?? "<none>",
        shortId(image.id),
        image.distribution,
        String(image.atoms),
        String(image.generation),
        shortId(image.molecule),
        image.fixes.join(",") || "-",
      ]),
    ),
  );
}

async function runRemove(context: Context, references: readonly string[]): Promise<void> {
  using store = openStore(context);
  const drop = { command: context.commandLine, now: new Date() };
  const removed = removeImages(store, references, drop, await criStorageRoots(context));
  context.output.answer(removed, (all) =>
    all
      .flatMap(({ config, names, isGone }) => [
        ...names.map((name) => `${name}  ${isGone ? "removed" : "name removed"}`),
        ...(isGone ? [`${shortId(config)}  is no longer in the store`] : []),
      ])
      .join("\n"),
  );
}

function runInspect(context: Context, reference: string): void {
  using store = openStore(context);
  const image = findImage(store.state, reference);
  const packages = store.catalog.packagesOfImage(image.config);
  const findings = packageFindings(store, image);
  const answer = {
    ...image,
    names: namesOf(store.state, image.config),
    generations: store.state.generations.get(image.config) ?? [],
    packages: packages.map(({ name, architecture, version, source, atom }) => ({
      name,
      architecture,
      version,
      source,
      atom,
    })),
    findings,
  };
  context.output.answer(answer, () =>
    [
      `image      ${image.config}`,
      `names      ${answer.names.join(", ") || "<none>"}`,
      `source     ${image.source}`,
      `from       ${image.distribution.id} ${image.distribution.codename} ${image.architecture}`,
      "",
      table(
        ["GEN", "MOLECULE", "FIXES", "WHEN", "WHY"],
        answer.generations.map((each) => [
          String(each.number),
          shortId(each.molecule),
          each.fixes.join(",") || "-",
          each.time,
          each.reason,
        ]),
      ),
      "",
      table(
        ["PACKAGE", "VERSION (of the image)", "ATOM"],
        answer.packages.map((each) => [
          `${each.name}:${each.architecture}`,
          each.version,
          shortId(each.atom),
        ]),
      ),
      ...findings.map(({ reason }) => `finding: ${reason}`),
    ].join("\n"),
  );
}
