import { writeFileSync } from "node:fs";
import { AtomfsError } from "../../src/core/errors.ts";
import { verityDigest } from "../../src/core/verity.ts";
import { runChecks } from "../../src/fixing/checks.ts";
import { ElfIndex } from "../../src/fixing/elf-index.ts";
import type { Atom } from "../../src/formats/atom/atom.ts";
import { encodeDump } from "../../src/formats/erofs/dump.ts";
import { writeErofs } from "../../src/formats/erofs/writer.ts";
import { type ComposeContext, type Composition, compose } from "../../src/molecules/compose.ts";
import { matchFixes } from "../../src/molecules/fix-matching.ts";
import { findImage, namesOf } from "../../src/store/state.ts";
import { Store } from "../../src/store/store.ts";
import { type ComposefsTools, composefsTools } from "../../tests/interop/composefs-tool.ts";
import type { Bench } from "../bench.ts";

const WRITE = "write the EROFS image";
const ROUNDS = 30;

/** The parts of a fix, in this process; needs the main store with web and its fix. */
export async function composeCase(bench: Bench): Promise<void> {
  using store = Store.open(bench.place.root);
  using staging = store.beginObjects();
  const readObject: ComposeContext["readObject"] = (digest) => staging.read(digest);
  const image = findImage(store.state, "web:1.0");
  const packages = store.catalog.packagesOfImage(image.config);
  const { replacements } = matchFixes(
    store.state.fixes.values(),
    image,
    namesOf(store.state, image.config),
    packages,
  );
  if (replacements.length === 0) throw new AtomfsError("failed", "The main store has no fix of web");
  const debs = replacements.map((each) => store.readAtom(each.atom));
  const mkcomposefs = await toolOf(bench);
  const dump = bench.place.newPath("dump");
  const target = bench.place.newPath("image.erofs");

  let atoms: Atom[] = image.atoms.map((id) => store.readAtom(id));
  const probe = compose(atoms, [], { readObject, putBytes: neverPut, elfOf: () => undefined });
  writeFileSync(dump, encodeDump(probe.tree));
  const group = `Compose web: ${probe.tree.size} entries, ${atoms.length} atoms (one process, first run included)`;
  const add = (what: string, ms: number): void => bench.results.add(group, what, { ms });

  const ours = async (): Promise<void> => {
    const elves = new ElfIndex(store.catalog, readObject);
    const context: ComposeContext = {
      readObject,
      putBytes: (bytes) => staging.putBytes(bytes),
      elfOf: elves.elfOf,
    };
    let composition: Composition = probe;
    let erofs: Uint8Array = new Uint8Array();
    const read = await bench.timed(() => {
      atoms = image.atoms.map((id) => store.readAtom(id));
    });
    const composed = await bench.timed(() => {
      composition = compose(atoms, debs, context);
    });
    const checked = await bench.timed(() => {
      const { database } = composition;
      if (database === undefined) throw new AtomfsError("failed", "web has no package database");
      const { architecture, env } = image;
      runChecks({ composition, database, replacements: debs, architecture, env, elves, readObject });
    });
    const written = await bench.timed(() => {
      erofs = writeErofs(composition.tree);
    });
    const named = await bench.timed(() => void verityDigest(erofs));
    add("read the atoms", read.ms);
    add("compose with the fix", composed.ms);
    add("check", checked.ms);
    add(WRITE, written.ms);
    add("measure its digest", named.ms);
    add("all of it", read.ms + composed.ms + checked.ms + written.ms + named.ms);
  };
  const peer = async (): Promise<void> => {
    if (mkcomposefs === undefined) return;
    const { sample } = await bench.command([...mkcomposefs, "--from-file", dump, target], process.env);
    bench.results.add(group, "mkcomposefs --from-file (a process)", sample, { against: WRITE });
  };
  await bench.interleave(ROUNDS, [ours, peer]);
}

function neverPut(): never {
  throw new AtomfsError("failed", "An image without a fix makes no files");
}

/** Without the network and without a copy from before, this peer is left out. */
async function toolOf(bench: Bench): Promise<ComposefsTools["mkcomposefs"] | undefined> {
  try {
    return (await composefsTools()).mkcomposefs;
  } catch (error) {
    if (!(error instanceof AtomfsError) || error.kind === "interrupted") throw error;
    bench.say(`mkcomposefs is not to be had: ${error.message}`);
    return undefined;
  }
}
