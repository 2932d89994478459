import {
  answerDpkg,
  answerMaintscriptHelper,
  type CommandAnswer,
  type HelperCaller,
} from "./dpkg-commands.ts";
import type { Fields } from "./expand.ts";
import type { Value } from "./state.ts";
import { evaluateTest } from "./test-command.ts";

/** Programs that only read files and write to their standard output, whatever their arguments. */
const READERS = new Set(
  `basename cat cmp cut dirname dpkg-query dpkg-realpath egrep fgrep grep head id ischroot ls md5sum mountpoint
  pidof readlink realpath sha256sum stat tail tr uname wc`.split(/\s+/),
);

const EFFECTS: ReadonlyMap<string, string> = new Map([
  ...each("adduser addgroup useradd groupadd usermod groupmod deluser delgroup", "changes users or groups"),
  ...each("systemd-sysusers", "changes users or groups"),
  ...each("chown chgrp chmod setfacl setcap", "changes owners or rights of files"),
  ...each("cp mv ln mkdir install touch rm rmdir sed find truncate mktemp mknod", "changes files"),
  ...each("update-alternatives", "changes the links under /etc/alternatives"),
  ...each("update-rc.d deb-systemd-helper systemctl", "changes which services are enabled"),
  ...each("invoke-rc.d deb-systemd-invoke service start-stop-daemon", "starts or stops services"),
  ...each("py3compile pycompile pypy3compile", "writes compiled Python files"),
  ...each("py3clean pyclean pypy3clean", "removes compiled Python files"),
  ...each("dpkg-divert dpkg-statoverride dpkg-trigger", "changes dpkg's database"),
  ...each("update-ca-certificates", "makes the list of trusted certificates anew"),
  ...each("ucf ucfr", "changes configuration files"),
  ...each("perl python3 python ruby awk gawk mawk", "runs a program that AtomFS does not read"),
]);

const UNKNOWN_EFFECT = "may change the image: AtomFS does not know this command";

function each(names: string, effect: string): [string, string][] {
  return names.split(" ").map((name) => [name, effect]);
}

/** What a command that is neither a function nor one that changes the shell itself does to the image. */
export function answerCommand(name: string, fields: Fields, caller: HelperCaller): CommandAnswer {
  const first = fields.values[0];
  switch (name) {
    case ":":
    case "true":
    case "umask":
      return { status: true, output: "" };
    case "false":
      return { status: false, output: "" };
    case "echo":
      return { status: true, ...echoed(fields) };
    case "printf":
      // bash's `printf -v` sets a variable.
      if (first === undefined || first.startsWith("-")) return { effect: UNKNOWN_EFFECT };
      return { status: true };
    case "test":
      return { status: evaluateTest(fields, caller.paths) };
    case "[":
      return { status: evaluateBracket(fields, caller) };
    case "which":
    case "type":
    case "hash":
      return answerWhich(name, fields, caller);
    case "dpkg":
      return answerDpkg(fields);
    case "dpkg-maintscript-helper":
      return answerMaintscriptHelper(fields, caller);
    case "dpkg-divert":
      if (first === "--listpackage" || first === "--truename" || first === "--list")
        return { status: undefined };
      break;
    case "ldconfig":
      return answerLdconfig(fields);
    case "rm":
    case "rmdir":
      return answerRemove(name, fields, caller);
    case "mkdir":
      return answerMkdir(fields, caller);
    case ".":
      if (first === "/usr/share/debconf/confmodule") return { effect: "asks questions through debconf" };
      return { effect: "runs commands from another file" };
    default:
      break;
  }
  if (READERS.has(name)) return { status: isSureFilter(name, fields) ? true : undefined };
  return { effect: EFFECTS.get(name) ?? UNKNOWN_EFFECT };
}

/** What `echo` writes, if shells agree on it. */
function echoed({ values, isOpen }: Fields): { output?: string } {
  const isPlain = !isOpen && values.every((value) => value !== undefined && !/^-|\\/.test(value));
  return isPlain ? { output: values.join(" ") } : {};
}

/** `cut` and `tr` of their standard input have no file that could be missing. */
function isSureFilter(name: string, { values, isOpen }: Fields): boolean {
  if (isOpen) return false;
  if (name === "tr") return values.length === 2;
  const isOption = (value: Value): boolean => value !== undefined && /^-[fdc]/.test(value);
  // "-f 1" as well as "-f1": a word that is no option follows one without a value of its own.
  return (
    name === "cut" &&
    values.length > 0 &&
    values.every((value, index) => isOption(value) || /^-[fdc]$/.test(values[index - 1] ?? ""))
  );
}

function evaluateBracket({ values, isOpen }: Fields, { paths }: HelperCaller): boolean | undefined {
  if (values.at(-1) !== "]") return undefined;
  return evaluateTest({ values: values.slice(0, -1), isOpen }, paths);
}

function answerWhich(name: string, fields: Fields, { paths }: HelperCaller): CommandAnswer {
  const [wanted] = fields.values;
  if (
    fields.isOpen ||
    fields.values.length !== 1 ||
    wanted === undefined ||
    !/^[\w+.][\w+.-]*$/.test(wanted)
  ) {
    return { status: undefined };
  }
  const found = paths.findCommand(wanted);
  if (found === undefined) return { status: undefined };
  if (found === "") return name === "which" ? { status: false, output: "" } : { status: undefined };
  // `which` is a program of its own, which an image may lack.
  const isThere = name !== "which" || paths.findCommand("which") !== "";
  return isThere ? { status: true, output: found } : { status: undefined };
}

/** The cache of the whole image is what AtomFS makes itself. */
function answerLdconfig({ values, isOpen }: Fields): CommandAnswer {
  const options = values.join(" ").replace(/^(--verbose|-v)( |$)/, "");
  const isWhole = !isOpen && !values.includes(undefined) && (options === "" || options === "-r /");
  return isWhole
    ? { status: true }
    : { effect: "makes a library cache with options that AtomFS does not know" };
}

/** Paths in the image, options apart; undefined if they are not all known. */
function operands({ values, isOpen }: Fields): { options: string[]; paths: string[] } | undefined {
  if (isOpen || values.includes(undefined)) return undefined;
  const words = values as readonly string[];
  const paths = words.filter((word) => word.startsWith("/"));
  const options = words.filter((word) => !word.startsWith("/"));
  return paths.length > 0 ? { options, paths } : undefined;
}

function answerRemove(name: string, fields: Fields, caller: HelperCaller): CommandAnswer {
  const known = operands(fields);
  const isUnderstood = known?.options.every((option) =>
    /^(-[rfRv]+|--|--ignore-fail-on-non-empty)$/.test(option),
  );
  if (known === undefined || !isUnderstood) return { effect: "removes files" };
  if (!known.paths.every((path) => caller.paths.isAbsent(path) === true)) {
    const there = known.paths.filter((path) => caller.paths.isAbsent(path) !== true);
    return { effect: `removes ${there.join(" ")}` };
  }
  return { status: name === "rm" && known.options.some((option) => /^-[rRv]*f/.test(option)) };
}

function answerMkdir(fields: Fields, caller: HelperCaller): CommandAnswer {
  const known = operands(fields);
  const isHarmless =
    known?.options.join(" ") === "-p" &&
    known.paths.every((path) => caller.paths.testFile("-d", path) === true);
  return isHarmless ? { status: true } : { effect: "makes a directory" };
}
