import { EXIT_CODES } from "../core/errors.ts";
import {
  callRestart,
  type KubectlOptions,
  readClusterLists,
  restartCall,
  waitCall,
} from "../engines/kubernetes/kubectl.ts";
import { type ClusterState, planRestarts, type Restart } from "../engines/kubernetes/owners.ts";
import { type Context, quoted } from "./context.ts";
import { table } from "./output.ts";

/*
 * The cluster's operator: what the nodes report as outdated (report.ts) is restarted through Kubernetes, never around it.
 */

export type ClusterOptions = {
  readonly kubeconfig?: string;
  readonly print?: boolean;
  /** Milliseconds, for all rollouts together. */
  readonly wait?: number;
};

type Outcome = Restart & { readonly error: string | undefined };

/** `containers --cluster`: what the nodes report, by owner. */
export async function runClusterList(context: Context, options: ClusterOptions): Promise<void> {
  const state = await readState(context, options);
  warnOfSilence(context, state);
  context.output.answer(state, ({ restarts }) =>
    table(
      ["OWNER", "NAMESPACE", "NAME", "PODS", "RESTART"],
      restarts.map((each) => [
        each.owner.kind,
        each.owner.namespace,
        each.owner.name,
        String(each.pods.length),
        each.how === "blocked" ? `blocked: ${each.why}` : each.how,
      ]),
    ),
  );
}

/** `restart --outdated --cluster`: one that Kubernetes refuses is reported and doesn't stop the others. */
export async function runClusterRestart(context: Context, options: ClusterOptions): Promise<void> {
  const state = await readState(context, options);
  warnOfSilence(context, state);
  if (options.print === true) {
    const calls = state.restarts.map((each) => commandLine(each, options));
    context.output.answer(calls, (all) => all.join("\n"));
    return;
  }
  const outcomes = await restartAll(context, state, options);
  if (options.wait !== undefined) await waitForRollouts(context, outcomes, options.wait, options);
  if (outcomes.some((each) => each.error !== undefined)) context.setExitCode(EXIT_CODES.blocked);
  context.output.answer(outcomes, (all) =>
    all.length === 0
      ? "No node reports a pod that runs outdated."
      : table(
          ["WHAT", "PODS", "HOW", "RESULT"],
          all.map((each) => [
            targetOf(each),
            each.pods.join(", "),
            each.how,
            each.error ?? resultOf(each, options),
          ]),
        ),
  );
}

function resultOf({ how }: Restart, { wait }: ClusterOptions): string {
  if (how !== "rollout") return "evicted";
  return wait === undefined ? "rollout restarted" : "rolled out";
}

async function restartAll(
  context: Context,
  state: ClusterState,
  options: ClusterOptions,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const restart of state.restarts) {
    context.signal.throwIfAborted();
    context.output.progress(`restarting ${targetOf(restart)}`);
    const error =
      restart.how === "blocked"
        ? restart.why
        : await callRestart(restartCall(restart), kubectlOptions(context, options));
    outcomes.push({ ...restart, error });
  }
  return outcomes;
}

/** A rollout that does not come to its end in time is an error of its own; the others are waited for all the same. */
async function waitForRollouts(
  context: Context,
  outcomes: Outcome[],
  limitMs: number,
  options: ClusterOptions,
): Promise<void> {
  const end = performance.now() + limitMs;
  for (const [i, outcome] of outcomes.entries()) {
    if (outcome.how !== "rollout" || outcome.error !== undefined) continue;
    context.signal.throwIfAborted();
    context.output.progress(`waiting for ${targetOf(outcome)}`);
    const call = waitCall(outcome, end - performance.now());
    const error = await callRestart(call, kubectlOptions(context, options));
    outcomes[i] = { ...outcome, error };
  }
}

async function readState(context: Context, options: ClusterOptions): Promise<ClusterState> {
  return planRestarts(await readClusterLists(kubectlOptions(context, options)));
}

/** A node without a report may run anything: the answer is not the whole of it then, and code 3 says so. */
function warnOfSilence(context: Context, { nodes }: ClusterState): void {
  for (const { name, reportedAt, outdatedPods } of nodes) {
    if (reportedAt === undefined) {
      context.setExitCode(EXIT_CODES.blocked);
      context.output.say(`note: node ${name} has not reported (\`atomfs report\` there): unknown`);
    } else context.output.say(`node ${name}: ${outdatedPods} outdated pod(s), reported at ${reportedAt}`);
  }
}

function targetOf({ how, owner, pods }: Restart): string {
  return how === "rollout"
    ? `${owner.kind.toLowerCase()} ${owner.namespace}/${owner.name}`
    : `pod ${owner.namespace}/${pods[0]}`;
}

/** For a person's shell. */
function commandLine(restart: Restart, { kubeconfig }: ClusterOptions): string {
  if (restart.how === "blocked") return `# ${targetOf(restart)}: ${restart.why}`;
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
