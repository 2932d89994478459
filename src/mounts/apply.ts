import { constants, openSync } from "node:fs";
import { AtomfsError, assertNever } from "../core/errors.ts";
import { Fd, openNoFollow } from "../sys/fd.ts";
import { hasCode, SyscallError } from "../sys/ffi.ts";
import { openLoop } from "../sys/loop.ts";
import {
  attachMount,
  changeMount,
  cloneMount,
  FilesystemContext,
  MOUNT_ATTR,
  unmountAt,
} from "../sys/mount.ts";
import { overlayByFd, overlayByPath } from "./overlay.ts";
import type { MountSpec, MountStep } from "./spec.ts";

export type ApplyOptions = {
  /** For mount points that exist only during the call. */
  readonly runDirectory?: string;
};

const RUN_DIRECTORY = "/run/atomfs";

/** A mount that is taken away at the end of the scope, unless it is released. */
export class MountHandle implements Disposable {
  readonly target: string;
  #ours = true;

  constructor(target: string) {
    this.target = target;
  }

  /** From now on the mount stays. */
  release(): void {
    this.#ours = false;
  }

  [Symbol.dispose](): void {
    if (!this.#ours) return;
    this.#ours = false;
    unmountAt(this.target, { detach: true });
  }
}

/**
 * Mounts what the spec says on its target. If any step fails, nothing stays mounted.
 * @throws AtomfsError that names the molecule, the step and what the kernel said
 */
export function applyMount(spec: MountSpec, options: ApplyOptions = {}): MountHandle {
  const last = spec.steps.at(-1);
  if (last?.kind !== "move") throw new TypeError("A mount spec ends with a move");
  using mount = buildMount(spec, options);
  inStep(spec, last, () => attachMount(mount, last.target));
  return new MountHandle(last.target);
}

/** All steps but the move: a mount that is attached nowhere, for those who attach it themselves. */
export function buildMount(spec: MountSpec, options: ApplyOptions = {}): Fd {
  using stack = new DisposableStack();
  const made: Fd[] = [];
  const runDirectory = options.runDirectory ?? RUN_DIRECTORY;
  for (const step of spec.steps) {
    if (step.kind === "move") break;
    made.push(stack.use(inStep(spec, step, () => makeMount(spec, step, made, runDirectory))));
  }
  const result = made.pop();
  if (result === undefined) throw new TypeError("A mount spec makes at least one mount");
  stack.move();
  for (const below of made) below[Symbol.dispose]();
  return result;
}

/** Takes the topmost mount off `target`. Being no mount point is no error. @returns was there one? */
export function unmount(target: string): boolean {
  try {
    unmountAt(target, { detach: false });
    return true;
  } catch (error) {
    if (hasCode(error, "EINVAL", "ENOENT")) return false;
    throw error;
  }
}

function makeMount(
  spec: MountSpec,
  step: Exclude<MountStep, { kind: "move" }>,
  made: readonly Fd[],
  runDirectory: string,
): Fd {
  switch (step.kind) {
    case "erofs":
      return idMapped(
        step.idmap,
        step.backing === "file" ? erofsOfFile(step.source) : erofsOfLoop(step.source),
      );
    case "overlay":
      return spec.layers === "fd" ? overlayByFd(step, made) : overlayByPath(step, made, runDirectory);
    case "tree":
      return idMapped(step.idmap, readOnlyTree(step.path));
    default:
      return assertNever(step);
  }
}

/** By descriptor, because the kernel takes no name of more than 255 bytes. */
function erofsOfFile(image: string): Fd {
  using file = openNoFollow(image, constants.O_RDONLY);
  return erofs(file.procPath);
}

function erofsOfLoop(image: string): Fd {
  using device = openLoop(image);
  return erofs(device.path);
}

function erofs(source: string): Fd {
  using context = new FilesystemContext("erofs");
  context.setString("source", source);
  context.setFlag("ro");
  return context.create(MOUNT_ATTR.rdonly);
}

function readOnlyTree(path: string): Fd {
  using stack = new DisposableStack();
  const mount = stack.use(cloneMount(path));
  changeMount(mount, { set: MOUNT_ATTR.rdonly, private: true });
  stack.move();
  return mount;
}

function idMapped(namespace: string | undefined, mount: Fd): Fd {
  if (namespace === undefined) return mount;
  using stack = new DisposableStack();
  stack.use(mount);
  using idmap = new Fd(openSync(namespace, constants.O_RDONLY));
  changeMount(mount, { idmap });
  stack.move();
  return mount;
}

function inStep<T>(spec: MountSpec, step: MountStep, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Error) || error instanceof TypeError || error instanceof RangeError) throw error;
    const kind = error instanceof AtomfsError ? error.kind : "failed";
    const code = "code" in error ? String(error.code) : "";
    const message = `Cannot mount molecule ${spec.molecule} (${spec.row}, ${describe(step)}): ${error.message}`;
    throw new SyscallError(kind, message, code, error);
  }
}

function describe(step: MountStep): string {
  switch (step.kind) {
    case "erofs":
      return `EROFS image ${step.source} by ${step.backing}`;
    case "overlay":
      return step.upper === undefined
        ? `read-only overlay over ${step.dataOnly.join(", ")}`
        : `overlay with ${step.upper.upperdir}`;
    case "tree":
      return `checked-out tree ${step.path}`;
    case "move":
      return `on ${step.target}`;
    default:
      return assertNever(step);
  }
}
