import { EXIT_CODES } from "../core/errors.ts";
import { isGoneAlready } from "../engines/kubernetes/evictions.ts";
import {
  callRestart,
  type KubectlOptions,
  readClusterLists,
  restartCall,
} from "../engines/kubernetes/kubectl.ts";
import { ageText } from "../engines/kubernetes/node-statements.ts";
import { type ClusterState, planRestarts, type Restart } from "../engines/kubernetes/owners.ts";
import { type Outcome, targetOf, waitForAll } from "./cluster-wait.ts";
import { type Context, quoted } from "./context.ts";
import { table } from "./output.ts";

/*
 * The cluster's operator: what the nodes report as outdated (report.ts) is restarted through Kubernetes, never around it.
 */

export type ClusterOptions = {
  readonly kubeconfig?: string;
  readonly print?: boolean;
  /** Milliseconds, for all rollouts and evictions together. */
  readonly wait?: number;
};

/** `containers --cluster`: what the nodes report, by owner. */
export async function runClusterList(context: Context, options: ClusterOptions): Promise<void> {
  const state = await readState(context, options);
  tellOfNodes(context, state);
  context.output.answer(state, ({ restarts }) =>
    table(
      ["OWNER", "NAMESPACE", "NAME", "PODS", "ROOT", "RESTART"],
      restarts.map((each) => [
        each.owner.kind,
        each.owner.namespace,
        each.owner.name,
        String(each.pods.length),
        each.roots.join(", "),
        each.how === "blocked" ? `blocked: ${each.why}` : each.how,
      ]),
    ),
  );
}

/** `restart --outdated --cluster`: one that Kubernetes refuses is reported and doesn't stop the others. */
export async function runClusterRestart(context: Context, options: ClusterOptions): Promise<void> {
  const state = await readState(context, options);
  tellOfNodes(context, state);
  if (options.print === true) {
    const calls = state.restarts.map((each) => commandLine(each, options));
    context.output.answer(calls, (all) => all.join("\n"));
    return;
  }
  const kubectl = kubectlOptions(context, options);
  const asked = await restartAll(context, state, kubectl);
  const outcomes =
    options.wait === undefined ? asked : await waitForAll(context, asked, options.wait, kubectl);
  if (outcomes.some((each) => each.error !== undefined)) context.setExitCode(EXIT_CODES.blocked);
  context.output.answer({ nodes: state.nodes, restarts: outcomes }, ({ restarts }) =>
    restarts.length === 0
      ? "No node reports a pod that runs outdated."
      : table(
          ["WHAT", "PODS", "HOW", "RESULT"],
          restarts.map((each) => [
            targetOf(each),
            each.pods.join(", "),
            each.how,
            each.error ?? resultOf(each, options),
          ]),
        ),
  );
}

function resultOf({ how }: Restart, { wait }: ClusterOptions): string {
  if (how !== "rollout") return wait === undefined ? "evicted" : "evicted, and gone";
  return wait === undefined ? "rollout restarted" : "rolled out";
}

async function restartAll(
  context: Context,
  state: ClusterState,
  options: KubectlOptions,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const restart of state.restarts) {
    context.signal.throwIfAborted();
    if (restart.how === "blocked") {
      outcomes.push({ ...restart, error: restart.why });
      continue;
    }
    context.output.progress(`restarting ${targetOf(restart)}`);
    const refusal = await callRestart(restartCall(restart), options);
    const isDone = restart.how === "evict" && refusal !== undefined && isGoneAlready(refusal);
    outcomes.push({ ...restart, error: isDone ? undefined : refusal });
  }
  return outcomes;
}

async function readState(context: Context, options: ClusterOptions): Promise<ClusterState> {
  return planRestarts(await readClusterLists(kubectlOptions(context, options)), Date.now());
}

/**
 * A node whose report is missing, old or broken may run anything: the answer is not the whole of it then, and code 3 says so. Nodes may
 * lack fixes for good reasons (no image there needs them): that is only said.
 */
function tellOfNodes(context: Context, { nodes }: ClusterState): void {
  for (const { name, reportedAt, ageSeconds, outdatedPods, problems } of nodes) {
    if (reportedAt !== undefined && ageSeconds !== undefined) {
      const age = ageSeconds < 0 ? "" : `, ${ageText(ageSeconds * 1000)} ago`;
      context.output.say(`node ${name}: ${outdatedPods} outdated pod(s), reported at ${reportedAt}${age}`);
    }
    for (const { problem, text } of problems) {
      if (problem !== "lacks-fixes") context.setExitCode(EXIT_CODES.blocked);
      context.output.say(`note: node ${name} ${text}`);
    }
  }
}

/** For a person's shell. */
function commandLine(restart: Restart, { kubeconfig }: ClusterOptions): string {
  if (restart.how === "blocked") return `# ${targetOf(restart)} (${restart.pods.join(", ")}): ${restart.why}`;
  const call = restartCall(restart);
  const config = kubeconfig === undefined ? [] : [`--kubeconfig=${kubeconfig}`];
  const line = ["kubectl", ...config, ...call.args].map(quoted).join(" ");
  return call.stdin === undefined ? line : `echo ${quoted(call.stdin)} | ${line}`;
}

export function kubectlOptions(
  context: Context,
  { kubeconfig }: { readonly kubeconfig?: string },
): KubectlOptions {
  return { signal: context.signal, ...(kubeconfig === undefined ? {} : { kubeconfig }) };
}
