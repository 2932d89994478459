/** npm run build:k8s: makes the programs of demo:k8s, test:k8s and test:critest beforehand, from the Go module proxy. */
import { EXIT_CODES } from "../../src/core/errors.ts";
import { abortOnSignals } from "../../src/sys/interruption.ts";
import { critestBinaries, kubernetesBinaries } from "./binaries.ts";

const signal = abortOnSignals();
try {
  const log = (text: string): void => console.log(text);
  const paths = [await kubernetesBinaries({ log, signal }), await critestBinaries({ log, signal })];
  for (const directory of new Set(paths.flatMap((path) => path.split(":")))) console.log(directory);
} catch (error) {
  process.stderr.write(`build:k8s: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = signal.aborted ? EXIT_CODES.interrupted : EXIT_CODES.failed;
}
