import { join } from "node:path";
import { AtomfsError } from "../../src/core/errors.ts";
import { tied } from "../demo/commands.ts";
import type { Cluster } from "./cluster.ts";
import { APPS, REPLICAS } from "./manifests.ts";
import { inNetwork, nodeNetwork } from "./place.ts";

export type Watched = {
  /** Of the Services, by somebody on the first node who never stops. */
  readonly asked: number;
  /** What went wrong with a request. */
  readonly failures: readonly string[];
  /** Of each Deployment, what its status ever said. */
  readonly leastAvailable: ReadonlyMap<string, number>;
};

type Answers = Pick<Watched, "asked" | "failures">;
type Child = Bun.Subprocess<"pipe" | "ignore", "pipe", "ignore">;

/**
 * Watches the Deployments and asks their Services, from `start` until `stop`. Not by `unavailableReplicas`: that counts a pod that is
 * made before an old one goes, too.
 */
export class RolloutWatch {
  readonly #status: Child;
  readonly #statusText: Promise<string>;
  readonly #asker: Child;
  readonly #answers: Promise<string>;

  private constructor(status: Child, asker: Child) {
    this.#status = status;
    this.#statusText = new Response(status.stdout).text();
    this.#asker = asker;
    this.#answers = new Response(asker.stdout).text();
  }

  static async start({ kubectl }: Cluster, signal: AbortSignal): Promise<RolloutWatch> {
    const urls = await Promise.all(
      APPS.map(async (app) => {
        const address = ["get", `service/${app}`, "--output=jsonpath={.spec.clusterIP}"];
        return `http://${await kubectl.run(address)}/health`;
      }),
    );
    const line = 'jsonpath={.metadata.name} {.status.availableReplicas}{"\\n"}';
    const watch = kubectl.argv(["get", "deployments", "--watch", `--output=${line}`]);
    const ask = inNetwork(nodeNetwork("n1"), [
      process.execPath,
      join(import.meta.dir, "ask-from.ts"),
      ...urls,
    ]);
    const quiet = { stdout: "pipe", stderr: "ignore", signal } as const;
    return new RolloutWatch(
      Bun.spawn(tied(watch), { ...quiet, stdin: "ignore" }),
      Bun.spawn(tied(ask), { ...quiet, stdin: "pipe" }),
    );
  }

  /** @throws AtomfsError "failed" if nothing was watched or asked */
  async stop(): Promise<Watched> {
    const { stdin } = this.#asker;
    if (typeof stdin === "object") await stdin.end();
    this.#status.kill("SIGTERM");
    await Promise.all([this.#asker.exited, this.#status.exited]);
    const answers = await this.#answers;
    const leastAvailable = leastOf(await this.#statusText);
    if (answers === "" || leastAvailable.size === 0)
      throw new AtomfsError("failed", "Nobody watched the rollout");
    return { ...(JSON.parse(answers) as Answers), leastAvailable };
  }
}

/** "NAME NUMBER" for each time that a Deployment changed; Kubernetes leaves a zero out. */
function leastOf(text: string): Map<string, number> {
  const least = new Map<string, number>();
  for (const line of text.split("\n").filter((each) => each !== "")) {
    const [name = "", number = ""] = line.split(" ");
    const available = Number(number);
    least.set(name, Math.min(available, least.get(name) ?? available));
  }
  return least;
}

/** A rollout that makes each pod's successor first, and sends nobody to a pod that goes. */
export function noneWasMissing(
  { asked, failures, leastAvailable }: Watched,
  promised: (isTrue: boolean, promise: string) => void,
  say: (text: string) => void,
): void {
  const least = APPS.map((app) => `${app} ${leastAvailable.get(app)}`).join(", ");
  say(`meanwhile at least available: ${least}; ${asked} requests, ${failures.length} failed`);
  promised(
    APPS.every((app) => leastAvailable.get(app) === REPLICAS),
    `no replica is missing during the rollout (at least available: ${least})`,
  );
  promised(
    failures.length === 0 && asked > 0,
    `no request to a Service fails during the rollout${failures.length === 0 ? "" : `: ${failures[0]}`}`,
  );
}
