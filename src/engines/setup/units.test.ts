import { expect, test } from "bun:test";
import { TIMERS } from "./units.ts";

test.each(TIMERS.map(({ name, service }) => [name, service] as const))(
  "%s does not run for ever, and what it did not do is a failure for systemd",
  (_, service) => {
    expect(service).toMatch(/^TimeoutStartSec=\d+(min|h)$/m);
    expect(service).not.toContain("SuccessExitStatus");
  },
);
