import { AtomfsError } from "../../core/errors.ts";
import { compareVersions } from "../../formats/dpkg/version.ts";
import type { Fields } from "./expand.ts";
import type { ImagePaths } from "./image-paths.ts";
import type { Status } from "./state.ts";

/** What a command does to the image: nothing, with a status; or an effect, as the end of a sentence about it. */
export type CommandAnswer =
  | { readonly status: Status; readonly output?: string }
  | { readonly effect: string };

/** `dpkg --compare-versions A OP B` (dpkg(1)), for each operator: what holds if A is less, equal, greater. */
const COMPARISONS: ReadonlyMap<string, readonly [boolean, boolean, boolean]> = new Map([
  ["lt", [true, false, false]],
  ["le", [true, true, false]],
  ["eq", [false, true, false]],
  ["ne", [true, false, true]],
  ["ge", [false, true, true]],
  ["gt", [false, false, true]],
  ["<<", [true, false, false]],
  ["<=", [true, true, false]],
  ["<", [true, true, false]],
  ["=", [false, true, false]],
  [">=", [false, true, true]],
  [">", [false, true, true]],
  [">>", [false, false, true]],
]);

const READING_MODES =
  /^(--print-(foreign-)?architectures?|--validate-version|--assert-[a-z-]+|-[sLlpSV]|--status|--listfiles|--list|--search|--verify|--get-selections)$/;

/** Whether A OP B holds; undefined for what dpkg itself doubts. An empty version is before, with "-nl" after all others. */
export function compareAsDpkg(a: string, operator: string, b: string): Status {
  const isEmptyLast = operator.endsWith("-nl");
  const truth = COMPARISONS.get(isEmptyLast ? operator.slice(0, -"-nl".length) : operator);
  if (truth === undefined || (isEmptyLast && /^(eq|ne)-/.test(operator))) return undefined;
  return truth[1 + Math.sign(order(a, b, isEmptyLast) ?? Number.NaN)];
}

function order(a: string, b: string, isEmptyLast: boolean): number | undefined {
  if (a === "" || b === "") {
    const first = Number(a !== "") - Number(b !== "");
    return isEmptyLast ? -first : first;
  }
  try {
    return compareVersions(a, b);
  } catch (error) {
    if (error instanceof AtomfsError) return undefined;
    throw error;
  }
}

export function answerDpkg(fields: Fields): CommandAnswer {
  const [mode, ...rest] = fields.values;
  if (mode === "--compare-versions") {
    const [a, operator, b] = rest[0] === "--" ? rest.slice(1) : rest;
    const isKnown = !fields.isOpen && a !== undefined && operator !== undefined && b !== undefined;
    return { status: isKnown ? compareAsDpkg(a, operator, b) : undefined };
  }
  if (mode !== undefined && READING_MODES.test(mode)) return { status: undefined };
  return { effect: "changes dpkg's database or installed packages" };
}

/** What `dpkg-maintscript-helper` has to know of the script that calls it. */
export type HelperCaller = { readonly scriptName: string; readonly paths: ImagePaths };

const ARGUMENTS_BEFORE_VERSION: ReadonlyMap<string, number> = new Map([
  ["rm_conffile", 1],
  ["mv_conffile", 2],
  ["symlink_to_dir", 2],
  ["dir_to_symlink", 2],
]);

/** dpkg-maintscript-helper(1) on an upgrade, by the conditions under which it moves something. */
export function answerMaintscriptHelper(fields: Fields, caller: HelperCaller): CommandAnswer {
  const [command = "", ...rest] = fields.values;
  const isSupported = ARGUMENTS_BEFORE_VERSION.has(command);
  if (command === "supports")
    return { status: ARGUMENTS_BEFORE_VERSION.has(rest[0] ?? "") ? true : undefined };
  const end = rest.indexOf("--");
  const given = rest.slice(0, Math.max(0, end));
  const scriptArguments = rest.slice(end + 1);
  const count = ARGUMENTS_BEFORE_VERSION.get(command) ?? 0;
  if (!isSupported || fields.isOpen || given.length < count || given.includes(undefined) || end < 0) {
    return { effect: "moves files in a way that AtomFS can't predict" };
  }
  const path = given[0] ?? "";
  const version = given[count] ?? "";
  const action = scriptArguments[0];
  const old = scriptArguments[1];
  if (action === undefined || !path.startsWith("/")) return { effect: "fails, which stops the upgrade" };
  if (version !== "" && order(version, version, false) === undefined) {
    return { effect: "fails, which stops the upgrade" };
  }
  if (!isActive(caller.scriptName, action)) return { status: true };
  const isOld = old === undefined ? undefined : old === "" ? false : compareAsDpkg(old, "le-nl", version);
  if (isIdle(command, { path, isOld, ...caller })) return { status: true };
  return { effect: `changes ${path}, as it does when upgrading from version ${old ?? "?"}` };
}

/** Of the scripts of an upgrade, prerm and postrm never make the helper act. */
function isActive(scriptName: string, action: string): boolean {
  if (scriptName === "preinst") return action === "upgrade" || action === "install";
  if (scriptName === "postinst") return action === "configure";
  return scriptName !== "prerm" && action !== "upgrade";
}

type HelperCase = HelperCaller & {
  readonly path: string;
  /** Whether the old version is one that the helper acts on. */
  readonly isOld: Status;
};

/** Whether certainly nothing happens. The helper's postinst parts for links and directories don't look at the version. */
function isIdle(command: string, { paths, path, isOld, scriptName }: HelperCase): boolean {
  const isPostinst = scriptName === "postinst";
  if (command === "symlink_to_dir") {
    if (isPostinst) return paths.testFile("-h", `${path}.dpkg-backup`) === false;
    return isOld === false || paths.testFile("-h", path) === false;
  }
  if (command === "dir_to_symlink") {
    const directory = path.replace(/\/$/, "");
    if (isPostinst) return paths.testFile("-d", `${directory}.dpkg-backup`) === false;
    return (
      isOld === false || paths.testFile("-d", directory) === false || paths.testFile("-h", directory) === true
    );
  }
  const leftovers = ["", ".dpkg-remove", ".dpkg-backup"].map((suffix) => paths.isAbsent(`${path}${suffix}`));
  return isOld === false || leftovers.every((isAbsent) => isAbsent === true);
}
