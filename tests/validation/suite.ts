import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { findGo, type WantedGo } from "../../scripts/go-toolchain.ts";
import { AtomfsError } from "../../src/core/errors.ts";
import { run } from "../../src/sys/process.ts";
import { DEV_CACHE } from "../interop/foreign-programs.ts";

const MODULE = "github.com/opencontainers/runtime-tools";
/** What the module asks for. */
const GO: WantedGo = { oldest: 21, debian: { version: "1.23", suite: "bookworm-backports" } };

/**
 * The directory with the validation programs, `runtimetest` and the root directory's archive, built at most once a machine for a
 * version of the module: go.mod names it, go.sum its content.
 */
export async function validationSuite(): Promise<{ readonly directory: string; readonly version: string }> {
  const version = moduleVersion(readFileSync(join(import.meta.dir, "go.mod"), "utf8"));
  const directory = join(DEV_CACHE, `runtime-tools-${version}`);
  if (!existsSync(directory)) await build(directory);
  return { directory, version };
}

function moduleVersion(goMod: string): string {
  const version = new RegExp(`^require ${MODULE} (v[-.0-9a-z]+)$`, "m").exec(goMod)?.[1];
  if (version === undefined) throw new AtomfsError("bad-data", `go.mod requires no version of ${MODULE}`);
  return version;
}

/** Names of the programs, sorted. */
export function programNames(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name !== "runtimetest" && !name.endsWith(".tar.gz"))
    .sort();
}

async function build(directory: string): Promise<void> {
  mkdirSync(DEV_CACHE, { recursive: true });
  const work = mkdtempSync(`${directory}.`);
  try {
    const module = join(work, "module");
    const output = join(work, "suite");
    mkdirSync(module);
    for (const name of ["go.mod", "go.sum"]) copyFileSync(join(import.meta.dir, name), join(module, name));
    const { program, env } = await findGo(GO);
    const options = {
      cwd: module,
      // Static, because the programs run inside of containers, too.
      env: {
        HOME: "/root",
        ...process.env,
        ...env,
        CGO_ENABLED: "0",
        GOTOOLCHAIN: "local",
        GOFLAGS: "-buildvcs=false",
      },
    };
    const packages = [`${MODULE}/validation/...`, `${MODULE}/cmd/runtimetest`];
    await run([program, "mod", "download", MODULE], options);
    await run(
      [program, "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", `${output}/`, ...packages],
      options,
    );
    const { stdout } = await run([program, "list", "-m", "-f", "{{.Dir}}", MODULE], options);
    const archive = `rootfs-${process.arch === "arm64" ? "arm64" : "amd64"}.tar.gz`;
    copyFileSync(join(stdout.toString().trim(), archive), join(output, archive));
    // Whoever else builds at the same time has made the same: the first rename wins.
    if (!existsSync(directory)) renameSync(output, directory);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
