import { describe, expect, test } from "bun:test";
import { findPackages } from "../formats/apt/packages.ts";
import { compareVersions } from "../formats/dpkg/version.ts";
import { candidatesForRelease, type WantedPackage } from "./candidates.ts";
import type { Candidate } from "./repository.ts";

const RELEASE = { codename: "bookworm", architecture: "amd64" };

/** An index of stanzas "NAME VERSION ARCHITECTURE [SOURCE FIELD]", as the archive would answer from it. */
function offer(...lines: readonly string[]): Parameters<typeof candidatesForRelease>[2] {
  const stanzas = lines.map((line, index) => {
    const [, name, version, architecture, source] = /^(\S+) (\S+) (\S+)(?: (.+))?$/.exec(line) ?? [];
    const sourceField = source === undefined ? "" : `Source: ${source}\n`;
    const file = `Filename: pool/${index}.deb\nSize: 1\nSHA256: ${String(index).padStart(64, "0")}\n`;
    return `Package: ${name}\n${sourceField}Version: ${version}\nArchitecture: ${architecture}\n${file}`;
  });
  const bytes = Buffer.from(stanzas.join("\n"));
  const find = (query: Parameters<typeof findPackages>[1]): Candidate[] =>
    findPackages(bytes, query)
      .map((each) => ({ ...each, origin: "test" }))
      .sort((a, b) => compareVersions(b.version, a.version));
  return {
    origins: lines.length === 0 ? [] : ["test"],
    candidates: (names) => Map.groupBy(find({ packages: new Set(names) }), (each) => each.package),
    bySource: (name) => find({ sources: new Set([name]) }),
  };
}

function chosen(wanted: string, ...lines: readonly string[]): string[] {
  const [name = "", version] = wanted.split("=");
  const request: WantedPackage = { package: name, ...(version === undefined ? {} : { version }) };
  return candidatesForRelease(request, RELEASE, offer(...lines)).map(
    (each) => `${each.package} ${each.version} ${each.architecture}`,
  );
}

const EXPAT = [
  "libexpat1 2.5.0-1 amd64 expat",
  "libexpat1-dev 2.5.0-1 amd64 expat",
  "expat 2.5.0-1 amd64",
  "libexpat1 2.5.0-1+deb12u2 amd64 expat",
  "expat 2.5.0-1+deb12u2 amd64",
  "libexpat1-dev 2.5.0-1+deb12u2 amd64 expat",
  "expat-doc 2.5.0-1+deb12u2 all expat",
  "expatriate 9 amd64",
];
const NEWEST = [
  "expat 2.5.0-1+deb12u2 amd64",
  "expat-doc 2.5.0-1+deb12u2 all",
  "libexpat1 2.5.0-1+deb12u2 amd64",
  "libexpat1-dev 2.5.0-1+deb12u2 amd64",
];

describe("candidatesForRelease", () => {
  test("takes all binaries of the newest source version, whichever of them is named", () => {
    for (const name of ["expat", "libexpat1", "libexpat1-dev", "expat-doc"])
      expect(chosen(name, ...EXPAT)).toEqual(NEWEST);
    expect(chosen("libexpat1", ...EXPAT.toReversed())).toEqual(NEWEST);
  });

  test("takes the version that is named, not binaries that only a newer one has", () => {
    expect(chosen("libexpat1=2.5.0-1", ...EXPAT)).toEqual([
      "expat 2.5.0-1 amd64",
      "libexpat1 2.5.0-1 amd64",
      "libexpat1-dev 2.5.0-1 amd64",
    ]);
  });

  test("goes by the source's version where a binary has its own: epochs and rebuilds", () => {
    const lines = [
      "gcc 4:12.2.0-3 amd64 gcc-defaults (1.203)",
      "cpp 4:12.2.0-3+b1 amd64 gcc-defaults (1.203)",
      "gccgo 1:1.2 all gcc-defaults (1.204)",
      "gcc 4:12.2.0-2 amd64 gcc-defaults (1.99)",
    ];
    expect(chosen("gcc", ...lines)).toEqual(["cpp 4:12.2.0-3+b1 amd64", "gcc 4:12.2.0-3 amd64"]);
    expect(chosen("gcc-defaults", ...lines)).toEqual(["gccgo 1:1.2 all"]);
    expect(chosen("gcc-defaults=1.203", ...lines)).toHaveLength(2);
    expect(chosen("gcc=4:12.2.0-2", ...lines)).toEqual(["gcc 4:12.2.0-2 amd64"]);
    expect(() => chosen("gcc=12.2.0-2", ...lines)).toThrow("do not have gcc=12.2.0-2");
  });

  test("of rebuilds of one source version takes the newest, or the one that is named", () => {
    const lines = [
      "libx 1.0-1 amd64 x",
      "x-data 1.0-1 all x",
      "libx 1.0-1+b2 amd64 x (1.0-1)",
      "x 1.0-1+b2 amd64 x (1.0-1)",
      "x 1.0-1 amd64",
    ];
    expect(chosen("libx", ...lines)).toEqual(["libx 1.0-1+b2 amd64", "x 1.0-1+b2 amd64", "x-data 1.0-1 all"]);
    expect(chosen("x-data", ...lines)).toEqual(chosen("libx", ...lines));
    expect(chosen("libx=1.0-1", ...lines)).toEqual(["libx 1.0-1 amd64", "x 1.0-1 amd64", "x-data 1.0-1 all"]);
  });

  test("leaves debug symbols out", () => {
    const lines = [
      "libx 1 amd64 x",
      "libx-dbgsym 1 amd64 x",
      "libx-dbg 1 amd64 x",
      "libx-dbgtools 1 amd64 x",
    ];
    expect(chosen("libx", ...lines)).toEqual(["libx 1 amd64", "libx-dbgtools 1 amd64"]);
    expect(() => chosen("y-dbgsym", "y-dbgsym 1 amd64 y")).toThrow("do not have y-dbgsym");
  });

  test("a package of the name goes before a source of the name", () => {
    const lines = ["x 1 amd64 other", "liby 2 amd64 x"];
    expect(chosen("x", ...lines)).toEqual(["x 1 amd64"]);
  });

  test("what no archive has is an error that says what there is", () => {
    const errorOf = (wanted: string, lines: readonly string[]): unknown => {
      try {
        return chosen(wanted, ...lines);
      } catch (error) {
        return error;
      }
    };
    expect(errorOf("nothing", EXPAT)).toMatchObject({
      kind: "not-found",
      message: "The repositories of bookworm amd64 do not have nothing",
      hints: ["do this machine's apt sources have the security suite?"],
    });
    expect(errorOf("libexpat1=3", EXPAT)).toMatchObject({ hints: ["they have 2.5.0-1+deb12u2, 2.5.0-1"] });
    expect(errorOf("libexpat1", [])).toMatchObject({
      hints: ["no apt source of this machine is for bookworm"],
    });
  });
});
