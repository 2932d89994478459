/**
 * npm run demo: the main job end to end on real software. Every figure and verdict of the closing table comes from the
 * steps themselves; a promise that isn't kept ends the demo with an error.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { bytesText, shortId, table } from "../../src/cli/output.ts";
import { AtomfsError, EXIT_CODES } from "../../src/core/errors.ts";
import { type Attack, attack, freePort, untilHealthy } from "./attack.ts";
import { buildAtomfs, Commands, must } from "./commands.ts";
import { buildDemoImages, type DemoImages, VULNERABLE_PACKAGE } from "./images.ts";
import { cacheDirectory, rebuildOrdinary } from "./rebuild.ts";
import { Story, seconds } from "./story.ts";
import { openWorkplace, type Workplace } from "./workplace.ts";

type ImportAnswer = {
  readonly image: string;
  readonly molecule: string;
  readonly packageAtoms: number;
  readonly layerAtoms: number;
  readonly newAtoms: number;
  readonly totalBytes: number;
  readonly newBytes: number;
  readonly sharedBytes: number;
  readonly milliseconds: number;
};
type PlanImage = {
  readonly names: readonly string[];
  readonly verdict: string;
  readonly molecule: string;
  readonly changes: readonly { readonly package: string; readonly from: string; readonly to: string }[];
};
type FixAnswer = {
  readonly fixes: readonly { readonly id: string; readonly title: string; readonly provenance: string }[];
  readonly images: readonly PlanImage[];
  readonly outdated: readonly { readonly name: string }[];
  readonly timings: { readonly fixMs: number; readonly repositoriesMs: number; readonly downloadMs: number };
};
type RestartAnswer = readonly {
  readonly name: string;
  readonly milliseconds: number;
  readonly error?: string;
}[];
type VerifyAnswer = readonly {
  readonly isFixed: boolean;
  readonly images: readonly { readonly filesChecked: number; readonly problems: readonly string[] }[];
  readonly containers: readonly {
    readonly name: string;
    readonly proof: string;
    readonly processes: number;
    readonly provenMappings: number;
    readonly problems: readonly string[];
  }[];
}[];
type RevertAnswer = {
  readonly milliseconds: number;
  readonly images: readonly { readonly molecule: string }[];
};
type ContainerRow = { readonly name: string; readonly root: string; readonly molecule?: string };

const SERVICES = ["web", "feed"] as const;
const IMAGES = ["web", "feed", "plain"] as const;

class Demo {
  readonly #story: Story;
  readonly #signal: AbortSignal;
  readonly #workplace: Workplace;
  readonly #commands: Commands;
  readonly #ports = { web: freePort(), feed: freePort() } as const;

  constructor(story: Story, signal: AbortSignal, workplace: Workplace) {
    this.#story = story;
    this.#signal = signal;
    this.#workplace = workplace;
    this.#commands = new Commands(story, workplace, signal);
  }

  async run() {
    const story = this.#story;
    const images = await story.step("Real images, built from Debian's packages (cached)", () =>
      this.#images(),
    );
    const imports = await story.step("Import: layers become atoms, one per package", () =>
      this.#import(images),
    );
    await story.step("Run two of them with Podman and runc", () => this.#start());
    const before = await story.step("The exploit works (CVE-2026-45186, a denial of service)", () =>
      this.#attackAll(),
    );
    must(before.web.documentMs > 1000, "the vulnerable library is slow on the document");
    const plainBefore = this.#fileDigest(imports.plain.molecule);
    const fix = await story.step(`Fix ${VULNERABLE_PACKAGE} in all images with one command`, () =>
      this.#fix(),
    );
    const restart = await story.step("Restart what is outdated", () => this.#restart());
    const after = await story.step("The exploit is dead, and the proof", () => this.#attackAll());
    must(after.web.documentMs * 3 < before.web.documentMs, "the fixed library is fast on the document");
    const proof = await story.step("Verify from the host", () => this.#verify());
    const plain = await this.#current("plain");
    must(
      plain === imports.plain.molecule && this.#fileDigest(plain) === plainBefore,
      "the third image is untouched",
    );
    story.say(`image plain: molecule ${shortId(plain)} as before, byte for byte`);
    const undone = await story.step("Undo: the molecules of before, bit for bit", () =>
      this.#revert(fix, imports),
    );
    const again = await story.step("Fix again", () => this.#fixAgain(fix));
    const rebuildMs = await story.step("For comparison: rebuild one image the ordinary way", () =>
      rebuildOrdinary(this.#workplace, images.web.layout, images.web.tag, story, this.#signal),
    );
    return { imports, before, fix, restart, after, proof, undone, again, rebuildMs, steps: story.steps };
  }

  async #images(): Promise<DemoImages> {
    await buildAtomfs(this.#signal);
    return buildDemoImages({ cacheDir: cacheDirectory(), log: this.#story.say, signal: this.#signal });
  }

  async #import(images: DemoImages): Promise<Record<(typeof IMAGES)[number], ImportAnswer>> {
    const one = (name: (typeof IMAGES)[number]): Promise<ImportAnswer> =>
      this.#commands.atomfs<ImportAnswer>(
        ["import", images[name].source, "--name", `${name}:1.0`],
        (answer) =>
          [
            `${answer.packageAtoms + answer.layerAtoms} atoms (${answer.newAtoms} new), ${bytesText(answer.totalBytes)}:`,
            `${bytesText(answer.newBytes)} new, ${bytesText(answer.sharedBytes)} shared, ${seconds(answer.milliseconds)}`,
          ].join(" "),
      );
    const imports = { web: await one("web"), feed: await one("feed"), plain: await one("plain") };
    this.#story.say(
      await this.#commands.podman([
        "images",
        "--format",
        "table {{.Repository}} {{.Tag}} {{.ID}} {{.ReadOnly}}",
      ]),
    );
    return imports;
  }

  async #start(): Promise<void> {
    for (const name of SERVICES) {
      const publish = `127.0.0.1:${this.#ports[name]}:8080`;
      await this.#commands.podman(["run", "--detach", "--name", name, "--publish", publish, `${name}:1.0`]);
    }
    for (const name of SERVICES) await untilHealthy(this.#ports[name], this.#signal);
  }

  async #attackAll(): Promise<Record<(typeof SERVICES)[number], Attack>> {
    const one = async (name: (typeof SERVICES)[number]): Promise<Attack> => {
      const result = await attack(this.#ports[name], this.#signal);
      const { documentMs, othersWaitedMs } = result;
      this.#story.say(
        `${name}: document answered after ${seconds(documentMs)}; others waited up to ${seconds(othersWaitedMs)}`,
      );
      return result;
    };
    return { web: await one("web"), feed: await one("feed") };
  }

  #fix(): Promise<FixAnswer> {
    return this.#commands.atomfs<FixAnswer>(["fix", VULNERABLE_PACKAGE, "--yes"], (answer) =>
      [
        ...answer.fixes.map(
          (each) => `${each.title} from ${each.provenance}: signatures verified; fix ${each.id}`,
        ),
        ...answer.images.map(
          (image) =>
            `${image.names[0]}: ${image.changes.map((change) => `${change.package} ${change.from} -> ${change.to}`).join(", ")}: ${image.verdict}`,
        ),
        `running on the old molecule: ${answer.outdated.map((each) => each.name).join(", ")}`,
        `${seconds(answer.timings.fixMs)} for all images, after ${seconds(answer.timings.repositoriesMs + answer.timings.downloadMs)} for the signed index and the package`,
      ].join("\n"),
    );
  }

  async #restart(): Promise<RestartAnswer> {
    const outdated = await this.#containers();
    must(
      outdated.every((row) => row.root === "outdated"),
      "containers keep the old molecule until they restart",
    );
    const restarted = await this.#commands.atomfs<RestartAnswer>(["restart", "--outdated"], (answer) =>
      answer
        .map(
          (each) =>
            `${each.name} ${seconds(each.milliseconds)}${each.error === undefined ? "" : `: ${each.error}`}`,
        )
        .join(", "),
    );
    must(
      restarted.length === SERVICES.length && restarted.every((each) => each.error === undefined),
      "both restart",
    );
    for (const name of SERVICES) await untilHealthy(this.#ports[name], this.#signal);
    must(
      (await this.#containers()).every((row) => row.root === "current"),
      "they run on the current molecule now",
    );
    return restarted;
  }

  #containers(): Promise<readonly ContainerRow[]> {
    return this.#commands.atomfs<readonly ContainerRow[]>(["containers"], (rows) =>
      rows.map((row) => `${row.name}: root ${row.root}, molecule ${shortId(row.molecule ?? "")}`).join("\n"),
    );
  }

  async #verify(): Promise<VerifyAnswer> {
    const answer = await this.#commands.atomfs<VerifyAnswer>(["fix", "verify"], (all) =>
      all
        .flatMap((each) => [
          ...each.images.map(
            (image) => `molecule: ${image.filesChecked} files and the package database are right`,
          ),
          ...each.containers.map(
            (container) =>
              `${container.name}: ${container.processes} process(es), ${container.provenMappings} mapping(s) of the new library measured, none of the old`,
          ),
          each.isFixed ? "fixed, proven" : "NOT fixed",
        ])
        .join("\n"),
    );
    must(
      answer.every((each) => each.isFixed),
      "`fix verify` proves it",
    );
    for (const name of SERVICES) {
      const complaints = await this.#commands.podman(
        ["exec", name, "dpkg", "-V", VULNERABLE_PACKAGE],
        [0, 1, 2],
      );
      this.#story.say(complaints.trim() === "" ? "clean" : complaints);
      must(!complaints.split("\n").some(isRealComplaint), `dpkg -V is clean in ${name}`);
    }
    return answer;
  }

  async #revert(fix: FixAnswer, imports: Record<(typeof IMAGES)[number], ImportAnswer>) {
    const id = fix.fixes[0]?.id ?? "";
    const reverted = await this.#commands.atomfs<RevertAnswer>(["fix", "revert", id], (answer) =>
      answer.images.map((image) => `molecule ${shortId(image.molecule)}`).join("\n"),
    );
    for (const name of SERVICES) {
      must(
        (await this.#current(name)) === imports[name].molecule,
        `${name} has exactly the molecule of before`,
      );
    }
    await this.#restart();
    const attacked = await this.#attackAll();
    must(attacked.web.documentMs > 1000, "the exploit works again on the old molecule");
    return { milliseconds: reverted.milliseconds, attack: attacked };
  }

  async #fixAgain(first: FixAnswer) {
    const fix = await this.#fix();
    const molecules = (answer: FixAnswer): string =>
      answer.images
        .map((image) => image.molecule)
        .sort()
        .join();
    must(molecules(fix) === molecules(first), "the same fix gives the same molecules");
    await this.#restart();
    const attacked = await this.#attackAll();
    must(attacked.web.documentMs < 1000 || attacked.web.documentMs * 3 < 5000, "the exploit is dead again");
    const proof = await this.#verify();
    return { fixMs: fix.timings.fixMs, attack: attacked, isFixed: proof.every((each) => each.isFixed) };
  }

  async #current(name: string): Promise<string> {
    const answer = JSON.parse(
      await this.#commands.quiet([join(import.meta.dir, "../../dist/atomfs"), "--json", "images"]),
    );
    const image = (answer as { names: string[]; molecule: string }[]).find((each) =>
      each.names.includes(`localhost/${name}:1.0`),
    );
    if (image === undefined) throw new AtomfsError("failed", `Image ${name} is not in the store`);
    return image.molecule;
  }

  #fileDigest(molecule: string): string {
    return createHash("sha256")
      .update(readFileSync(join(this.#workplace.root, "molecules", `${molecule}.erofs`)))
      .digest("hex");
  }
}

/** dpkg -V names files that the image left out ("missing"); the demo's images leave out documentation. */
function isRealComplaint(line: string): boolean {
  return line.trim() !== "" && !/^missing\s+\/usr\/share\/(doc|man|locale)\//.test(line);
}

