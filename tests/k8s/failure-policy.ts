import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { VULNERABLE_PACKAGE, VULNERABLE_VERSION } from "../../scripts/demo/images.ts";
import type { Promised } from "../../scripts/k8s/cluster-story.ts";
import type { LoneCrio } from "../../scripts/k8s/lone-crio.ts";
import type { Sha256 } from "../../src/core/digest.ts";
import { storeLayout } from "../../src/store/layout.ts";
import { patience } from "../support/slowness.ts";
import type { SmallDisk } from "./small-disk.ts";
import { holdLock, storeTroubles, type Trouble } from "./store-troubles.ts";

export type FailureCase = {
  readonly crio: LoneCrio;
  /** The store is on it. */
  readonly disk: SmallDisk;
  /** An image with a fix, which the store knows. */
  readonly known: string;
  /** One that it does not know. */
  readonly unknown: string;
  readonly promised: Promised;
  readonly say: (text: string) => void;
};

/** A start takes one or two of them: what waits for anything takes longer than a busy machine does. */
const START_SECONDS = 60;
const REFUSE = 'on-error = "refuse"';

/** Whatever is wrong with AtomFS's store, the policy decides whether pods start, and it is told. */
export async function failurePolicies(given: FailureCase): Promise<void> {
  const { crio, disk, promised, say } = given;
  const config = await configOf(given);
  for (const trouble of storeTroubles(crio.storeRoot, disk, config)) {
    const mend = await trouble.make();
    try {
      const unfixedMs = await startsUnfixed(given, trouble);
      const refusedMs = await startsNot(given, trouble);
      const seconds = [unfixedMs, refusedMs].map((ms) => `${(ms / 1000).toFixed(1)} s`).join(" and ");
      say(`${trouble.name}: ${seconds}`);
      promised(
        Math.max(unfixedMs, refusedMs) < patience(((trouble.importSeconds ?? 0) + START_SECONDS) * 1000),
        `${trouble.name}: nothing hangs, whatever the policy (${seconds})`,
      );
    } finally {
      await mend();
    }
  }
  await startsFixed(given, "a store that is well again", () => undefined);
  await startsFixed(given, "a store that is full", () => disk.fill());
  disk.empty();
  await startsFixed(given, "a store that is read-only", () => disk.setReadOnly(true));
  await disk.setReadOnly(false);
  const { catalog } = storeLayout(crio.storeRoot);
  {
    await using _ = await holdLock(crio.storeRoot);
    await startsFixed(given, "a store that is locked", () => undefined);
  }
  await startsFixed(given, "a damaged catalog", () => {
    for (const suffix of ["-wal", "-shm"]) rmSync(`${catalog}${suffix}`, { force: true });
    writeFileSync(catalog, "no database\n".repeat(1000));
  });
  const fsck = await crio.atomfs("fsck");
  promised(
    fsck.code === 0,
    `when all is mended, fsck finds the store clean${because(fsck.code === 0 ? [] : [fsck.stderr.trim()])}`,
  );
}

async function configOf({ crio, known }: FailureCase): Promise<Sha256> {
  type Images = readonly { readonly names: readonly string[]; readonly id: Sha256 }[];
  const image = (await crio.answer<Images>("images")).find(({ names }) => names.includes(known));
  if (image === undefined) throw new TypeError(`The store does not know ${known}`);
  return image.id;
}

function policyFor({ image, importSeconds }: Trouble): readonly string[] {
  if (image !== "unknown") return [];
  return [
    'unknown = "import"',
    ...(importSeconds === undefined ? [] : [`import-seconds = ${importSeconds}`]),
  ];
}

/** @returns how long the start took, in milliseconds */
async function startsUnfixed(given: FailureCase, trouble: Trouble): Promise<number> {
  const { crio, promised } = given;
  crio.policy(...policyFor(trouble));
  rmSync(crio.log, { force: true });
  const image = given[trouble.image ?? "known"];
  const start = performance.now();
  const { sandbox, container } = await crio.runPod({ name: "unfixed", image });
  const ms = performance.now() - start;
  const version = await versionIn(crio, container);
  promised(
    version === VULNERABLE_VERSION,
    `${trouble.name}, on-error = run: the pod starts, without the fix`,
  );
  const told = await crio.atCreate(container);
  const error = told["error"] ?? "";
  const isTold = told["root"] === "engine" && told["why"] === "error" && told["policy"] === "on-error=run";
  promised(
    isTold && trouble.why.test(error) && trouble.advice.test(error),
    `${trouble.name}: the container's state says so: ${error}`,
  );
  const log = existsSync(crio.log) ? readFileSync(crio.log, "utf8") : "";
  promised(
    /level=warning msg="AtomFS failed, .* without fixes: /.test(log) && trouble.why.test(log),
    `${trouble.name}: crio-lxc's log says so`,
  );
  const listed = await crio.atomfs("containers");
  const line =
    listed.stdout
      .toString()
      .split("\n")
      .find((each) => each.includes("default/unfixed/c")) ?? "";
  promised(
    /engine: error \(on-error=run\)/.test(line) && trouble.why.test(line),
    `${trouble.name}: atomfs containers says so`,
  );
  await crio.removePods(sandbox);
  return ms;
}

/** @returns how long it took to fail, in milliseconds */
async function startsNot(given: FailureCase, trouble: Trouble): Promise<number> {
  const { crio, promised } = given;
  crio.policy(...policyFor(trouble), REFUSE);
  const image = given[trouble.image ?? "known"];
  const options = { name: "refused", image };
  const sandbox = await crio.makeSandbox(options);
  const start = performance.now();
  const { code, stderr } = await crio.tryCreate(sandbox, options);
  const ms = performance.now() - start;
  promised(
    code !== 0 && trouble.why.test(stderr) && trouble.advice.test(stderr) && stderr.includes(REFUSE),
    `${trouble.name}, on-error = refuse: the pod does not start, and its error says what to do`,
  );
  if (code === 0 || !trouble.why.test(stderr)) given.say(stderr);
  await crio.removePods(sandbox);
  return ms;
}

/** What a start with a fix does not need is no trouble. */
async function startsFixed(
  given: FailureCase,
  what: string,
  make: () => Promise<void> | void,
): Promise<void> {
  const { crio, promised, known } = given;
  await make();
  crio.policy(REFUSE);
  const start = performance.now();
  const { sandbox, container } = await crio.runPod({ name: "fixed", image: known });
  const ms = performance.now() - start;
  const version = await versionIn(crio, container);
  promised(
    version !== VULNERABLE_VERSION,
    `${what}: a pod of a known image starts with its fix (${version})`,
  );
  promised(
    ms < patience(START_SECONDS * 1000),
    `${what}: its start does not hang (${(ms / 1000).toFixed(1)} s)`,
  );
  await crio.removePods(sandbox);
}

/** For the end of a promise that was broken. */
export function because(reasons: readonly string[]): string {
  return reasons.length === 0 ? "" : `: ${reasons.join("; ")}`;
}

export async function versionIn(crio: LoneCrio, container: string): Promise<string> {
  const line = await crio.exec(container, "dpkg-query", "--show", VULNERABLE_PACKAGE);
  return line.split("\t")[1] ?? line;
}
