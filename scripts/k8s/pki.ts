import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import { CONTROL_ADDRESS, NODE_NAMES, nodeAddress, PLACE } from "./place.ts";

export const PKI: string = join(PLACE, "pki");
const VALID_DAYS = "30";

/** Who has a certificate: the names that Kubernetes itself knows (Kubernetes documentation, "PKI certificates and requirements"). */
const CLIENTS = {
  admin: "/O=system:masters/CN=admin",
  "controller-manager": "/CN=system:kube-controller-manager",
  scheduler: "/CN=system:kube-scheduler",
  proxy: "/CN=system:kube-proxy",
} as const;

export function kubeconfigOf(name: keyof typeof CLIENTS | (typeof NODE_NAMES)[number]): string {
  return join(PKI, `${name}.conf`);
}

/** A certificate authority, certificates and kubeconfigs of a cluster that lives for a demo. */
export async function makePki(signal: AbortSignal): Promise<void> {
  await mkdir(PKI, { recursive: true, mode: 0o700 });
  const openssl = (...args: readonly string[]): Promise<unknown> =>
    run(["openssl", ...args], { cwd: PKI, signal });
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await openssl("req", "-x509", ...ec, "-days", VALID_DAYS, "-subj", "/CN=atomfs-k8s", ...out("ca"));
  await openssl("genrsa", "-out", "sa.key", "2048");
  await openssl("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub");
  const certificate = async (name: string, subject: string, names: readonly string[]): Promise<void> => {
    const extensions = [
      "keyUsage=digitalSignature",
      "extendedKeyUsage=serverAuth,clientAuth",
      ...(names.length === 0 ? [] : [`subjectAltName=${names.join(",")}`]),
    ];
    await writeFile(join(PKI, `${name}.ext`), `${extensions.join("\n")}\n`);
    await openssl("req", "-new", ...ec, "-subj", subject, "-keyout", `${name}.key`, "-out", `${name}.csr`);
    const ca = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
    const request = ["-req", "-in", `${name}.csr`, "-extfile", `${name}.ext`, "-days", VALID_DAYS];
    await openssl("x509", ...request, ...ca, "-out", `${name}.crt`);
  };
  const cluster = "kubernetes.default.svc.cluster.local";
  const service = cluster.split(".").map((_, i, parts) => `DNS:${parts.slice(0, i + 1).join(".")}`);
  const addresses = ["127.0.0.1", CONTROL_ADDRESS, "10.96.0.1"].map((each) => `IP:${each}`);
  await certificate("apiserver", "/CN=kube-apiserver", ["DNS:localhost", ...service, ...addresses]);
  await certificate("apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client", []);
  for (const [name, subject] of Object.entries(CLIENTS)) {
    await certificate(name, subject, []);
    await writeFile(join(PKI, `${name}.conf`), kubeconfig(name), { mode: 0o600 });
  }
  for (const node of NODE_NAMES) {
    const names = [`DNS:${node}`, `IP:${nodeAddress(node)}`];
    await certificate(node, `/O=system:nodes/CN=system:node:${node}`, names);
    await writeFile(kubeconfigOf(node), kubeconfig(node), { mode: 0o600 });
  }
}

function out(name: string): string[] {
  return ["-keyout", `${name}.key`, "-out", `${name}.crt`];
}

/** YAML's superset of JSON. */
function kubeconfig(name: string): string {
  const server = `https://${CONTROL_ADDRESS}:6443`;
  const user = { "client-certificate": join(PKI, `${name}.crt`), "client-key": join(PKI, `${name}.key`) };
  return `${JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "atomfs",
    contexts: [{ name: "atomfs", context: { cluster: "atomfs", user: name } }],
    clusters: [{ name: "atomfs", cluster: { server, "certificate-authority": join(PKI, "ca.crt") } }],
    users: [{ name, user }],
  })}\n`;
}
