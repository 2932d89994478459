import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { VULNERABLE_PACKAGE, VULNERABLE_VERSION } from "../../scripts/demo/images.ts";
import { AtCreateLab } from "../support/at-create-lab.ts";
import { patience } from "../support/slowness.ts";

/*
 * A new node: it has the fix, by `fix --release`, before it has an image. Under the real Podman, with the machine's real apt
 * sources and the demo's images.
 */

const LIMIT_MS = patience(300_000);

let lab: AtCreateLab;
let web = "";

beforeAll(async () => {
  lab = await AtCreateLab.open({ subnet: "10.89.187.0/24", bridge: "atomfs-create7" });
  web = await lab.pull("web");
}, patience(600_000));
afterAll(() => lab[Symbol.asyncDispose](), patience(120_000));

type Rule = { readonly id: string; readonly replacements: readonly { readonly package: string }[] };

test(
  "the first container of the first image has it",
  async () => {
    lab.policy('unknown = "import"', 'on-error = "refuse"');
    await lab.atomfs("fix", VULNERABLE_PACKAGE, "--release", "bookworm", "--yes");
    const [rule] = await lab.atomfs<readonly Rule[]>("fix", "list");
    // More than the image has.
    expect(rule?.replacements.map((each) => each.package)).toEqual(["expat", "libexpat1", "libexpat1-dev"]);
    expect(await lab.atomfsText("fix", "verify")).toMatchObject({
      code: 0,
      text: expect.stringContaining("nothing to prove"),
    });

    await lab.start("first", web);
    expect(await lab.version("first")).not.toBe(VULNERABLE_VERSION);
    expect(await lab.atCreate("first")).toMatchObject({ root: "molecule", why: "fix" });
    const [proof] = await lab.atomfs<{ isFixed: boolean; containers: { name: string }[] }[]>("fix", "verify");
    expect(proof?.isFixed).toBe(true);
    expect(proof?.containers.map(({ name }) => name)).toEqual(["first"]);

    // The image was never without: one generation, and the fix of before.
    const [image] = await lab.atomfs<{ generation: number; fixes: string[] }[]>("images");
    expect(image).toMatchObject({ generation: 1, fixes: [rule?.id] });
    const records = readdirSync(join(lab.storeRoot, "journal")).length;
    await lab.atomfs("fix", VULNERABLE_PACKAGE, "--release", "bookworm", "--yes");
    expect(readdirSync(join(lab.storeRoot, "journal"))).toHaveLength(records);
    expect((await lab.atomfsText("fsck")).text).toContain("clean");
  },
  LIMIT_MS,
);

test(
  "reverted, the next start is without it",
  async () => {
    const [rule] = await lab.atomfs<readonly Rule[]>("fix", "list");
    await lab.atomfs("fix", "revert", rule?.id ?? "");
    await lab.restart("first");
    expect(await lab.version("first")).toBe(VULNERABLE_VERSION);
    await lab.remove("first");
  },
  LIMIT_MS,
);
