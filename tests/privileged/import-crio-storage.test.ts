import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { run } from "../../src/sys/process.ts";
import { atomfs, startAtomfs } from "../support/atomfs-program.ts";
import { tarDirectory, writeOciLayout } from "../support/oci-image.ts";
import { patience } from "../support/slowness.ts";

/** A machine with a storage of Podman's and another that only CRI-O's configuration names. Podman fills both; crictl is a script. */

let work = "";
let env: Record<string, string> = {};

const confOf = (engine: string): string => join(work, `${engine}.conf`);

beforeEach(async () => {
  // In lower case: podman makes a name of the path that it pulls from.
  work = `/var/tmp/atomfs-two-storages-${crypto.randomUUID()}`;
  mkdirSync(join(work, "bin"), { recursive: true });
  for (const engine of ["podman", "crio"])
    writeFileSync(
      confOf(engine),
      `[storage]\ndriver = "overlay"\ngraphroot = "${work}/${engine}"\nrunroot = "${work}/run-${engine}"\n`,
    );
  const info = { status: { imageFilesystems: [{ fsId: { mountpoint: `${work}/crio/overlay-images` } }] } };
  writeFileSync(
    join(work, "bin/crictl"),
    `#!/bin/sh\ncase $1 in version) ;; imagefsinfo) echo '${JSON.stringify(info)}' ;; *) exit 1 ;; esac\n`,
  );
  chmodSync(join(work, "bin/crictl"), 0o755);
  env = {
    CONTAINERS_STORAGE_CONF: confOf("podman"),
    CONTAINER_RUNTIME_ENDPOINT: `unix://${work}/crio.sock`,
    ATOMFS_ROOT: join(work, "store"),
    PATH: `${work}/bin:${process.env["PATH"] ?? ""}`,
  };
  for (const name of ["both", "pods"]) {
    const root = join(work, `root-${name}`);
    mkdirSync(root);
    writeFileSync(join(root, "file"), name.repeat(100));
    await tarDirectory(root, `${root}.tar`);
    writeOciLayout(join(work, name), [`${root}.tar`]);
    await pull("crio", name);
  }
});
afterEach(async () => {
  for (const engine of ["podman", "crio"])
    await run(["umount", join(work, engine, "overlay")], { okCodes: [0, 1, 32] });
  rmSync(work, { recursive: true, force: true });
  rmSync(runDirectoryOf(join(work, "store")), { recursive: true, force: true });
});

async function pull(engine: string, name: string): Promise<void> {
  const storage = { ...process.env, CONTAINERS_STORAGE_CONF: confOf(engine) };
  await run(["podman", "pull", "--quiet", `oci:${join(work, name)}:test`], { env: storage });
}

const numbersOf = (json: string): readonly number[] => {
  const { imported, known, failed } = JSON.parse(json);
  return [imported.length, known.length, failed.length];
};

test(
  "import --all finds what only CRI-O has, with and without a storage of Podman's",
  async () => {
    expect(numbersOf((await atomfs(["import", "--all", "--json"], env)).stdout)).toEqual([2, 0, 0]);
    rmSync(join(work, "store"), { recursive: true });
    await pull("podman", "both");
    expect(numbersOf((await atomfs(["import", "--all", "--json"], env)).stdout)).toEqual([2, 0, 0]);
    expect(numbersOf((await atomfs(["import", "--all", "--json"], env)).stdout)).toEqual([0, 2, 0]);
  },
  patience(60_000),
);

test(
  "so does an import by name, and --graph-root means that storage alone",
  async () => {
    await pull("podman", "both");
    const pods = `containers-storage:localhost${work}/pods`;
    await atomfs(["import", pods], env);
    const alone = ["--graph-root", join(work, "podman")];
    expect((await startAtomfs(["import", ...alone, pods], env).ended).code).toBe(4);
    expect(numbersOf((await atomfs(["import", "--all", ...alone, "--json"], env)).stdout)).toEqual([1, 0, 0]);
    expect((await startAtomfs(["import", "containers-storage:none"], env).ended).code).toBe(4);
  },
  patience(60_000),
);
