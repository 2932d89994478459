import { join } from "node:path";
import { shortId } from "../../src/cli/output.ts";
import { AtomfsError } from "../../src/core/errors.ts";
import { patience } from "../../tests/support/slowness.ts";
import type { ContainerRow, FixAnswer, RevertAnswer, VerifyAnswer } from "../demo/answers.ts";
import type { Attack } from "../demo/attack.ts";
import { type CommandPlace, Commands } from "../demo/commands.ts";
import { buildDemoImages, VULNERABLE_PACKAGE } from "../demo/images.ts";
import { cacheDirectory } from "../demo/rebuild.ts";
import { type Story, seconds } from "../demo/story.ts";
import { attackApp } from "./attack-app.ts";
import type { Cluster } from "./cluster.ts";
import { pushImage } from "./control-plane.ts";
import { APPS, type App, manifestOf, REPLICAS } from "./manifests.ts";
import { nodeEnv } from "./node-files.ts";
import { kubeconfigOf } from "./pki.ts";
import { CONTROL_NETWORK, type NodeName, nodeDirectory, nodeNetwork } from "./place.ts";
import { noneWasMissing, RolloutWatch } from "./rollout-watch.ts";

/** Is it as it must be? A demo ends with an error if not, a test counts. */
export type Promised = (isTrue: boolean, promise: string) => void;

export type Attacks = Readonly<Record<App, Attack>>;
type RestartOutcome = {
  readonly owner: { readonly kind: string; readonly name: string };
  readonly pods: readonly string[];
  readonly error?: string;
};
type Pod = { readonly name: string; readonly node: NodeName; readonly image: string };

/** What the document costs a vulnerable library on a fast machine: several times this. */
const SLOW_MS = 500;
const ROLLOUT_TIMEOUT = "--timeout=600s";
const OLD_PODS_MS = 300_000;

/** What demo:k8s tells and test:k8s asserts: an exploit, one fix on the nodes, a rollout, a dead exploit; and back. */
export class ClusterStory {
  readonly #cluster: Cluster;
  readonly #story: Story;
  readonly #promised: Promised;
  readonly #signal: AbortSignal;

  constructor(cluster: Cluster, story: Story, promised: Promised, signal: AbortSignal) {
    this.#cluster = cluster;
    this.#story = story;
    this.#promised = promised;
    this.#signal = signal;
  }

