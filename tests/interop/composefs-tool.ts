import { run } from "../../src/sys/process.ts";
import { type Command, foreignPrograms } from "./foreign-programs.ts";

/** A command line of the real composefs's tools, to which arguments are appended. */
export type ComposefsTools = { readonly mkcomposefs: Command; readonly composefsInfo: Command };

/**
 * Debian's composefs tools, which Debian 12 does not have.
 * @throws AtomfsError if they cannot be had or don't run
 */
export async function composefsTools(): Promise<ComposefsTools> {
  const command = await foreignPrograms({
    name: "composefs",
    suite: "sid",
    packages: ["composefs", "libcomposefs1", "libssl3t64", "libc6"],
  });
  const tools = {
    mkcomposefs: command("usr/bin/mkcomposefs"),
    composefsInfo: command("usr/bin/composefs-info"),
  };
  await run([...tools.mkcomposefs, "--help"], { okCodes: [0, 1] });
  return tools;
}
