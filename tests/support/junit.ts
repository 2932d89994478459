export type TestCount = { readonly passed: number; readonly failed: number; readonly skipped: number };

export type JunitReport = TestCount & {
  /** Test files that ran at least one test, relative to the directory that Bun ran in. */
  readonly files: ReadonlySet<string>;
  readonly skippedNames: readonly string[];
  readonly failedNames: readonly string[];
};

export const NO_TESTS: TestCount = { passed: 0, failed: 0, skipped: 0 };

export function addCounts(a: TestCount, b: TestCount): TestCount {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function unescapeXml(text: string): string {
  return text.replace(/&(?:#(\d+)|#x([0-9a-fA-F]+)|([a-z]+));/g, (whole, decimal, hex, name) => {
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    return ENTITIES[name] ?? whole;
  });
}

function attribute(tag: string, name: string): string {
  const value = new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1];
  return unescapeXml(value ?? "").replaceAll(/\s+/g, " ");
}

const CASE = /<testcase\b((?:[^>"]|"[^"]*")*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g;

/** Reads what `bun test --reporter=junit` of Bun 1.4 writes; not a reader of any XML. */
export function parseJunit(xml: string): JunitReport {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const files = new Set<string>();
  const skippedNames: string[] = [];
  const failedNames: string[] = [];
  for (const [, tag = "", body = ""] of xml.matchAll(CASE)) {
    const group = attribute(tag, "classname");
    const name = group === "" ? attribute(tag, "name") : `${group} > ${attribute(tag, "name")}`;
    files.add(attribute(tag, "file"));
    if (/<(failure|error)\b/.test(body)) {
      counts.failed++;
      failedNames.push(name);
    } else if (/<skipped\b/.test(body)) {
      counts.skipped++;
      skippedNames.push(name);
    } else counts.passed++;
  }
  return { ...counts, files, skippedNames, failedNames };
}
