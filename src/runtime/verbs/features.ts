import { describeFeatures } from "../features.ts";
import { LXC_START } from "../ordinary-maker.ts";
import { readHostFacts } from "../read-host-facts.ts";
import type { Session } from "../session.ts";

/** `features` */
export function printFeatures(session: Session): number {
  session.print(JSON.stringify(describeFeatures(readHostFacts(LXC_START)), undefined, 2));
  return 0;
}
