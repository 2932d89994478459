import { AtomfsError, EXIT_CODES } from "../../src/core/errors.ts";
import { run } from "../../src/sys/process.ts";
import type { Bench } from "../bench.ts";

const GROUP = "Verify with 2 running containers";
const SERVICES = ["web", "feed"] as const;
const ROUNDS = 10;
const READY_TIMEOUT_MS = 30_000;

const UNPROVEN = EXIT_CODES.blocked;

type VerifyAnswer = readonly {
  readonly isFixed: boolean;
  readonly containers: readonly { readonly proof: string }[];
}[];

/** Needs the main store with web and feed and the fix of both. */
export async function verifyCase(bench: Bench): Promise<void> {
  const { place, signal } = bench;
  const podman = (...args: string[]): ReturnType<typeof run> =>
    run(["podman", ...args], { env: place.env, signal });
  for (const name of SERVICES) {
    await podman("run", "--detach", "--network", "none", "--name", `bench-${name}`, `${name}:1.0`);
  }
  await untilProven(bench);
  await bench.interleave(ROUNDS, [
    async () => {
      bench.results.add(
        GROUP,
        "atomfs fix verify",
        (await bench.atomfs(place.root, ["--json", "fix", "verify"])).sample,
      );
    },
    async () => {
      const { sample } = await bench.command(["podman", "ps", "--all", "--format", "json"], place.env);
      bench.results.add(GROUP, "podman ps alone, for comparison", sample);
    },
  ]);
  await podman("rm", "--all", "--force", "--time", "0");
}

/** The services map the library a moment after their start. */
async function untilProven(bench: Bench): Promise<void> {
  const end = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const { stdout } = await bench.atomfs(bench.place.root, ["--json", "fix", "verify"], [0, UNPROVEN]);
    const answer = JSON.parse(stdout) as VerifyAnswer;
    const proofs = answer.flatMap((each) => each.containers.map(({ proof }) => proof));
    if (proofs.length === SERVICES.length && proofs.every((proof) => proof === "mapped")) return;
    if (performance.now() > end)
      throw new AtomfsError("failed", `\`fix verify\` does not prove the fix: ${JSON.stringify(answer)}`);
    await Bun.sleep(200);
  }
}
