import type { Cluster } from "../../scripts/k8s/cluster.ts";

const NAME = "own-users";

/** All that the container sees of ids, in one exec (which joins a user namespace itself). */
const LOOK = [
  "echo $(cat /proc/self/uid_map)",
  "stat -c %u /usr/bin/python3.11 /e /var/run/secrets/kubernetes.io/serviceaccount/token",
  "touch /e/new /usr/bin/new && echo written",
  "dpkg-query --show libexpat1 | cut -f 2",
].join("; ");

/**
 * A pod with users of its own (hostUsers: false) has the fix; the image's files and its volumes are its own root's, which only
 * id-mapped mounts can give.
 */
export async function userNamespacePod(
  { kubectl }: Cluster,
  image: string,
  promised: (isTrue: boolean, promise: string) => void,
): Promise<void> {
  const container = {
    name: "c",
    image,
    command: ["sleep", "1000"],
    securityContext: { runAsUser: 0 },
    volumeMounts: [{ name: "e", mountPath: "/e" }],
  };
  const spec = {
    hostUsers: false,
    terminationGracePeriodSeconds: 0,
    volumes: [{ name: "e", emptyDir: {} }],
    containers: [container],
  };
  const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: NAME }, spec };
  await kubectl.run(["apply", "--filename=-"], JSON.stringify(pod));
  await kubectl.run(["wait", "--for=condition=Ready", `pod/${NAME}`, "--timeout=300s"]);
  const seen = (await kubectl.run(["exec", NAME, "--", "sh", "-c", LOOK])).trim().split("\n");
  const [map = "", ofImage, ofVolume, ofToken, written, version = ""] = seen;
  const [inside, outside] = map.split(" ");
  promised(inside === "0" && Number(outside) > 0, "hostUsers: false: the pod's root is not the machine's");
  promised(
    ofImage === "0" && ofVolume === "0" && ofToken === "0" && written === "written",
    "hostUsers: false: the image's files and the volumes are the pod's own",
  );
  promised(/\+deb12u([3-9]|\d\d)$/.test(version), `hostUsers: false: the pod has the fix (${version})`);
}
