/** Pods that ask for what pods may ask for, as Kubernetes' JSON. */

const ROOTS_OWN = { terminationGracePeriodSeconds: 1, restartPolicy: "Never" } as const;

/** On a loaded machine: by default a probe that takes longer than a second has failed. */
const SLOW_EXEC_SECONDS = 30;

export type Placed = { readonly image: string; readonly node: string };

export function pod(name: string, { node }: Placed, spec: object, more: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, ...more },
    spec: { nodeName: node, ...ROOTS_OWN, ...spec },
  };
}

export const sh = (script: string): readonly string[] => ["sh", "-c", script];

/** An init container and a sidecar work for the main container, which has volumes and a strict security context. */
export function composedPod(at: Placed): readonly object[] {
  const { image } = at;
  const shared = [{ name: "e", mountPath: "/e" }];
  const strict = {
    runAsUser: 1234,
    runAsGroup: 2345,
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    seccompProfile: { type: "RuntimeDefault" },
  };
  const sources = [
    { configMap: { name: "settings" } },
    { serviceAccountToken: { path: "token", expirationSeconds: 3600 } },
    { downwardAPI: { items: [{ path: "name", fieldRef: { fieldPath: "metadata.name" } }] } },
  ];
  return [
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "settings" }, data: { colour: "green" } },
    pod("composed", at, {
      initContainers: [
        { name: "first", image, command: sh("echo made > /e/first"), volumeMounts: shared },
        {
          name: "sidecar",
          image,
          restartPolicy: "Always",
          command: sh("echo up > /e/sidecar; exec sleep 1000"),
          startupProbe: {
            exec: { command: ["test", "-e", "/e/sidecar"] },
            periodSeconds: 1,
            failureThreshold: 30,
            timeoutSeconds: SLOW_EXEC_SECONDS,
          },
          volumeMounts: shared,
        },
      ],
      containers: [
        {
          name: "main",
          image,
          command: sh("cat /e/first /e/sidecar /c/colour /p/name; exec sleep 1000"),
          securityContext: strict,
          volumeMounts: [...shared, { name: "c", mountPath: "/c" }, { name: "p", mountPath: "/p" }],
        },
        // kubectl attach talks to this one.
        {
          name: "echo",
          image,
          stdin: true,
          command: sh('while read -r line; do echo "heard $line"; done; exec sleep 1000'),
        },
      ],
      volumes: [
        { name: "e", emptyDir: {} },
        { name: "c", configMap: { name: "settings" } },
        { name: "p", projected: { sources } },
      ],
    }),
  ];
}

/** Becomes ill after a second. */
export function illPod(at: Placed): object {
  const isWell = {
    exec: { command: ["test", "!", "-e", "/tmp/ill"] },
    periodSeconds: 1,
    failureThreshold: 1,
    timeoutSeconds: SLOW_EXEC_SECONDS,
  };
  const command = sh("sleep 1; touch /tmp/ill; exec sleep 1000");
  const container = { name: "c", image: at.image, command, livenessProbe: isWell };
  return pod("ill", at, { restartPolicy: "Always", containers: [container] });
}

/** Takes more memory than it may. */
export function greedyPod(at: Placed): object {
  const command = [
    "python3",
    "-c",
    "held = bytearray(1 << 29); held[::4096] = bytes(1 << 17); print(len(held))",
  ];
  const resources = { limits: { memory: "48Mi" } };
  return pod("greedy", at, { containers: [{ name: "c", image: at.image, command, resources }] });
}

/** The node's own network, processes and devices. */
export function hostPods(at: Placed): readonly object[] {
  const container = { name: "c", image: at.image, command: ["sleep", "1000"] };
  return [
    pod("host-namespaces", at, { hostNetwork: true, hostPID: true, hostIPC: true, containers: [container] }),
    pod("privileged", at, {
      containers: [{ ...container, securityContext: { privileged: true, runAsUser: 0 } }],
    }),
  ];
}

export type Limits = { readonly milliCpu: number; readonly mebibytes: number };
export const GUARANTEED: Limits = { milliCpu: 100, mebibytes: 64 };

/** Its limits are its requests: kubelet asks for a lower oom_score_adj. */
export function guaranteedPod(at: Placed): object {
  const amount = { cpu: `${GUARANTEED.milliCpu}m`, memory: `${GUARANTEED.mebibytes}Mi` };
  const resources = { requests: amount, limits: amount };
  return pod("guaranteed", at, {
    containers: [{ name: "c", image: at.image, command: ["sleep", "1000"], resources }],
  });
}

/** For kubelet's own directory. */
export function staticPod({ image }: Placed): object {
  const containers = [{ name: "c", image, command: ["sleep", "1000"] }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "static" },
    spec: { ...ROOTS_OWN, restartPolicy: "Always", containers },
  };
}

/** Says in `directory`, of the node, how it is ended. */
export function orderlyPod(at: Placed, directory: string): object {
  const container = {
    name: "c",
    image: at.image,
    command: sh(`trap 'echo term >> /out/said; sleep 1; echo end >> /out/said; exit 0' TERM
echo started >> /out/said
while :; do sleep 0.1; done`),
    securityContext: { runAsUser: 0 },
    lifecycle: { preStop: { exec: { command: sh("echo stop >> /out/said") } } },
    volumeMounts: [{ name: "out", mountPath: "/out" }],
  };
  const volumes = [{ name: "out", hostPath: { path: directory, type: "Directory" } }];
  return pod("orderly", at, { terminationGracePeriodSeconds: 120, containers: [container], volumes });
}
