import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type NodeName, nodeDirectory } from "../../scripts/k8s/place.ts";
import { run } from "../../src/sys/process.ts";
import { inContainer } from "./kubectl-streams.ts";
import { type Placed, pod, sh } from "./pod-manifests.ts";
import type { Scene } from "./scene.ts";

/** A Secret, parts of volumes, and a directory of the node that has a mount of its own inside. */
export function storedPod(at: Placed, tree: string): readonly object[] {
  const container = {
    name: "c",
    image: at.image,
    command: sh("exec sleep 1000"),
    securityContext: { runAsUser: 0 },
    volumeMounts: [
      { name: "secret", mountPath: "/s" },
      { name: "settings", mountPath: "/etc/colour", subPath: "colour" },
      { name: "empty", mountPath: "/part", subPath: "deep/er" },
      { name: "empty", mountPath: "/whole" },
      { name: "tree", mountPath: "/read-only", readOnly: true },
      { name: "tree", mountPath: "/recursive", readOnly: true, recursiveReadOnly: "Enabled" },
    ],
  };
  const volumes = [
    { name: "secret", secret: { secretName: "word", defaultMode: 0o400 } },
    { name: "settings", configMap: { name: "settings" } },
    { name: "empty", emptyDir: {} },
    { name: "tree", hostPath: { path: tree, type: "Directory" } },
  ];
  return [
    { apiVersion: "v1", kind: "Secret", metadata: { name: "word" }, stringData: { word: "sesame" } },
    pod("stored", at, { containers: [container], volumes }),
  ];
}

/** A directory of the node with a filesystem mounted in `sub`, until it is disposed of. */
export async function mountedTree(node: NodeName): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = join(nodeDirectory(node), "tree");
  const sub = join(path, "sub");
  await mkdir(sub, { recursive: true });
  await run(["mount", "-t", "tmpfs", "none", sub]);
  const unmount = async (): Promise<void> => {
    await run(["umount", sub]);
  };
  return { path, [Symbol.asyncDispose]: unmount };
}

type Handlers = readonly {
  readonly name: string;
  readonly features?: { readonly recursiveReadOnlyMounts?: boolean };
}[];

export async function storedAsAsked(scene: Scene, node: NodeName): Promise<void> {
  const { kubectl } = scene.cluster;
  const type = "stat -f -c %T /s";
  const secret = await inContainer(
    kubectl,
    "stored",
    "c",
    `stat -L -c '%a %u' /s/word; cat /s/word; echo; ${type}`,
  );
  scene.promised(
    secret.trim().split("\n").join() === "400 0,sesame,tmpfs",
    `a Secret is a file in memory with the mode that was asked for: ${secret.trim().split("\n").join(" ")}`,
  );
  const parts = await inContainer(
    kubectl,
    "stored",
    "c",
    "cat /etc/colour; echo; ls /etc/passwd; echo x > /part/new; ls /whole/deep/er",
  );
  scene.promised(
    parts.trim().split("\n").join(" ") === "green /etc/passwd new",
    `subPath: one file and one directory of a volume: ${parts.trim().split("\n").join(" ")}`,
  );
  const { status } = await kubectl.json<{ status: { runtimeHandlers?: Handlers } }>(["get", "node", node]);
  scene.promised(
    status.runtimeHandlers?.some(
      (each) => each.name === "" && each.features?.recursiveReadOnlyMounts === true,
    ) === true,
    "the node says that its runtime can mount read-only with all that is mounted inside",
  );
  const tries = ["/read-only/new", "/read-only/sub/new", "/recursive/new", "/recursive/sub/new"];
  const touch = (path: string): string => `touch ${path} 2>/dev/null && echo written || echo refused`;
  const outcome = await inContainer(kubectl, "stored", "c", tries.map(touch).join("; "));
  scene.promised(
    outcome.trim().split("\n").join(" ") === "refused written refused refused",
    `recursiveReadOnly: what is mounted inside is read-only, too (${outcome.trim().split("\n").join(" ")})`,
  );
}
