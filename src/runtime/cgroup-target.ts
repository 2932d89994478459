import { AtomfsError } from "../core/errors.ts";
import type { CgroupFacts, CgroupHierarchy } from "./host-facts.ts";

export type CgroupWrite = {
  /** Absolute. */
  readonly file: string;
  readonly value: string;
  /**
   * "ignore-absent": the file does not exist, because the kernel lacks the feature, and the container is not weaker for it.
   * "retry": a refusal may come from the order of two values; tried once more after all others, then it is a failure.
   */
  readonly onError: "fail" | "ignore-absent" | "warn" | "retry";
};

/** Values of a running container that an update depends on; undefined: not known. */
export type CurrentValues = {
  /** Bytes; -1 is unlimited. */
  readonly memoryLimit?: bigint;
  /** v1: memory and swap together. */
  readonly memorySwap?: bigint;
  readonly memoryUsage?: bigint;
  /** Both words of cpu.max; on v1 the same of its two files. */
  readonly cpuMax?: readonly [quota: string, period: string];
};

/** Where the values of one controller go. */
export type CgroupTarget = {
  readonly facts: CgroupFacts;
  readonly path: string;
  readonly current: CurrentValues;
  /** True: the cgroup is in use, so values may have to change in a certain order. */
  readonly update: boolean;
};

/** @throws AtomfsError "unsupported" if the controller is in no v1 hierarchy */
export function hierarchyOf(facts: CgroupFacts, controller: string): CgroupHierarchy {
  const found = facts.hierarchies.find(({ controllers }) => controllers.includes(controller));
  if (found === undefined)
    throw new AtomfsError(
      "unsupported",
      `Cannot set limits: this machine has no cgroup controller "${controller}"`,
    );
  return found;
}
