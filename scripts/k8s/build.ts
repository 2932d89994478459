/** npm run build:k8s: makes the programs of demo:k8s and test:k8s beforehand, from the Go module proxy. */
import { EXIT_CODES } from "../../src/core/errors.ts";
import { abortOnSignals } from "../../src/sys/interruption.ts";
import { kubernetesBinaries } from "./binaries.ts";

const signal = abortOnSignals();
try {
  const log = (text: string): void => console.log(text);
  console.log((await kubernetesBinaries({ log, signal })).replaceAll(":", "\n"));
} catch (error) {
  process.stderr.write(`build:k8s: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = signal.aborted ? EXIT_CODES.interrupted : EXIT_CODES.failed;
}
