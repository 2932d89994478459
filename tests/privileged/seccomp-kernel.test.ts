import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseRuntimeConfig } from "../../src/formats/oci/runtime-config/parse.ts";
import { normaliseSeccomp } from "../../src/runtime/seccomp-plan.ts";
import { run } from "../../src/sys/process.ts";
import { compileSeccomp } from "../../src/sys/seccomp.ts";

const FIXTURE = join(import.meta.dir, "..", "fixtures", "runtime", "podman-default.json");
const ACTIONS = ["kill_process", "kill_thread", "trap", "errno", "trace", "log", "allow"];

/** Loads a filter into itself and says what some calls return: 0 or the errno. */
const PROBE = `
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
code = open(sys.argv[1], "rb").read()
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
program = Program(len(code) // 8, code)
calls = [("getpid", 39, 0), ("personality", 135, 0xffffffff), ("personality", 135, 0x1234), ("swapon", 167, 0), ("bpf", 321, 0)]
libc.prctl(38, 1, 0, 0, 0)
loaded = libc.syscall(317, 1, 0, ctypes.byref(program))
print("load", 0 if loaded == 0 else ctypes.get_errno())
for name, number, argument in calls:
    ctypes.set_errno(0)
    result = libc.syscall(number, ctypes.c_ulong(argument), 0, 0, 0)
    print(name, ctypes.get_errno() if result < 0 else 0)
`;

test("the kernel takes Podman's default profile and does what it says", async () => {
  const config = parseRuntimeConfig(readFileSync(FIXTURE));
  if (config.linux.seccomp === undefined) throw new Error("the fixture has no profile");
  const { profile, flags, warnings } = normaliseSeccomp(config.linux.seccomp, ACTIONS);
  expect([flags, warnings]).toEqual([0, []]);
  const directory = mkdtempSync(join(tmpdir(), "atomfs-seccomp-"));
  try {
    writeFileSync(join(directory, "filter"), compileSeccomp(profile));
    writeFileSync(join(directory, "probe.py"), PROBE);
    const { stdout } = await run(["python3", join(directory, "probe.py"), join(directory, "filter")]);
    const [EPERM, ENOSYS] = [1, 38];
    expect(stdout.toString().trim().split("\n")).toEqual([
      "load 0",
      "getpid 0",
      "personality 0",
      `personality ${ENOSYS}`,
      `swapon ${EPERM}`,
      `bpf ${EPERM}`,
    ]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
