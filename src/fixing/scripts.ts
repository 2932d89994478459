import { type ByteString, displayText } from "../core/bytestring.ts";
import type { Tree } from "../core/tree.ts";
import { ImagePaths } from "./shell/image-paths.ts";
import { interpretScript } from "./shell/interpret.ts";
import { isUnderstood, parseShell } from "./shell/parse.ts";
import type { Effect } from "./shell/runner.ts";
import type { ShellState, Value } from "./shell/state.ts";

/** A maintainer script that dpkg runs when it upgrades a package (deb-preinst(5) and its siblings). */
export type UpgradeScript = {
  readonly phase: "new preinst" | "old prerm" | "new postinst" | "old postrm";
  /** As messages call it. */
  readonly name: string;
  readonly text: Uint8Array;
};

/** Why an upgrade can't be done without running a script. */
export type ScriptProblem = {
  readonly script: string;
  /** 1 is the first line. */
  readonly line: number;
  /** As written in the script, white space squeezed, at most some 160 characters, safe to print. */
  readonly command: string;
  /** The end of a sentence that starts with the command: "changes users or groups". */
  readonly reason: string;
};

export type ScriptInput = {
  readonly packageName: string;
  readonly scripts: readonly UpgradeScript[];
  readonly oldVersion: ByteString;
  readonly newVersion: ByteString;
  /** The image's tree before the upgrade and after it: preinst and prerm run before the files are unpacked. */
  readonly before: Tree;
  readonly after: Tree;
};

/** Shells that run what POSIX defines in the same way; -e is the only option that AtomFS follows. */
const SHEBANG = /^#![ \t]*(\/usr)?\/bin\/(sh|dash|bash)([ \t]+-e)?[ \t]*\n/;

/**
 * What the scripts of an upgrade would do beyond what AtomFS does itself, found without running them: each way through
 * a script is followed with the arguments that dpkg gives. No problem means that running the scripts would change no
 * file of the image, provided that the image's programs are what their names say. In doubt, it is a problem.
 */
export function scriptProblems(input: ScriptInput): ScriptProblem[] {
  return input.scripts.flatMap((script) =>
    effectsOf(script, input).map((effect) => ({
      script: script.name,
      line: effect.line,
      command: displayText(effect.command as ByteString),
      reason: displayText(effect.reason as ByteString),
    })),
  );
}

function effectsOf(script: UpgradeScript, input: ScriptInput): Effect[] {
  const start = Buffer.from(script.text.subarray(0, 80)).toString("latin1");
  const firstLine = start.split("\n", 1)[0] ?? "";
  const shebang = SHEBANG.exec(start);
  if (shebang === null) {
    return [{ line: 1, command: firstLine, reason: "is not the start of a plain shell script" }];
  }
  const program = parseShell(script.text);
  if (!isUnderstood(program)) {
    const reason = `can't be read by AtomFS: ${program.reason}`;
    return [{ line: program.line, command: lineOf(script.text, program.line), reason }];
  }
  const scriptName = script.phase.split(" ")[1] ?? "";
  const paths = new ImagePaths(treesOf(script.phase, input));
  return interpretScript(program, initialState(scriptName, script, input, shebang[3] !== undefined), {
    scriptName,
    paths,
  });
}

/** When the old postrm runs, the new files are there and those that only the old package had still are. */
function treesOf(phase: UpgradeScript["phase"], { before, after }: ScriptInput): Tree[] {
  if (phase === "new postinst") return [after];
  return phase === "old postrm" ? [before, after] : [before];
}

/** deb-preinst(5), deb-prerm(5), deb-postinst(5), deb-postrm(5): the call on a successful upgrade; dpkg(1): variables. */
function initialState(
  scriptName: string,
  script: UpgradeScript,
  input: ScriptInput,
  stopsOnFailure: boolean,
): ShellState {
  const positional: Record<UpgradeScript["phase"], string[]> = {
    "new preinst": ["upgrade", input.oldVersion, input.newVersion],
    "old prerm": ["upgrade", input.newVersion],
    "new postinst": ["configure", input.oldVersion],
    "old postrm": ["upgrade", input.newVersion],
  };
  return {
    variables: new Map<string, Value>([
      ["DPKG_ROOT", ""],
      ["DPKG_MAINTSCRIPT_NAME", scriptName],
      ["DPKG_MAINTSCRIPT_PACKAGE", input.packageName],
    ]),
    functions: new Map(),
    positional: positional[script.phase],
    stopsOnFailure,
    lastStatus: true,
  };
}

function lineOf(text: Uint8Array, line: number): string {
  return Buffer.from(text).toString("latin1").split("\n", line)[line - 1]?.trim().slice(0, 160) ?? "";
}
