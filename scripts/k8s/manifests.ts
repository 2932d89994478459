/** What is deployed, as Kubernetes' JSON. */

export const APPS = ["shop", "feed"] as const;
export type App = (typeof APPS)[number];

export type AppOptions = {
  readonly name: App;
  readonly image: string;
  readonly pull: "Always" | "IfNotPresent";
};

const PORT = 8080;
const GOODBYE_SECONDS = 5;
export const REPLICAS = 2;

/** Two replicas, of which none may be missing during a rollout, and a Service before them. */
export function manifestOf({ name, image, pull }: AppOptions): string {
  const labels = { app: name };
  const probe = { httpGet: { path: "/health", port: PORT }, periodSeconds: 1, timeoutSeconds: 30 };
  const container = {
    name,
    image,
    imagePullPolicy: pull,
    ports: [{ containerPort: PORT }],
    readinessProbe: probe,
    // Requests reach a pod until every node's kube-proxy knows that it goes; this service ends at once when it is told.
    lifecycle: { preStop: { sleep: { seconds: GOODBYE_SECONDS } } },
    resources: { requests: { memory: "32Mi" }, limits: { memory: "256Mi" } },
    securityContext: { allowPrivilegeEscalation: false, seccompProfile: { type: "RuntimeDefault" } },
  };
  const spread = {
    maxSkew: 1,
    topologyKey: "kubernetes.io/hostname",
    whenUnsatisfiable: "ScheduleAnyway",
    labelSelector: { matchLabels: labels },
  };
  const deployment = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      replicas: REPLICAS,
      selector: { matchLabels: labels },
      strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 3 * GOODBYE_SECONDS,
          topologySpreadConstraints: [spread],
          containers: [container],
        },
      },
    },
  };
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec: { selector: labels, ports: [{ port: 80, targetPort: PORT }] },
  };
  return JSON.stringify({ apiVersion: "v1", kind: "List", items: [deployment, service] });
}