  /** The story's Deployments, fixed, and nothing more. @returns the vulnerable answers, as `run` */
  prepare(): Promise<Attacks> {
    return this.#story.step("Two Deployments, fixed on both nodes", async () => {
      await this.#deploy();
      const before = await this.#attackAll();
      await this.#import();
      await this.#fix();
      await this.#restart();
      return before;
    });
  }

  /** @returns what the exploit did before the fix */
  async run(): Promise<Attacks> {
    const story = this.#story;
    await story.step("Two Deployments of different images, two replicas each, behind Services", () =>
      this.#deploy(),
    );
    const before = await story.step("The exploit works (CVE-2026-45186, a denial of service)", () =>
      this.#attackAll(),
    );
    this.#promised(before.shop.documentMs > SLOW_MS, "the vulnerable library is slow on the document");
    await story.step("Each node's AtomFS makes atoms of the images that its CRI-O holds", () =>
      this.#import(),
    );
    const first = await story.step(`Fix ${VULNERABLE_PACKAGE} on the nodes: one command each`, () =>
      this.#fix(),
    );
    await story.step("Restart what is outdated, through Kubernetes", () => this.#restart());
    const after = await story.step("The exploit is dead", () => this.#attackAll());
    this.#promised(
      APPS.every((app) => after[app].documentMs * 3 < before[app].documentMs),
      "the fixed library is fast on the document",
    );
    await story.step("Verify every pod, from the nodes", () => this.#verify());
    await story.step("Undo", async () => {
      await this.#revert(first);
      await this.#restart();
    });
    const undone = await story.step("The exploit works again", () => this.#attackAll());
    this.#promised(undone.shop.documentMs > SLOW_MS, "without the fix the library is slow again");
    const second = await story.step("Fix again", async () => {
      const fixed = await this.#fix();
      await this.#restart();
      return fixed;
    });
    this.#promised(moleculesOf(second) === moleculesOf(first), "the same fix gives the same molecules");
    const again = await story.step("The exploit is dead again", () => this.#attackAll());
    this.#promised(again.shop.documentMs * 3 < before.shop.documentMs, "the exploit is dead again");
    await story.step("Verify every pod, from the nodes", () => this.#verify());
    return before;
  }

  async #deploy(): Promise<void> {
    const { kubectl } = this.#cluster;
    const images = await buildDemoImages({
      cacheDir: cacheDirectory(),
      log: this.#story.say,
      signal: this.#signal,
    });
    for (const [name, image] of [
      ["shop", images.web],
      ["feed", images.feed],
    ] as const) {
      const pushed = await pushImage(image.source, `demo/${image.name}:${image.tag}`, this.#signal);
      // A tag that is pulled at every start is no way around the fix: the engine gets the same image.
      const pull = name === "shop" ? "Always" : "IfNotPresent";
      await kubectl.run(["apply", "--filename=-"], manifestOf({ name, image: pushed, pull }));
    }
    await this.#rolledOut();
    this.#story.say(await this.#kubectl(["get", "deployments,pods", "--output=wide"]));
  }

  async #kubectl(args: readonly string[]): Promise<string> {
    this.#story.command(["kubectl", ...args]);
    return this.#cluster.kubectl.run(args);
  }

  async #rolledOut(): Promise<void> {
    for (const app of APPS) await this.#kubectl(["rollout", "status", `deployment/${app}`, ROLLOUT_TIMEOUT]);
  }

  async #attackAll(): Promise<Attacks> {
    const one = async (app: App): Promise<Attack> => {
      const result = await attackApp(this.#cluster, app, this.#signal);
      this.#story.say(`${app}: document answered after ${seconds(result.documentMs)}`);
      return result;
    };
    return { shop: await one("shop"), feed: await one("feed") };
  }

  /** @param inNode in its network too, where the API server is; else in the machine's, where Debian's archive is */
  #on(node: NodeName, inNode = false): Commands {
    const { programs, kubectl } = this.#cluster;
    this.#story.say(`on node ${node}:`);
    const env = { ...process.env, ...nodeEnv(node, kubectl.path) };
    const network = inNode ? nodeNetwork(node) : undefined;
    return new Commands(this.#story, { programs, env, network }, this.#signal);
  }

  #operatorPlace(): CommandPlace {
    const { programs, kubectl } = this.#cluster;
    return { programs, env: { ...process.env, PATH: kubectl.path }, network: CONTROL_NETWORK };
  }

  async #import(): Promise<void> {
    for (const node of this.#cluster.nodes) {
      const graph = join(nodeDirectory(node), "storage");
      const pods = await this.#podsOn(node);
      for (const image of new Set(pods.map((pod) => pod.image)))
        await this.#on(node).atomfs(["import", "--graph-root", graph, `containers-storage:${image}`]);
    }
  }

  /** @returns the answers of the nodes, in their order */
  async #fix(): Promise<readonly FixAnswer[]> {
    const answers: FixAnswer[] = [];
    for (const node of this.#cluster.nodes) {
      const pods = await this.#podsOn(node);
      const answer = await this.#on(node).atomfs<FixAnswer>(["fix", VULNERABLE_PACKAGE, "--yes"], fixText);
      const outdated = answer.outdated.map(({ name }) => name);
      this.#promised(
        pods.every((pod) => outdated.some((name) => name.startsWith(`default/${pod.name}/`))),
        `the fix on ${node} names every pod that runs on the old molecule`,
      );
      answers.push(answer);
    }
    return answers;
  }

  async #podsOn(node: NodeName): Promise<readonly Pod[]> {
    type List = {
      readonly items: readonly {
        readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
        readonly spec: {
          readonly nodeName?: string;
          readonly containers: readonly { readonly image: string }[];
        };
      }[];
    };
    const { items } = await this.#cluster.kubectl.json<List>(["get", "pods"]);
    return items
      .filter(({ metadata, spec }) => spec.nodeName === node && metadata.deletionTimestamp === undefined)
      .map(({ metadata, spec }) => ({ name: metadata.name, node, image: spec.containers[0]?.image ?? "" }));
  }

  async #restart(): Promise<void> {
    for (const node of this.#cluster.nodes)
      await this.#on(node, true).atomfs(["report", "--node", node, "--kubeconfig", kubeconfigOf(node)]);
    this.#story.say("the cluster's operator:");
    const operator = new Commands(this.#story, this.#operatorPlace(), this.#signal);
    const options = ["--outdated", "--cluster", "--kubeconfig", kubeconfigOf("admin")];
    const printed = await operator.atomfs<readonly string[]>(["restart", ...options, "--print"], (lines) =>
      lines.join("\n"),
    );
    this.#promised(
      printed.length === APPS.length &&
        printed.every((line) => line.includes(" rollout restart deployment/")),
      "--print names one rollout for each Deployment",
    );
    const waiting = ["restart", ...options, "--wait", "10m"];
    const watch = await RolloutWatch.start(this.#cluster, this.#signal);
    type Done = { readonly restarts: readonly RestartOutcome[] };
    const { restarts } = await operator.atomfs<Done>(waiting, (done) =>
      done.restarts.map(({ owner, pods }) => `${owner.kind} ${owner.name}: ${pods.join(", ")}`).join("\n"),
    );
    this.#promised(
      APPS.every((app) =>
        restarts.some(
          ({ owner, pods, error }) => owner.name === app && pods.length === 2 && error === undefined,
        ),
      ),
      "`restart --outdated --cluster` restarts the owners of the outdated pods of both nodes",
    );
    await this.#rolledOut();
    await this.#untilOldPodsAreGone();
    noneWasMissing(await watch.stop(), this.#promised, this.#story.say);
    for (const node of this.#cluster.nodes) {
      const rows = await this.#on(node).atomfs<readonly ContainerRow[]>(["containers"], (all) =>
        all.map((row) => `${row.name}: ${row.root}, molecule ${shortId(row.molecule ?? "")}`).join("\n"),
      );
      const pods = await this.#podsOn(node);
      this.#promised(
        pods.every((pod) =>
          rows.some((row) => row.name.startsWith(`default/${pod.name}/`) && row.root === "current"),
        ),
        `every pod on ${node} runs on its image's current molecule`,
      );
    }
  }

  /** A rollout has ended before the last of the old pods has. */
  async #untilOldPodsAreGone(): Promise<void> {
    const replicas = REPLICAS * APPS.length;
    const end = performance.now() + patience(OLD_PODS_MS);
    while (performance.now() < end) {
      const names = await this.#cluster.kubectl.run(["get", "pods", "--output=name"]);
      if (names.trim().split("\n").length === replicas) return;
      await Bun.sleep(200);
      this.#signal.throwIfAborted();
    }
    throw new AtomfsError("failed", "Old pods do not end");
  }

  async #verify(): Promise<void> {
    for (const node of this.#cluster.nodes) {
      const pods = await this.#podsOn(node);
      const answer = await this.#on(node).atomfs<VerifyAnswer>(["fix", "verify"], verifyText);
      const proven = answer.flatMap(({ containers }) =>
        containers.filter((each) => each.provenMappings > 0 && each.problems.length === 0),
      );
      this.#promised(
        answer.length > 0 && answer.every((each) => each.isFixed),
        `\`fix verify\` on ${node} says that it is fixed`,
      );
      this.#promised(
        pods.every((pod) => proven.some(({ name }) => name.startsWith(`default/${pod.name}/`))),
        `every pod on ${node} maps the new library, measured, and nothing of the old`,
      );
    }
  }

  async #revert(fixes: readonly FixAnswer[]): Promise<void> {
    for (const [i, node] of this.#cluster.nodes.entries()) {
      const commands = this.#on(node);
      for (const { id } of fixes[i]?.fixes ?? []) await commands.atomfs<RevertAnswer>(["fix", "revert", id]);
    }
  }
}

function moleculesOf(answers: readonly FixAnswer[]): string {
  return JSON.stringify(answers.map(({ images }) => images.map(({ molecule }) => molecule).sort()));
}

function fixText(answer: FixAnswer): string {
  return [
    ...answer.images.flatMap((image) =>
      image.changes.map((each) => `${image.names[0]}: ${each.package} ${each.from} -> ${each.to}`),
    ),
    `running on the old molecule: ${answer.outdated.map((each) => each.name).join(", ")}`,
    `${seconds(answer.timings.fixMs)}, after ${seconds(answer.timings.repositoriesMs + answer.timings.downloadMs)} for the signed index and the package`,
  ].join("\n");
}

function verifyText(answer: VerifyAnswer): string {
  return answer
    .flatMap((each) => [
      ...each.containers.map(
        ({ name, processes, provenMappings }) =>
          `${name}: ${processes} process(es), ${provenMappings} mapping(s) of the new library measured, none of the old`,
      ),
      each.isFixed ? "fixed, proven" : "NOT fixed",
    ])
    .join("\n");
}
