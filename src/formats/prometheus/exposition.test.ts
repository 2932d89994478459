import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatExposition, type MetricFamily } from "./exposition.ts";

const gauge = (samples: MetricFamily["samples"], name = "a_b"): MetricFamily => ({
  name,
  help: "Some help.",
  type: "gauge",
  samples,
});

test("a family as the format's documentation shows it", () => {
  const labels = { path: "C:\\DIR\\FILE.TXT", error: 'Cannot find file:\n"FILE.TXT"' };
  expect(
    formatExposition([
      {
        name: "msdos_file_access_time_seconds",
        help: "a\\b\nc",
        type: "gauge",
        samples: [{ labels, value: 1.458255915e9 }],
      },
      { name: "http_requests_total", help: "x", type: "counter", samples: [{ value: 3 }] },
    ]),
  ).toBe(
    "# HELP msdos_file_access_time_seconds a\\\\b\\nc\n# TYPE msdos_file_access_time_seconds gauge\n" +
      'msdos_file_access_time_seconds{error="Cannot find file:\\n\\"FILE.TXT\\"",path="C:\\\\DIR\\\\FILE.TXT"} 1458255915\n' +
      "# HELP http_requests_total x\n# TYPE http_requests_total counter\nhttp_requests_total 3\n",
  );
});

test.each([
  [0, "0"],
  [-0, "-0"],
  [1e21, "1e+21"],
  [0.1, "0.1"],
  [Number.NaN, "NaN"],
  [Number.POSITIVE_INFINITY, "+Inf"],
  [Number.NEGATIVE_INFINITY, "-Inf"],
])("the value %p", (value, text) => {
  expect(formatExposition([gauge([{ value }])])).toEndWith(`\na_b ${text}\n`);
});

test("a family without samples is left out", () => expect(formatExposition([gauge([])])).toBe(""));

test("what nobody could read is a mistake of the caller", () => {
  const twice = [
    { labels: { a: "1", b: "2" }, value: 1 },
    { labels: { b: "2", a: "1" }, value: 2 },
  ];
  expect(() => formatExposition([gauge(twice)])).toThrow("same labels twice");
  expect(() => formatExposition([gauge([]), gauge([])])).toThrow("No name of a new metric: a_b");
  expect(() => formatExposition([gauge([], "a-b")])).toThrow("No name of a new metric");
  for (const name of ["a-b", "__a", "", "1"])
    expect(() => formatExposition([gauge([{ labels: { [name]: "" }, value: 1 }])])).toThrow(
      "No name of a label",
    );
});

/** The format's grammar, read by another code than the one that writes it. */
function read(
  text: string,
): { readonly name: string; readonly labels: Record<string, string>; readonly value: number }[] {
  return text
    .split("\n")
    .slice(0, -1)
    .filter((line) => !line.startsWith("#"))
    .map((line) => {
      const match = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$/.exec(
        line,
      );
      if (match === null) throw new Error(`not a sample: ${line}`);
      const [, name = "", labels = "", value = ""] = match;
      const pairs = [...labels.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"/g)];
      const unescaped = (each: string): string =>
        each.replace(/\\(["\\n])/g, (_, c: string) => (c === "n" ? "\n" : c));
      return {
        name,
        labels: Object.fromEntries(pairs.map(([, key = "", each = ""]) => [key, unescaped(each)])),
        value: Number(value.replace("Inf", "Infinity")),
      };
    });
}

test("whatever the labels and values are, a reader gets them back", () => {
  const labels = fc.dictionary(fc.stringMatching(/^[a-zA-Z]\w{0,8}$/), fc.string({ unit: "binary" }), {
    maxKeys: 4,
    noNullPrototype: true,
  });
  const samples = fc.uniqueArray(fc.record({ labels, value: fc.double() }), {
    selector: ({ labels: own }) => JSON.stringify(Object.entries(own).sort()),
    maxLength: 8,
  });
  fc.assert(
    fc.property(samples, fc.string(), (all, help) => {
      const found = read(formatExposition([{ name: "x_y", help, type: "gauge", samples: all }]));
      expect(found).toEqual(all.map((each) => ({ name: "x_y", ...each })));
    }),
  );
});
