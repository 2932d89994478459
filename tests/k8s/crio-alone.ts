import { join } from "node:path";
import { buildDemoImages, VULNERABLE_PACKAGE, VULNERABLE_VERSION } from "../../scripts/demo/images.ts";
import { cacheDirectory } from "../../scripts/demo/rebuild.ts";
import type { Promised } from "../../scripts/k8s/cluster-story.ts";
import { LoneCrio } from "../../scripts/k8s/lone-crio.ts";
import { startManyContainers } from "../../scripts/k8s/many-containers.ts";
import { PLACE, storeOf } from "../../scripts/k8s/place.ts";
import { because, failurePolicies, versionIn } from "./failure-policy.ts";
import { gcFollowsCrio } from "./gc-follows-crio.ts";
import { imageStoreUnderRunc } from "./image-store.ts";
import { SmallDisk } from "./small-disk.ts";

/** What needs a node's engine and no Kubernetes. */
export async function crioAlone(
  promised: Promised,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const images = await buildDemoImages({ cacheDir: cacheDirectory(), log: say, signal });
  let disk: SmallDisk | undefined;
  const before = async (): Promise<void> => {
    disk = await SmallDisk.make(join(PLACE, "store.ext4"), storeOf("n1"));
  };
  {
    await using crio = await LoneCrio.start({ log: say, signal, before });
    if (disk === undefined) throw new TypeError("The store's disk was not made");
    const known = await crio.pull(images.web.source, "demo/web:1.0");
    const unknown = await crio.pull(images.feed.source, "demo/feed:1.0");
    await crio.answer("import", "--graph-root", crio.graphRoot, `containers-storage:${known}`);
    await crio.answer("fix", VULNERABLE_PACKAGE, "--yes");
    await failurePolicies({ crio, disk, known, unknown, promised, say });
    await importAtCreate(crio, unknown, promised, say);
    await manyAtOnce(crio, known, promised, say);
    await gcFollowsCrio(crio, known, promised);
  }
  await imageStoreUnderRunc({ images, promised, say, signal });
}

/** As many as a node may have to start after it was away. */
async function manyAtOnce(
  crio: LoneCrio,
  image: string,
  promised: Promised,
  say: (text: string) => void,
): Promise<void> {
  crio.policy('on-error = "refuse"', 'outdated = "replace"');
  const number = { pods: 20, containers: 200 };
  const { ms, running, failures, remove } = await startManyContainers(crio, { name: "many", image }, number);
  promised(
    running === number.containers,
    `${number.containers} containers with a fix that are started at once all run${because(failures)}`,
  );
  say(`${number.containers} containers in ${(ms / 1000).toFixed(1)} s`);
  await remove();
}

/** An image that the node sees for the first time after the fix. */
async function importAtCreate(
  crio: LoneCrio,
  image: string,
  promised: Promised,
  say: (text: string) => void,
): Promise<void> {
  crio.policy('unknown = "import"');
  for (const start of ["first", "second"] as const) {
    const { sandbox, container } = await crio.runPod({ name: `${start}-start`, image });
    const version = await versionIn(crio, container);
    const { why, "import-ms": importMs } = await crio.atCreate(container);
    promised(
      version !== VULNERABLE_VERSION && why === "fix" && (importMs !== undefined) === (start === "first"),
      `unknown = import: the ${start} container of the image has the fix (${version})`,
    );
    if (importMs !== undefined) say(`the import took ${importMs} ms of the first start`);
    await crio.removePods(sandbox);
  }
}
