import { mkdirSync } from "node:fs";
import { run } from "../../src/sys/process.ts";

/** Gives the root directory devices, processes and the package files, in a namespace of its own, and runs a command there. */
const IN_CHROOT = `set -e
root=$1 debs=$2
shift 2
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/urandom" c 1 9
mount -t proc proc "$root/proc"
mount --bind "$debs" "$root/mnt"
exec chroot "$root" "$@"
`;

const ENVIRONMENT = {
  PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C",
  DEBIAN_FRONTEND: "noninteractive",
};

/** Runs a program of the root directory in a chroot; the package files' directory is /mnt there. */
export async function inChroot(
  root: string,
  debDirectory: string,
  argv: readonly string[],
  okCodes: readonly number[] = [0],
): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await run(
    [
      ...(["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"] as const),
      ...["sh", "-c", IN_CHROOT, "in-chroot", root, debDirectory, ...argv],
    ],
    { env: ENVIRONMENT, okCodes },
  );
  return { code, text: `${stdout}${stderr}` };
}

/** A copy of a root directory: owners, modes, times in nanoseconds, xattrs, hard links. */
export async function copyDirectory(from: string, to: string): Promise<void> {
  mkdirSync(to, { mode: 0o755 });
  await run(["cp", "-a", "--reflink=auto", `${from}/.`, to]);
}
