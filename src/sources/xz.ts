import { AtomfsError } from "../core/errors.ts";

/** More than `xz -9` needs to decompress (65 MiB); hostile headers may ask for 4 GiB. */
const MEMORY_LIMIT = "256MiB";

/**
 * Decompresses with the host's `xz`, as the output is asked for.
 * @throws AtomfsError "unsupported" if xz is not installed, "bad-data" if it refuses the data
 */
export async function* decompressXz(
  bytes: Uint8Array,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const program = Bun.which("xz", { PATH: process.env["PATH"] ?? "/usr/bin:/bin" });
  if (program === null) {
    throw new AtomfsError("unsupported", "Cannot decompress xz data: xz is not installed", {
      hints: ["install the Debian package xz-utils"],
    });
  }
  const child = Bun.spawn(
    [
      program,
      "--decompress",
      "--stdout",
      "--format=xz",
      "--threads=1",
      `--memlimit-decompress=${MEMORY_LIMIT}`,
    ],
    { stdin: bytes, stdout: "pipe", stderr: "pipe", env: {}, ...(signal === undefined ? {} : { signal }) },
  );
  try {
    const complaint = new Response(child.stderr).text();
    for await (const chunk of child.stdout) yield chunk;
    const code = await child.exited;
    if (signal?.aborted) throw new AtomfsError("interrupted", "Interrupted while xz ran");
    if (code !== 0) {
      throw new AtomfsError("bad-data", `Cannot decompress xz data: ${(await complaint).trim().slice(-500)}`);
    }
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}
