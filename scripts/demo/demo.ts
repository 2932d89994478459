import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { bytesText, shortId } from "../../src/cli/output.ts";
import { AtomfsError } from "../../src/core/errors.ts";
import type {
  Attacks,
  ContainerRow,
  FixAnswer,
  ImageRow,
  ImportAnswer,
  Report,
  RestartAnswer,
  RevertAnswer,
  VerifyAnswer,
} from "./answers.ts";
import { type Attack, attack, freePort, untilHealthy } from "./attack.ts";
import { buildAtomfs, Commands, copyPrograms, must } from "./commands.ts";
import { buildDemoImages, type DemoImages, VULNERABLE_PACKAGE } from "./images.ts";
import { cacheDirectory, rebuildOrdinary } from "./rebuild.ts";
import { type Story, seconds } from "./story.ts";
import { imageName, type Way } from "./ways.ts";
import type { Workplace } from "./workplace.ts";

const SERVICES = ["web", "feed"] as const;
/** What the document costs a vulnerable library on a fast machine: several times this. */
const SLOW_MS = 500;
const IMAGES = ["web", "feed", "plain"] as const;

/** The story; a promise that isn't kept ends it with an error. */
export class Demo {
  readonly #story: Story;
  readonly #signal: AbortSignal;
  readonly #workplace: Workplace;
  readonly #way: Way;
  readonly #commands: Commands;
  readonly #ports = { web: 0, feed: 0 };

  constructor(story: Story, signal: AbortSignal, workplace: Workplace, way: Way) {
    this.#story = story;
    this.#signal = signal;
    this.#workplace = workplace;
    this.#way = way;
    this.#commands = new Commands(story, workplace, signal);
  }

  async run(): Promise<Report> {
    const story = this.#story;
    const way = this.#way;
    const start = performance.now();
    const images = await story.step("Real images, built from Debian's packages (cached)", () =>
      this.#images(),
    );
    const imports = await story.step(way.importTitle, () => this.#import(images));
    await story.step(`Run two of them with Podman and ${way.runtime}`, () => this.#start());
    const before = await story.step("The exploit works (CVE-2026-45186, a denial of service)", () =>
      this.#attackAll(),
    );
    must(before.web.documentMs > SLOW_MS, "the vulnerable library is slow on the document");
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
    const again = await story.step("Fix again", () => this.#fixAgain(fix, undone.attack));
    const rebuildMs = await story.step("For comparison: rebuild one image the ordinary way", () =>
      rebuildOrdinary(this.#workplace, images.web.layout, images.web.tag, story, this.#signal),
    );
    const totalMs = performance.now() - start;
    const { steps } = story;
    return {
      way: way.name,
      imports,
      before,
      fix,
      restart,
      after,
      proof,
      undone,
      again,
      rebuildMs,
      totalMs,
      steps,
    };
  }

  async #images(): Promise<DemoImages> {
    await buildAtomfs(this.#signal);
    await copyPrograms(this.#workplace.programs);
    return buildDemoImages({ cacheDir: cacheDirectory(), log: this.#story.say, signal: this.#signal });
  }

  async #import(images: DemoImages): Promise<Record<(typeof IMAGES)[number], ImportAnswer>> {
    const one = async (name: (typeof IMAGES)[number]): Promise<ImportAnswer> => {
      const args = await this.#way.offer(this.#commands, images[name]);
      return this.#commands.atomfs<ImportAnswer>(["import", ...args], importText);
    };
    const imports = { web: await one("web"), feed: await one("feed"), plain: await one("plain") };
    this.#story.say(
      await this.#commands.run([
        "podman",
        "images",
        "--format",
        "table {{.Repository}} {{.Tag}} {{.ID}} {{.ReadOnly}}",
      ]),
    );
    return imports;
  }

  async #start(): Promise<void> {
    for (const name of SERVICES) {
      // Not earlier: somebody else could take it until then.
      this.#ports[name] = freePort();
      const publish = `127.0.0.1:${this.#ports[name]}:8080`;
      const options = ["--runtime", this.#way.runtime, "--detach", "--name", name, "--publish", publish];
      await this.#commands.run(["podman", "run", ...options, `${name}:1.0`]);
    }
    for (const name of SERVICES) await untilHealthy(this.#url(name), this.#signal);
  }

  #url(name: (typeof SERVICES)[number]): string {
    return `http://127.0.0.1:${this.#ports[name]}/`;
  }

  async #attackAll(): Promise<Attacks> {
    const one = async (name: (typeof SERVICES)[number]): Promise<Attack> => {
      const result = await attack(this.#url(name), this.#signal);
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
    const restarted = await this.#way.restart(this.#commands, SERVICES);
    this.#story.say(restarted.map((each) => `${each.name} ${seconds(each.milliseconds)}`).join(", "));
    must(
      restarted.length === SERVICES.length && restarted.every((each) => each.error === undefined),
      "both restart",
    );
    for (const name of SERVICES) await untilHealthy(this.#url(name), this.#signal);
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
            (image) =>
              `image ${image.names[0]}: ${image.filesChecked} files and the package database are right`,
          ),
          ...each.containers.map(
            (container) =>
              `container ${container.name}: ${container.processes} process(es), ${container.provenMappings} mapping(s) of the new library measured, none of the old`,
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
      const complaints = (
        await this.#commands.run(["podman", "exec", name, "dpkg", "-V", VULNERABLE_PACKAGE], [0, 1, 2])
      ).trim();
      this.#story.say(complaints === "" ? "clean" : complaints);
      must(complaints === "", `dpkg -V is clean in ${name}`);
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
    must(attacked.web.documentMs > SLOW_MS, "the exploit works again on the old molecule");
    return { milliseconds: reverted.milliseconds, attack: attacked };
  }

  async #fixAgain(first: FixAnswer, slow: Attacks) {
    const fix = await this.#fix();
    const molecules = (answer: FixAnswer): string =>
      answer.images
        .map((image) => image.molecule)
        .sort()
        .join();
    must(molecules(fix) === molecules(first), "the same fix gives the same molecules");
    await this.#restart();
    const attacked = await this.#attackAll();
    must(attacked.web.documentMs * 3 < slow.web.documentMs, "the exploit is dead again");
    const proof = await this.#verify();
    return { fixMs: fix.timings.fixMs, attack: attacked, isFixed: proof.every((each) => each.isFixed) };
  }

  async #current(name: (typeof IMAGES)[number]): Promise<string> {
    const answer = await this.#commands.quietly<readonly ImageRow[]>(["images"]);
    const image = answer.find((each) => each.names.includes(imageName(name)));
    if (image === undefined) throw new AtomfsError("failed", `Image ${name} is not in the store`);
    return image.molecule;
  }

  #fileDigest(molecule: string): string {
    return createHash("sha256")
      .update(readFileSync(join(this.#workplace.root, "molecules", `${molecule}.erofs`)))
      .digest("hex");
  }
}

function importText(answer: ImportAnswer): string {
  const { packageAtoms, layerAtoms, newAtoms, totalBytes, newBytes, adoptedBytes, sharedBytes } = answer;
  const adopted = adoptedBytes === 0 ? "" : ` (${bytesText(newBytes - adoptedBytes)} copied)`;
  return [
    `${packageAtoms + layerAtoms} atoms (${newAtoms} new), ${bytesText(totalBytes)}:`,
    `${bytesText(newBytes)} new${adopted}, ${bytesText(sharedBytes)} shared, ${seconds(answer.milliseconds)}`,
  ].join(" ");
}
