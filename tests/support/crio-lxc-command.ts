/** crio-lxc as it is, without a compiled executable: bun tests/support/crio-lxc-command.ts ARGUMENTS */
import { runCrioLxc } from "../../src/runtime/crio-lxc.ts";

process.exitCode = await runCrioLxc(process.argv.slice(2));
