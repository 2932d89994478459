/** The pods that come and go in the storm, as Kubernetes' JSON. */

export const STORM_LABEL = "storm";

export type StormPod = { readonly name: string; readonly image: string; readonly node: string };

const RESOURCES = { requests: { memory: "16Mi" }, limits: { memory: "64Mi" } };

/** One of several kinds: plain, of two containers, with an init container, with volumes. */
export function stormPod({ name, image, node }: StormPod, kind: number): object {
  const container = (own: string): object => ({
    name: own,
    image,
    imagePullPolicy: "IfNotPresent",
    command: ["sleep", "100000"],
    resources: RESOURCES,
    ...(kind % 4 === 3 ? { volumeMounts: [{ name: "v", mountPath: "/v" }] } : {}),
  });
  const before = { name: "before", image, command: ["true"], resources: RESOURCES };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: STORM_LABEL } },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 1,
      containers: kind % 4 === 1 ? [container("a"), container("b")] : [container("a")],
      ...(kind % 4 === 2 ? { initContainers: [before] } : {}),
      ...(kind % 4 === 3 ? { volumes: [{ name: "v", emptyDir: { medium: "Memory" } }] } : {}),
    },
  };
}
