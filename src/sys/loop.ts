import { constants, openSync } from "node:fs";
import { AtomfsError } from "../core/errors.ts";
import { Fd } from "./fd.ts";
import { hasCode, rawSyscall, syscall, syscallError } from "./ffi.ts";

/** include/uapi/linux/loop.h */
const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const LO_FLAGS_READ_ONLY = 1;
const LO_FLAGS_AUTOCLEAR = 4;
const EBUSY = 16;
/** Many commands may look for a free device at the same instant; each of them gets one in the end. */
const ATTEMPTS = 64;

export type LoopDevice = Disposable & { readonly path: string };

/**
 * Makes a read-only block device of a file. It lasts as long as this handle or a mount of it: the kernel frees it
 * after the last of them (autoclear), also after a crash.
 */
export function openLoop(file: string): LoopDevice {
  using backing = new Fd(openSync(file, constants.O_RDONLY));
  using control = openControl();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const number = syscall("ioctl", "find a free loop device", control.number, LOOP_CTL_GET_FREE);
    const path = `/dev/loop${number}`;
    using stack = new DisposableStack();
    const device = stack.use(new Fd(openSync(path, constants.O_RDONLY)));
    const result = rawSyscall("ioctl", device.number, LOOP_CONFIGURE, loopConfig(backing));
    if (result === -EBUSY) continue;
    if (result < 0) throw syscallError(-result, `attach ${file} to ${path}`);
    stack.move();
    return { path, [Symbol.dispose]: () => device[Symbol.dispose]() };
  }
  throw new AtomfsError(
    "unsupported",
    `Cannot attach ${file}: each of ${ATTEMPTS} free loop devices was taken first by another program`,
  );
}

function openControl(): Fd {
  try {
    return new Fd(openSync("/dev/loop-control", constants.O_RDWR));
  } catch (error) {
    if (!hasCode(error, "ENOENT", "ENXIO", "ENODEV", "EACCES", "EPERM")) throw error;
    throw new AtomfsError("unsupported", "Cannot make a loop device: /dev/loop-control cannot be opened", {
      hints: ["load the kernel module: modprobe loop"],
      cause: error,
    });
  }
}

/** struct loop_config: fd u32, block_size u32, struct loop_info64 (lo_flags at 52), 64 reserved bytes. */
function loopConfig(backing: Fd): Buffer {
  const config = Buffer.alloc(304);
  config.writeUInt32LE(backing.number, 0);
  config.writeUInt32LE(4096, 4);
  config.writeUInt32LE(LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR, 8 + 52);
  return config;
}
