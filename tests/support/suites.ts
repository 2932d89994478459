/** What `npm test` runs. Each is one or more child processes. */
export type Suite = { readonly name: string; readonly about: string } & (
  | { readonly kind: "check"; readonly argv: readonly [string, ...string[]] }
  | {
      readonly kind: "tests";
      /** Relative to the repository. */
      readonly globs: readonly string[];
      readonly timeoutMs: number;
      /** One process a file, one test at a time: for tests that change mounts, engines or cgroups of the machine. */
      readonly serial: boolean;
    }
);

const MINUTE = 60_000;

export const SUITES: readonly Suite[] = [
  { name: "types", about: "TypeScript's checks", kind: "check", argv: ["tsc", "--noEmit"] },
  {
    name: "style",
    about: "Biome's checks",
    kind: "check",
    argv: ["biome", "check", "--error-on-warnings", "."],
  },
  {
    name: "layering",
    about: "rules that the source code keeps",
    kind: "tests",
    globs: ["tests/layering.test.ts"],
    timeoutMs: MINUTE,
    serial: false,
  },
  {
    name: "unit",
    about: "tests beside the code",
    kind: "tests",
    globs: [
      ...["src/**/*.test.ts", "scripts/**/*.test.ts", "bench/**/*.test.ts"],
      ...[
        "tests/support/**/*.test.ts",
        "tests/vm/**/*.test.ts",
        "tests/critest/*.test.ts",
        "tests/conformance/*.test.ts",
        "tests/validation/**/*.test.ts",
      ],
    ],
    timeoutMs: MINUTE,
    serial: false,
  },
  {
    name: "fuzz",
    about: "hostile input for every parser (FUZZ_MS each)",
    kind: "tests",
    globs: ["tests/fuzz/**/*.test.ts"],
    timeoutMs: 10 * MINUTE,
    serial: false,
  },
  {
    name: "scripts",
    about: "the command line as a black box",
    kind: "tests",
    globs: ["tests/scripts.test.ts"],
    timeoutMs: 10 * MINUTE,
    serial: true,
  },
  {
    name: "interop",
    about: "other people's tools read what we write, and the reverse",
    kind: "tests",
    globs: ["tests/interop/**/*.test.ts"],
    timeoutMs: 10 * MINUTE,
    serial: true,
  },
  {
    name: "privileged",
    about: "real mounts, real containers",
    kind: "tests",
    globs: ["tests/privileged/**/*.test.ts"],
    timeoutMs: 10 * MINUTE,
    serial: true,
  },
];

/** Files of a suite, relative to the repository, sorted. */
export function suiteFiles(repository: string, globs: readonly string[]): string[] {
  const files = globs.flatMap((glob) => [...new Bun.Glob(glob).scanSync({ cwd: repository })]);
  return [...new Set(files)].sort();
}

/** Test files that no suite would ever run: a mistake that would otherwise look like success. */
export function forgottenFiles(repository: string): string[] {
  const known = new Set(
    SUITES.flatMap((suite) => (suite.kind === "tests" ? suiteFiles(repository, suite.globs) : [])),
  );
  const all = suiteFiles(repository, ["{src,tests,scripts,bench}/**/*.test.{ts,tsx,mjs,js}"]);
  return all.filter((file) => !known.has(file));
}

/**
 * What a command line asks for: suites by name, test files by path (each counts under its suite); everything without a
 * name. @returns what is wrong with the names, if something is
 */
export function chooseSuites(repository: string, names: readonly string[]): readonly Suite[] | string {
  if (names.length === 0) return SUITES;
  const chosen: Suite[] = [];
  const unknown = new Set(names);
  for (const suite of SUITES) {
    if (unknown.delete(suite.name)) chosen.push(suite);
    else if (suite.kind === "tests") {
      const files = suiteFiles(repository, suite.globs).filter((file) => unknown.delete(file));
      if (files.length > 0) chosen.push({ ...suite, globs: files });
    }
  }
  const [name] = unknown;
  return name === undefined ? chosen : `There is no suite and no test file "${name}"`;
}
