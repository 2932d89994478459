import { join } from "node:path";
import { buildDemoImages } from "../../scripts/demo/images.ts";
import { cacheDirectory } from "../../scripts/demo/rebuild.ts";
import { PLACE } from "../../scripts/k8s/place.ts";
import { run } from "../../src/sys/process.ts";
import type { Scene } from "./scene.ts";

/**
 * Images with the files of the demo's feed and a configuration of their own: AtomFS has never seen them.
 * @returns by tag, as skopeo takes them
 */
export async function feedVariants<Tag extends string>(
  { say, signal }: Scene,
  tags: readonly Tag[],
): Promise<ReadonlyMap<Tag, string>> {
  const { feed } = await buildDemoImages({ cacheDir: cacheDirectory(), log: say, signal });
  const layout = join(PLACE, "variants");
  await run(["skopeo", "copy", "--quiet", "--insecure-policy", feed.source, `oci:${layout}:plain`], {
    signal,
  });
  const made = new Map<Tag, string>();
  for (const tag of tags) {
    const label = `--config.label=variant=${tag}`;
    await run(["umoci", "config", "--image", `${layout}:plain`, "--tag", tag, label], { signal });
    made.set(tag, `oci:${layout}:${tag}`);
  }
  return made;
}
