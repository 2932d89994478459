import { AtomfsError } from "../../src/core/errors.ts";
import type { Way } from "./ways.ts";

/** Programs that each way runs, and the Debian packages that have them. */
const TOOLS = {
  podman: "podman",
  conmon: "conmon",
  debootstrap: "debootstrap",
  umoci: "umoci",
  buildah: "buildah",
  gpgv: "gpgv",
  ip: "iproute2",
  setpriv: "util-linux",
} as const;

/**
 * Says at once, not after minutes, what the demo lacks.
 * @throws AtomfsError "unsupported"
 */
export function requireMachine(way: Way): void {
  if (process.geteuid?.() !== 0) {
    throw new AtomfsError("unsupported", "The demo mounts filesystems and runs containers: it needs root", {
      hints: ["sudo npm run demo"],
    });
  }
  const missing = Object.entries({ ...TOOLS, ...way.tools }).filter(([tool]) => Bun.which(tool) === null);
  if (missing.length === 0) return;
  throw new AtomfsError("unsupported", `The demo needs ${missing.map(([tool]) => tool).join(", ")}`, {
    hints: [`apt-get install ${[...new Set(missing.map(([, name]) => name))].join(" ")}`],
  });
}
