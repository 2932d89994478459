import { ptr } from "bun:ffi";
import { basename, dirname } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import { Fd, openDirectoryPath, syscallFd } from "./fd.ts";
import { rawSyscall, showPath, syscall, syscallError } from "./ffi.ts";
import { waitReadable } from "./poll.ts";

/** include/linux/socket.h, include/uapi/asm-generic/socket.h; the same on x86-64 and arm64. */
const AF_UNIX = 1;
const SOCK_TYPE = { stream: 1, datagram: 2, seqpacket: 5 } as const;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_PASSCRED = 16;
const SCM_RIGHTS = 1;
const SCM_CREDENTIALS = 2;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const CMSG_HEADER = 16;
const CREDENTIALS_SPACE = CMSG_HEADER + 16;

export type SocketType = keyof typeof SOCK_TYPE;

export type Message = {
  readonly bytes: Buffer;
  readonly descriptors: readonly Fd[];
  /** The sender's pid as this process would name it: the kernel's word. Only after `learnSenders`. */
  readonly sender: number | undefined;
};

/** Two ends of one connection. Messages of "seqpacket" keep their bounds. */
export function socketPair(type: SocketType): readonly [Fd, Fd] {
  const numbers = Buffer.alloc(8);
  syscall("socketpair", "make a socket pair", AF_UNIX, SOCK_TYPE[type] | SOCK_CLOEXEC, 0, numbers);
  return [new Fd(numbers.readInt32LE(0)), new Fd(numbers.readInt32LE(4))];
}

/** From now on each message that arrives here names the process that sent it. */
export function learnSenders(socket: Fd): void {
  const on = Buffer.alloc(4);
  on.writeInt32LE(1);
  syscall("setsockopt", "learn who sends", socket.number, SOL_SOCKET, SO_PASSCRED, on, 4);
}

/** Listens at a path, which must be free. */
export function listenUnix(path: string, type: SocketType): Fd {
  using stack = new DisposableStack();
  const fd = stack.use(openSocket(type));
  withAddress(path, (address) =>
    syscall("bind", `bind ${showPath(path)}`, fd.number, address, address.length),
  );
  if (type !== "datagram") syscall("listen", `listen at ${showPath(path)}`, fd.number, 16);
  stack.move();
  return fd;
}

/** @throws SyscallError: ENOENT if there is no such socket, ECONNREFUSED if nobody listens any more */
export function connectUnix(path: string, type: SocketType): Fd {
  using stack = new DisposableStack();
  const fd = stack.use(openSocket(type));
  withAddress(path, (address) =>
    syscall("connect", `connect to ${showPath(path)}`, fd.number, address, address.length),
  );
  stack.move();
  return fd;
}

/** Sends one datagram without ever waiting. @throws SyscallError: ENOENT, ECONNREFUSED, EAGAIN if the receiver is behind */
export function sendDatagram(path: string, bytes: Uint8Array): void {
  using fd = syscallFd(
    "socket",
    "make a socket",
    AF_UNIX,
    SOCK_TYPE.datagram | SOCK_CLOEXEC | SOCK_NONBLOCK,
    0,
  );
  withAddress(path, (address) =>
    syscall("connect", `connect to ${showPath(path)}`, fd.number, address, address.length),
  );
  sendMessage(fd, bytes);
}

/** The next connection; waits for it. */
export function acceptUnix(listener: Fd): Fd {
  return syscallFd("accept4", "accept a connection", listener.number, null, null, SOCK_CLOEXEC);
}

/** One message, at least one byte, with up to 253 descriptors. EPIPE is an error, never a signal. */
export function sendMessage(socket: Fd, bytes: Uint8Array, descriptors: readonly Fd[] = []): void {
  const control = Buffer.alloc(controlSpace(descriptors.length));
  if (descriptors.length > 0) {
    control.writeBigUInt64LE(BigInt(CMSG_HEADER + 4 * descriptors.length), 0);
    control.writeInt32LE(SOL_SOCKET, 8);
    control.writeInt32LE(SCM_RIGHTS, 12);
    for (const [i, fd] of descriptors.entries()) control.writeInt32LE(fd.number, CMSG_HEADER + 4 * i);
  }
  const header = new MessageHeader(bytes, control);
  const sent = syscall("sendmsg", "send a message", socket.number, header.bytes, MSG_NOSIGNAL);
  if (sent !== header.size) throw new AtomfsError("failed", `Only ${sent} of ${header.size} bytes were sent`);
}

/**
 * The next message; undefined if the other side has closed. The descriptors are the caller's to dispose.
 * @param limits.timeoutMs undefined: waits for ever
 * @throws AtomfsError "failed" after the timeout, "bad-data" for a message that is larger than `limits`
 */
