import { readFile } from "node:fs/promises";
import { AtomfsError } from "../src/core/errors.ts";
import { run } from "../src/sys/process.ts";
import type { Sample } from "./results.ts";

/**
 * A small parent for what is measured. The kernel counts the memory that a process had before exec as its own, so a child
 * of this program, which is large, could never look small. Perl is in every Debian (perl-base is essential).
 */
const METER = String.raw`
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
my ($answer, $output, $getrusage) = splice(@ARGV, 0, 3);
my $start = clock_gettime(CLOCK_MONOTONIC);
my $pid = fork();
die "fork: $!" unless defined $pid;
if ($pid == 0) {
  if ($output ne '') { open(STDOUT, '>', $output) or die "$output: $!"; open(STDERR, '>&STDOUT') }
  exec { $ARGV[0] } @ARGV;
  exit 127;
}
$SIG{$_} = sub { kill 'TERM', $pid } for qw(TERM INT HUP);
1 until waitpid($pid, 0) == $pid || !$!{EINTR};
my $status = $?;
my $wall = clock_gettime(CLOCK_MONOTONIC) - $start;
my $usage = "\0" x 144;
syscall($getrusage + 0, -1, $usage);
my ($us, $uu, $ss, $su, $kb) = unpack('q5', $usage);
open(my $file, '>', $answer) or die "$answer: $!";
printf $file '{"ms":%.3f,"cpuMs":%.3f,"peakBytes":%d}', $wall * 1e3, ($us + $ss) * 1e3 + ($uu + $su) / 1e3, $kb * 1024;
close $file;
exit($status & 127 ? 128 + ($status & 127) : $status >> 8);
`;

/** The system call's number; its answer has the same form on all 64-bit Linux. */
const GETRUSAGE: Readonly<Record<string, number>> = { x64: 98, arm64: 165 };

const ANY_CODE: readonly number[] = Array.from({ length: 256 }, (_, code) => code);

export type Measured = { readonly sample: Sample; readonly stdout: string };

export type MeterOptions = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** A file that may be overwritten. */
  readonly scratch: string;
  /** Exit codes that are an answer, not a failure. Default: 0 only. */
  readonly okCodes?: readonly number[];
  /** The command leaves processes that keep its output open, so that goes into a file. */
  readonly leavesProcesses?: boolean;
  /** What starts the meter itself: a command line that ends in executing its arguments. It is not measured. */
  readonly around?: readonly string[];
};

const SHOWN = 2000;

/**
 * Runs a command: its wall time from fork to end, CPU time (user and system) of it and of all its descendants that were
 * waited for, and the largest resident memory that one of them had.
 * @throws AtomfsError "failed" if it fails, "interrupted"
 */
export async function measureCommand(
  argv: readonly [string, ...string[]],
  options: MeterOptions,
): Promise<Measured> {
  const getrusage = GETRUSAGE[process.arch];
  if (getrusage === undefined)
    throw new AtomfsError("unsupported", `The benchmark does not know ${process.arch}`);
  const { env, signal, scratch } = options;
  const output = options.leavesProcesses === true ? `${scratch}.output` : "";
  const meter = ["perl", "-e", METER, scratch, output, String(getrusage), ...argv] as const;
  const [program = "perl", ...args] = [...(options.around ?? []), ...meter];
  const { code, stdout, stderr } = await run([program, ...args], { env, signal, okCodes: ANY_CODE });
  if (!(options.okCodes ?? [0]).includes(code)) {
    const said = output === "" ? stderr : await readFile(output, "utf8");
    const shown = said.trim().slice(-SHOWN);
    throw new AtomfsError("failed", `${argv.join(" ")} failed with exit code ${code}: ${shown}`);
  }
  const sample = JSON.parse(await readFile(scratch, "utf8")) as Sample;
  return { sample, stdout: stdout.toString() };
}
