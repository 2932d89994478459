/** The layout of this machine's control groups; hybrid ones have their limits in v1. */
export type Layout = "v1" | "v2";

/** What is seen, and where the two layouts show it in other words, in those of each. */
export type Proof = string | RegExp | { readonly [layout in Layout]: string | RegExp };

/** One row of the table: commands that are given to Podman under runc and under crio-lxc, with the same visible result. */
export type Case = {
  readonly name: string;
  /**
   * Arguments of `podman`, one list a command. NAME is a container's name, DIR a directory of this case and runtime,
   * IMAGE the test's image. "sh" as first word: the second is a script for the host.
   */
  readonly commands: readonly (readonly string[])[];
  /** What the control's transcript must have, or the case would prove nothing. */
  readonly shows: readonly Proof[];
  /** The layout that has what this is about; undefined: both. */
  readonly only?: Layout;
  /** Differences that are meant to be there, with the reason. Replaced in both transcripts. */
  readonly otherwise?: {
    readonly why: string;
    /** The layout that has the difference; undefined: both. */
    readonly only?: Layout;
    /** If the control's transcript has this, crio-lxc's is not compared with it. */
    readonly says: RegExp;
    /** What crio-lxc's has then. */
    readonly ours: readonly (string | RegExp)[];
  };
  readonly differs?: { readonly why: string; readonly from: RegExp; readonly to: string };
};

/** Words separated by spaces. */
export function words(text: string): string[] {
  return text.split(" ").filter((word) => word !== "");
}

type More = Pick<Case, "differs" | "otherwise" | "only">;

/** `podman run` with these options; the probe looks at everything unless another command is given. */
export function run(
  options: string,
  shows: Case["shows"],
  command: readonly string[] = ["probe"],
  more: More = {},
): Case {
  const argv = ["run", "--rm", "--name", "NAME", ...network(options), ...words(options), "IMAGE", ...command];
  return {
    name: `run ${options} ${command.join(" ") === "probe" ? "" : command.join(" ")}`.trim(),
    commands: [argv],
    shows,
    ...more,
  };
}

/** A network takes time, and most cases need none. */
function network(options: string): string[] {
  return /--net|--pod/.test(options) ? [] : ["--network", "none"];
}

/**
 * For the host, before a look at NAME after its end: it is "stopped" until the clean-up that conmon starts has made it "exited", which
 * no command waits for.
 */
export const AFTER_CLEANUP =
  "while podman inspect --format '{{.State.Status}}' NAME 2>/dev/null | grep -qx stopped; do sleep 0.1; done";

/** Several commands; each text is one, without a `podman` before it. */
export function script(
  name: string,
  commands: readonly (string | readonly string[])[],
  shows: Case["shows"],
  more: More = {},
): Case {
  return {
    name,
    commands: commands.map((command) => (typeof command === "string" ? words(command) : command)),
    shows,
    ...more,
  };
}
