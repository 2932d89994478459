import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "../src/sys/process.ts";
import { type ForeignPackages, unpackedPackages } from "../tests/interop/foreign-programs.ts";

/** A Go compiler, and the variables it needs. */
export type Go = { readonly program: string; readonly env: Readonly<Record<string, string>> };

/** Of Go 1.x, and where Debian has one that is new enough. */
export type WantedGo = {
  readonly oldest: number;
  readonly debian: { readonly version: string; readonly suite: ForeignPackages["suite"] };
};

/** The machine's own Go if it is new enough (Debian 12's is 1.19), else one of a newer Debian, unpacked into the cache. */
export async function findGo({ oldest, debian }: WantedGo): Promise<Go> {
  const installed = existsSync("/usr/lib")
    ? readdirSync("/usr/lib").filter((name) => name.startsWith("go-1."))
    : [];
  const places = [
    Bun.which("go"),
    "/usr/local/go/bin/go",
    ...installed.map((name) => `/usr/lib/${name}/bin/go`),
  ];
  for (const program of places) {
    if (program === null || !existsSync(program)) continue;
    const { stdout } = await run([program, "version"]);
    const minor = Number(/ go1\.([0-9]+)/.exec(stdout.toString())?.[1]);
    if (minor >= oldest) return { program, env: {} };
  }
  return await unpackedGo(debian);
}

/** Exported to be tried where another Go is installed. */
export async function unpackedGo({ version, suite }: WantedGo["debian"]): Promise<Go> {
  const name = `golang-${version}`;
  const packages = [`${name}-go`, `${name}-src`];
  const root = await unpackedPackages({ name, suite, packages });
  const home = join(root, "usr/lib", `go-${version}`);
  return { program: join(home, "bin/go"), env: { GOROOT: home } };
}
