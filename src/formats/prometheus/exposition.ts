/*
 * Prometheus' text exposition format, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).
 */

export type Sample = {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
};

export type MetricFamily = {
  readonly name: string;
  /** One sentence for people. */
  readonly help: string;
  readonly type: "gauge" | "counter";
  /** No two with the same labels. */
  readonly samples: readonly Sample[];
};

const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
/** Names with two underscores are Prometheus' own. */
const LABEL_NAME = /^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/;

/**
 * The families with samples, in their order. Label values may be any text.
 * @throws TypeError for names that are none, for a family or a set of labels that comes twice
 */
export function formatExposition(families: readonly MetricFamily[]): string {
  const names = new Set<string>();
  const lines: string[] = [];
  for (const { name, help, type, samples } of families) {
    if (!METRIC_NAME.test(name) || names.has(name)) throw new TypeError(`No name of a new metric: ${name}`);
    names.add(name);
    if (samples.length === 0) continue;
    lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`);
    const series = samples.map(({ labels = {}, value }) => [labelText(labels), numberText(value)] as const);
    if (new Set(series.map(([labels]) => labels)).size < series.length)
      throw new TypeError(`Metric ${name} has the same labels twice`);
    for (const [labels, value] of series) lines.push(`${name}${labels} ${value}`);
  }
  return lines.map((line) => `${line}\n`).join("");
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const entries = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  const wrong = entries.find(([name]) => !LABEL_NAME.test(name));
  if (wrong !== undefined) throw new TypeError(`No name of a label: ${wrong[0]}`);
  if (entries.length === 0) return "";
  return `{${entries.map(([name, value]) => `${name}="${escapeLabel(value)}"`).join(",")}}`;
}

/** As Go's ParseFloat reads it. */
function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return Object.is(value, -0) ? "-0" : String(value);
}

/** Whatever is no Unicode becomes U+FFFD, because the format is UTF-8. */
function escapeHelp(text: string): string {
  return text.toWellFormed().replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
