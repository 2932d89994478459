import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import type { Attack } from "../demo/attack.ts";
import type { Cluster } from "./cluster.ts";
import type { App } from "./manifests.ts";
import { inNetwork, nodeNetwork } from "./place.ts";

/** The exploit through a Service, from the first node. */
export async function attackApp({ kubectl }: Cluster, app: App, signal: AbortSignal): Promise<Attack> {
  const address = await kubectl.run(["get", `service/${app}`, "--output=jsonpath={.spec.clusterIP}"]);
  const argv = [process.execPath, join(import.meta.dir, "attack-from.ts"), `http://${address}/`];
  const { stdout } = await run(inNetwork(nodeNetwork("n1"), argv), { signal });
  return JSON.parse(stdout.toString()) as Attack;
}
