import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** Folders of src in order of dependence: each imports itself and those before it. */
export const FOLDERS: readonly string[] = [
  "core",
  "bytes",
  "formats",
  "sys",
  "store",
  "sources",
  "atoms",
  "molecules",
  "mounts",
  "engines",
  "fixing",
  "export",
  "runtime",
  "cli",
];
const PURE_FOLDERS: readonly string[] = ["core", "bytes", "formats"];
export const MAX_LINES = 400;

export type SourceFile = {
  /** From the repository: "src/core/tree.ts". */ readonly path: string;
  readonly text: string;
};
/** One sentence for each place that breaks the rule. */
export type Rule = (file: SourceFile) => string[];

const MAIN = "src/main.ts";
/** What may be imported from outside src: data, not code. */
const OUTSIDE = /^(package\.json|native\/.*)$/;

const transpiler = new Bun.Transpiler({ loader: "ts", target: "bun" });

/** The code without comments and types. */
function bareCode(file: SourceFile): string {
  return transpiler.transformSync(file.text);
}

/** Every module that is imported, types too. The house style puts import statements at the start of a line. */
export function importsOf(file: SourceFile): string[] {
  const found = new Set(transpiler.scanImports(file.text).map((item) => item.path));
  const statement = /^(?:import|export)\b(?:[^;"'`=()]*?\bfrom)?\s*["']([^"'\n]+)["']/gm;
  for (const [, path = ""] of file.text.matchAll(statement)) found.add(path);
  for (const [, path = ""] of file.text.matchAll(/\bimport\(\s*["']([^"'\n]+)["']\s*\)/g)) found.add(path);
  return [...found];
}

function folderOf(path: string): string | undefined {
  return /^src\/([^/]+)\//.exec(path)?.[1];
}

export function checkOrder(file: SourceFile): string[] {
  const from = folderOf(file.path);
  const rank = from === undefined ? FOLDERS.length : FOLDERS.indexOf(from);
  if (rank < 0) return [`${file.path}: folder ${from} has no place in the order`];
  if (from === undefined && file.path !== MAIN) return [`${file.path}: only main.ts is in src itself`];
  return importsOf(file).flatMap((name) => {
    if (!name.startsWith(".")) return [];
    const target = normalize(join(dirname(file.path), name));
    if (OUTSIDE.test(target)) return [];
    const folder = folderOf(target);
    const targetRank = folder === undefined ? -1 : FOLDERS.indexOf(folder);
    if (targetRank < 0) return [`${file.path} imports ${name}, which is in no folder of the order`];
    return targetRank > rank ? [`${file.path} imports ${name}: ${from} comes before ${folder}`] : [];
  });
}

const IMPURE_CODE: readonly RegExp[] = [
  /(?<![.\w])process\./,
  /\bBun\./,
  /\bDate\.now\b/,
  /\bnew Date\b(?!\s*\(\s*[^\s)])/,
  /\bperformance\./,
  /\bMath\.random\b/,
  /\bfetch\(/,
  /\bset(Timeout|Interval|Immediate)\(/,
];
const PURE_MODULES: readonly string[] = [
  "node:crypto",
  "node:zlib",
  "node:buffer",
  "node:assert",
  "node:util",
];

/** Pure folders turn values into values: no files, no processes, no clock, no chance. */
export function checkPurity(file: SourceFile): string[] {
  if (!PURE_FOLDERS.includes(folderOf(file.path) ?? "")) return [];
  const modules = importsOf(file).filter((name) => !name.startsWith(".") && !PURE_MODULES.includes(name));
  const code = bareCode(file);
  const uses = IMPURE_CODE.flatMap((pattern) => pattern.exec(code)?.[0] ?? []);
  return [...modules, ...uses].map((what) => `${file.path} uses ${what}`);
}

export function checkForeignCalls(file: SourceFile): string[] {
  if (folderOf(file.path) === "sys") return [];
  return importsOf(file).includes("bun:ffi") ? [`${file.path} imports bun:ffi`] : [];
}

export function checkExit(file: SourceFile): string[] {
  if (file.path === MAIN) return [];
  return /\bprocess\.(exit|reallyExit)\s*\(/.test(bareCode(file)) ? [`${file.path} calls process.exit`] : [];
}

export function checkName(file: SourceFile): string[] {
  const bad = file.path.split("/").find((part) => /^(utils?|helpers?|common|misc|index)(\.|$)/.test(part));
  return bad === undefined ? [] : [`${file.path}: the name ${bad} says nothing`];
}

export function checkLength(file: SourceFile): string[] {
  const lines = file.text.trimEnd().split("\n").length;
  return lines > MAX_LINES ? [`${file.path} has ${lines} lines`] : [];
}

/** @param dependencies names from package.json that users get; the code must not need more */
export function checkDependencies(dependencies: readonly string[]): Rule {
  return (file) =>
    importsOf(file)
      .filter((name) => !/^(\.|node:|bun$|bun:)/.test(name))
      .filter((name) => !dependencies.some((known) => name === known || name.startsWith(`${known}/`)))
      .map((name) => `${file.path} imports ${name}, which is no dependency in package.json`);
}

export function checkDocs(repository: string): Rule {
  return (file) =>
    [...file.text.matchAll(/\bImplements (docs\/[\w./-]*\w)/g)].flatMap(([, path = ""]) =>
      existsSync(join(repository, path)) ? [] : [`${file.path} implements ${path}, which does not exist`],
    );
}
