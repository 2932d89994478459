import { basename } from "node:path";

/** One executable, two commands, told apart by the name it is called by. A runtime starts often: it loads only its own. */
async function main(): Promise<void> {
  if (basename(process.argv0) === "crio-lxc") {
    const { runCrioLxc } = await import("./runtime/crio-lxc.ts");
    process.exitCode = await runCrioLxc(process.argv.slice(2));
    return;
  }
  const { runAtomfs } = await import("./cli/atomfs.ts");
  await runAtomfs();
}

void main();
