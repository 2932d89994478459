import { join } from "node:path";
import type { DemoImages } from "../../scripts/demo/images.ts";
import { VULNERABLE_PACKAGE, VULNERABLE_VERSION } from "../../scripts/demo/images.ts";
import type { Promised } from "../../scripts/k8s/cluster-story.ts";
import { LoneCrio, type Pod } from "../../scripts/k8s/lone-crio.ts";
import { PROGRAMS } from "../../scripts/k8s/opened-place.ts";
import { storeOf } from "../../scripts/k8s/place.ts";
import { RUNC_DROP_IN } from "../../scripts/k8s/runc-drop-in.ts";
import { run } from "../../src/sys/process.ts";
import { versionIn } from "./failure-policy.ts";

const STORE: string = storeOf("n1");
const WEB = "localhost/demo/web:1.0";
const FEED = "localhost/demo/feed:1.0";

const DROP_INS = {
  "50-runc.conf": RUNC_DROP_IN,
  "60-default.conf": '[crio.runtime]\ndefault_runtime = "runc"\n',
  "50-atomfs-images.conf": `[crio]
storage_option = ["overlay.imagestore=${join(STORE, "image-store")}"]
`,
};

type Case = {
  readonly images: DemoImages;
  readonly promised: Promised;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
};

/** The second way: CRI-O with runc and its own overlay, whose images come out of AtomFS's image store. */
export async function imageStoreUnderRunc({ images, promised, say, signal }: Case): Promise<void> {
  const before = async (): Promise<void> => {
    const argv = [
      join(PROGRAMS, "atomfs"),
      "--root",
      STORE,
      "import",
      images.web.source,
      "--name",
      WEB,
    ] as const;
    await run(argv, { signal });
  };
  await using crio = await LoneCrio.start({ log: say, signal, dropIns: DROP_INS, before });
  promised(await lists(crio, WEB), "image store: CRI-O lists the image that AtomFS holds");
  const old = await startIn(crio, "old", WEB);
  promised(
    (await versionIn(crio, old.container)) === VULNERABLE_VERSION,
    "image store: a pod of runc runs on the image's molecule",
  );
  const { fixes } = await crio.answer<{ fixes: readonly { id: string }[] }>(
    "fix",
    VULNERABLE_PACKAGE,
    "--yes",
  );
  promised(
    (await versionIn(crio, old.container)) === VULNERABLE_VERSION && (await rootOf(crio, old)) === "outdated",
    "image store: after the fix the running pod keeps its root, and is outdated",
  );
  const options = { name: "old", image: WEB };
  const again = await crio.createContainer(old.sandbox, { ...options, container: "again" });
  await crio.crictl("start", again);
  const fresh = await startIn(crio, "fresh", WEB);
  for (const [what, container] of [
    ["the container that is made anew in the same pod", again],
    ["a new pod", fresh.container],
  ] as const) {
    const version = await versionIn(crio, container);
    promised(version !== VULNERABLE_VERSION, `image store: ${what} has the fix (${version})`);
  }
  await crio.exec(fresh.container, "touch", "/tmp/new");
  promised(
    (await rootOf(crio, fresh)) === "current",
    "image store: atomfs containers says that it is current",
  );
  await crio.removePods(old.sandbox);
  const proof = await crio.answer<readonly { isFixed: boolean }[]>("fix", "verify");
  promised(proof.length > 0 && proof.every((each) => each.isFixed), "image store: fix verify proves it");

  await crio.answer("import", images.feed.source, "--name", FEED);
  promised(
    await lists(crio, FEED),
    "image store: an image that is imported later is there without a restart",
  );
  const removed = await crio.tryCrictl("rmi", FEED);
  say(`crictl rmi of it: ${removed.code} ${removed.stderr.trim().split("\n").at(-1) ?? ""}`);
  promised(await lists(crio, FEED), "image store: the engine cannot remove what AtomFS shows");

  for (const { id } of fixes) await crio.answer("fix", "revert", id);
  const reverted = await startIn(crio, "reverted", WEB);
  promised(
    (await versionIn(crio, reverted.container)) === VULNERABLE_VERSION,
    "image store: after a revert a new pod is as it was",
  );
  await crio.removePods(fresh.sandbox, reverted.sandbox);
  await crio.answer("unmount");
  const sandbox = await crio.makeSandbox({ name: "unmounted", image: WEB });
  const { code, stderr } = await crio.tryCreate(sandbox, { name: "unmounted", image: WEB });
  say(`a pod while nothing is mounted: ${stderr.trim().split("\n").at(-1) ?? ""}`);
  promised(code !== 0, "image store: without its mounts (after a boot, before atomfs deploy) no pod starts");
  await crio.answer("deploy");
  const deployed = await crio.tryCreate(sandbox, { name: "unmounted", image: WEB });
  promised(deployed.code === 0, "image store: after atomfs deploy it does");
  await crio.removePods(sandbox);
}

async function lists(crio: LoneCrio, name: string): Promise<boolean> {
  return (await crio.crictl("images", "--output", "json")).includes(`"${name}"`);
}

async function startIn(crio: LoneCrio, name: string, image: string): Promise<Pod> {
  return crio.runPod({ name, image });
}

async function rootOf(crio: LoneCrio, { container }: Pod): Promise<string | undefined> {
  const rows = await crio.answer<readonly { id: string; root: string }[]>("containers");
  return rows.find(({ id }) => id === container)?.root;
}
