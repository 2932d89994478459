import { existsSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import { tied } from "./commands.ts";
import { DEFAULT_CACHE_DIR, VULNERABLE_PACKAGE } from "./images.ts";
import type { Story } from "./story.ts";
import type { Workplace } from "./workplace.ts";

/**
 * What one image costs the ordinary way, in this run: a container of it, apt, commit. It gets this machine's apt sources;
 * pushing, pulling, testing and rolling out, which come on top for each image, are not counted.
 * @returns milliseconds
 */
export async function rebuildOrdinary(
  workplace: Pick<Workplace, "directory" | "env">,
  layout: string,
  tag: string,
  story: Story,
  signal: AbortSignal,
): Promise<number> {
  const storage = [
    "--root",
    join(workplace.directory, "buildah"),
    "--runroot",
    join(workplace.directory, "buildah-run"),
  ];
  const buildah = async (...args: string[]): Promise<string> => {
    story.command(["buildah", ...args]);
    const { stdout } = await run(tied(["buildah", ...storage, ...args]), {
      env: workplace.env,
      signal,
    });
    return stdout.toString().trim();
  };
  const start = performance.now();
  const container = await buildah("from", `oci:${layout}:${tag}`);
  const volumes = ["/etc/apt", "/usr/share/keyrings", "/etc/resolv.conf"]
    .filter((path) => existsSync(path))
    .flatMap((path) => ["--volume", `${path}:${path}:ro`]);
  const inContainer = ["run", "--user", "root", "--isolation", "chroot", ...volumes, container, "--"];
  await buildah(...inContainer, "apt-get", "-qq", "update");
  await buildah(...inContainer, "apt-get", "-qq", "-y", "install", "--only-upgrade", VULNERABLE_PACKAGE);
  await buildah("commit", "--quiet", container, "rebuilt");
  const milliseconds = performance.now() - start;
  await run(["buildah", ...storage, "rm", "--all"], { env: workplace.env });
  return milliseconds;
}

/** Where the demo's images are kept between runs. */
export function cacheDirectory(): string {
  return process.env["ATOMFS_DEMO_CACHE"] ?? DEFAULT_CACHE_DIR;
}
