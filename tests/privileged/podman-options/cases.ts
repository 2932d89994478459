/** One row of the table: commands that are given to Podman under runc and under crio-lxc, with the same visible result. */
export type Case = {
  readonly name: string;
  /**
   * Arguments of `podman`, one list a command. NAME is a container's name, DIR a directory of this case and runtime,
   * IMAGE the test's image. "sh" as first word: the second is a script for the host.
   */
  readonly commands: readonly (readonly string[])[];
  /** What the control's transcript must have, or the case would prove nothing. */
  readonly shows: readonly (string | RegExp)[];
  /** Differences that are meant to be there, with the reason. Replaced in both transcripts. */
  readonly otherwise?: {
    readonly why: string;
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

/** `podman run` with these options; the probe looks at everything unless another command is given. */
export function run(
  options: string,
  shows: Case["shows"],
  command: readonly string[] = ["probe"],
  more: Pick<Case, "differs" | "otherwise"> = {},
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
  more: Pick<Case, "differs" | "otherwise"> = {},
): Case {
  return {
    name,
    commands: commands.map((command) => (typeof command === "string" ? words(command) : command)),
    shows,
    ...more,
  };
}
