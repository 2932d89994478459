import type { Cluster } from "../../scripts/k8s/cluster.ts";
import type { Promised } from "../../scripts/k8s/cluster-story.ts";

type Events = {
  readonly items: readonly {
    readonly message: string;
    readonly involvedObject: { readonly name: string };
  }[];
};

/** Each pod of the Deployment that says Always asked the registry, and got the image that the fix applies to. */
export async function pulledAlways({ kubectl }: Cluster, promised: Promised): Promise<void> {
  const { items } = await kubectl.json<Events>(["get", "events", "--field-selector=reason=Pulled"]);
  const pods = await kubectl.run(["get", "pods", "--selector=app=shop", "--output=name"]);
  const names = pods
    .trim()
    .split("\n")
    .map((line) => line.replace("pod/", ""));
  const pulled = (name: string): boolean =>
    items.some(
      (event) => event.involvedObject.name === name && event.message.startsWith("Successfully pulled image"),
    );
  promised(
    names.length === 2 && names.every(pulled),
    "imagePullPolicy Always: the fixed pods' image was pulled for each of them",
  );
}