type Report = Awaited<ReturnType<Demo["run"]>>;

function closingTable(report: Report): string {
  const { imports, before, after, fix, restart, undone, rebuildMs } = report;
  const all = Object.values(imports);
  const sum = (pick: (answer: ImportAnswer) => number): number =>
    all.reduce((total, each) => total + pick(each), 0);
  return table(
    ["WHAT", "MEASURED"],
    [
      [
        "Attack document, before the fix (web, feed)",
        `${seconds(before.web.documentMs)}, ${seconds(before.feed.documentMs)}`,
      ],
      [
        "Attack document, after the fix (web, feed)",
        `${seconds(after.web.documentMs)}, ${seconds(after.feed.documentMs)}`,
      ],
      ["Fix of all images, after download", seconds(fix.timings.fixMs)],
      ["Signed index and package", seconds(fix.timings.repositoriesMs + fix.timings.downloadMs)],
      ["Restarts", restart.map((each) => `${each.name} ${seconds(each.milliseconds)}`).join(", ")],
      ["Undo of the fix", seconds(undone.milliseconds)],
      [
        "File bytes of the three images; stored",
        `${bytesText(sum((each) => each.totalBytes))}; ${bytesText(sum((each) => each.newBytes))}`,
      ],
      ["Rebuild of ONE image with buildah and apt", seconds(rebuildMs)],
    ],
  );
}