export function receiveMessage(
  socket: Fd,
  limits: { readonly bytes: number; readonly descriptors?: number; readonly timeoutMs?: number },
): Message | undefined {
  if (limits.timeoutMs !== undefined && !waitReadable(socket, limits.timeoutMs)) {
    throw new AtomfsError("failed", `No answer within ${limits.timeoutMs} ms`);
  }
  const bytes = Buffer.alloc(limits.bytes);
  const control = Buffer.alloc(controlSpace(limits.descriptors ?? 0) + CREDENTIALS_SPACE);
  const header = new MessageHeader(bytes, control);
  const result = rawSyscallRetrying(socket, header);
  // The peer ended without reading what it was sent.
  if (result === -104) return undefined;
  if (result < 0) throw syscallError(-result, "receive a message");
  const { descriptors, sender } = header.received();
  // The room for credentials may hold a descriptor that nobody asked for.
  const tooMany = descriptors.length > (limits.descriptors ?? 0);
  if (tooMany || (header.flags & (MSG_TRUNC | MSG_CTRUNC)) !== 0) {
    for (const fd of descriptors) fd[Symbol.dispose]();
    throw new AtomfsError(
      "bad-data",
      `A message has more than ${limits.bytes} bytes or too many descriptors`,
    );
  }
  if (result === 0 && descriptors.length === 0) return undefined;
  return { bytes: bytes.subarray(0, result), descriptors, sender };
}

function rawSyscallRetrying(socket: Fd, header: MessageHeader): number {
  for (;;) {
    const result = rawSyscall("recvmsg", socket.number, header.bytes, MSG_CMSG_CLOEXEC);
    if (result !== -4) return result;
  }
}

function openSocket(type: SocketType): Fd {
  return syscallFd("socket", "make a socket", AF_UNIX, SOCK_TYPE[type] | SOCK_CLOEXEC, 0);
}

/** An address holds 107 bytes; a directory's descriptor makes any path short enough. */
function withAddress(path: string, use: (address: Buffer) => void): void {
  using directory = openDirectoryPath(dirname(path));
  const name = Buffer.from(`${directory.procPath}/${basename(path)}`);
  if (name.length > 107) throw syscallError(36, `use the socket ${showPath(path)}`);
  const address = Buffer.alloc(2 + name.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  address.set(name, 2);
  use(address);
}

function controlSpace(descriptors: number): number {
  return descriptors === 0 ? 0 : CMSG_HEADER + Math.ceil((4 * descriptors) / 8) * 8;
}

/** struct msghdr with one struct iovec. Holds the buffers that it points to. */
class MessageHeader {
  readonly bytes: Buffer = Buffer.alloc(56);
  readonly #vector = Buffer.alloc(16);
  readonly #data: Uint8Array;
  readonly #control: Buffer;

  constructor(data: Uint8Array, control: Buffer) {
    this.#data = data;
    this.#control = control;
    this.#vector.writeBigUInt64LE(BigInt(ptr(data)), 0);
    this.#vector.writeBigUInt64LE(BigInt(data.length), 8);
    this.bytes.writeBigUInt64LE(BigInt(ptr(this.#vector)), 16);
    this.bytes.writeBigUInt64LE(1n, 24);
    if (control.length > 0) this.bytes.writeBigUInt64LE(BigInt(ptr(control)), 32);
    this.bytes.writeBigUInt64LE(BigInt(control.length), 40);
  }

  get size(): number {
    return this.#data.length;
  }

  get flags(): number {
    return this.bytes.readInt32LE(48);
  }

  received(): { readonly descriptors: Fd[]; readonly sender: number | undefined } {
    const length = Number(this.bytes.readBigUInt64LE(40));
    const descriptors: Fd[] = [];
    let sender: number | undefined;
    for (let at = 0; at + CMSG_HEADER <= length; ) {
      const size = Number(this.#control.readBigUInt64LE(at));
      if (size < CMSG_HEADER) break;
      const end = Math.min(at + size, length);
      const type = this.#control.readInt32LE(at + 8) === SOL_SOCKET ? this.#control.readInt32LE(at + 12) : 0;
      for (let one = at + CMSG_HEADER; type === SCM_RIGHTS && one + 4 <= end; one += 4) {
        descriptors.push(new Fd(this.#control.readInt32LE(one)));
      }
      if (type === SCM_CREDENTIALS) sender = this.#control.readInt32LE(at + CMSG_HEADER);
      at += Math.ceil(size / 8) * 8;
    }
    return { descriptors, sender };
  }
}
