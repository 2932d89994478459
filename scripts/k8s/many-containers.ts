import type { LoneCrio, PodOptions } from "./lone-crio.ts";

export type ManyContainers = {
  /** Of creating and starting all of them, in milliseconds. */
  readonly ms: number;
  readonly running: number;
  /** Why some failed. */
  readonly failures: readonly string[];
  readonly remove: () => Promise<void>;
};

/** Creates and starts containers all at once, spread over pods that are there before. */
export async function startManyContainers(
  crio: LoneCrio,
  options: PodOptions,
  { pods, containers }: { readonly pods: number; readonly containers: number },
): Promise<ManyContainers> {
  const sandboxes: { readonly id: string; readonly options: PodOptions }[] = [];
  for (let i = 0; i < pods; i++) {
    const own = { ...options, name: `${options.name}-${i}` };
    sandboxes.push({ id: await crio.makeSandbox(own), options: own });
  }
  const begin = performance.now();
  const results = await Promise.allSettled(
    Array.from({ length: containers }, async (_, i) => {
      const sandbox = sandboxes[i % pods];
      if (sandbox === undefined) throw new RangeError("Containers need at least one pod");
      const container = await crio.createContainer(sandbox.id, { ...sandbox.options, container: `c${i}` });
      await crio.crictl("start", container);
      return container;
    }),
  );
  const ms = performance.now() - begin;
  const listed = await crio.crictl("ps", "--quiet", "--no-trunc", "--state", "running");
  const running = new Set(listed.split("\n"));
  return {
    ms,
    running: results.filter((each) => each.status === "fulfilled" && running.has(each.value)).length,
    failures: results.flatMap((each) => (each.status === "rejected" ? [String(each.reason)] : [])),
    remove: () => crio.removePods(...sandboxes.map(({ id }) => id)),
  };
}