async function main(): Promise<void> {
  const json = process.argv.includes("--json");
  const unknown = process.argv.slice(2).filter((each) => each !== "--json");
  const interruption = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => interruption.abort(new AtomfsError("interrupted", `Stopped by ${signal}`)));
  }
  const story = new Story(json);
  try {
    if (unknown.length > 0)
      throw new AtomfsError("usage", `The demo does not know ${unknown.join(" ")}`, {
        hints: ["it knows --json"],
      });
    await using workplace = await openWorkplace();
    const report = await new Demo(story, interruption.signal, workplace).run();
    story.write(`\n${closingTable(report)}`);
    if (json) process.stdout.write(`${JSON.stringify({ passed: true, ...report }, null, 2)}\n`);
  } catch (error) {
    const shown = interruption.signal.aborted ? interruption.signal.reason : error;
    const known = shown instanceof AtomfsError ? shown : undefined;
    const message = shown instanceof Error ? shown.message : String(shown);
    if (json)
      process.stdout.write(`${JSON.stringify({ passed: false, error: message, steps: story.steps })}\n`);
    process.stderr.write(`demo: ${message}\n`);
    for (const hint of known?.hints ?? []) process.stderr.write(`demo: hint: ${hint}\n`);
    process.exitCode = known?.exitCode ?? EXIT_CODES.failed;
  }
}

await main();
