/** Where kubelet's own credentials are: as kubeadm puts them, and kubelet's default place. */
export const NODE_KUBECONFIGS: readonly string[] = [
  "/etc/kubernetes/kubelet.conf",
  "/var/lib/kubelet/kubeconfig",
];

const NODE_USER = /^system:node:([a-z0-9][-a-z0-9.]*)$/;

/**
 * The name of the node whose credentials these are (Kubernetes documentation, "Using Node Authorization").
 * @param user as the API server calls the credentials' owner
 * @returns undefined for somebody else's
 */
export function nodeOfUser(user: string): string | undefined {
  return NODE_USER.exec(user)?.[1];
}
