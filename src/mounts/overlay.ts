import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Fd, openDirectoryPath } from "../sys/fd.ts";
import {
  attachMount,
  changeMount,
  cloneMount,
  FilesystemContext,
  MAX_MOUNT_DATA,
  MOUNT_ATTR,
  mountByOptions,
  unmountAt,
} from "../sys/mount.ts";
import type { Layer, OverlayStep } from "./spec.ts";

/** Overlay from descriptors: nothing is ever visible in the file tree. */
export function overlayByFd(step: OverlayStep, made: readonly Fd[]): Fd {
  using stack = new DisposableStack();
  const context = stack.use(new FilesystemContext("overlay"));
  const setDirectory = (key: string, path: string) => context.setFd(key, stack.use(openDirectoryPath(path)));
  context.setString("source", step.source);
  for (const [key, value] of optionsOf(step)) {
    if (value === undefined) context.setFlag(key);
    else context.setString(key, value);
  }
  for (const layer of step.lower) {
    if ("path" in layer) setDirectory("lowerdir+", layer.path);
    else context.setFd("lowerdir+", madeBy(layer, made));
  }
  for (const path of step.dataOnly) setDirectory(step.singleColon ? "lowerdir+" : "datadir+", path);
  if (step.upper !== undefined) {
    setDirectory("upperdir", step.upper.upperdir);
    setDirectory("workdir", step.upper.workdir);
    forgetVolatileMount(step);
  }
  return context.create(step.attributes.reduce((bits, name) => bits | MOUNT_ATTR[name], 0));
}

/**
 * Overlay for kernels that know layers by path only: the layers get mount points in a directory of their own, which
 * are taken away as soon as overlay has its own hold on them. The result is attached nowhere, as with `overlayByFd`.
 */
export function overlayByPath(step: OverlayStep, made: readonly Fd[], runDirectory: string): Fd {
  using stack = new DisposableStack();
  mkdirSync(runDirectory, { recursive: true, mode: 0o700 });
  const points = mkdtempSync(join(runDirectory, "layers-"));
  stack.defer(() => rmdirSync(points));
  let count = 0;
  const newPoint = () => {
    const point = join(points, String(count++));
    mkdirSync(point, { mode: 0o700 });
    stack.defer(() => rmdirSync(point));
    return point;
  };
  const attach = (mount: Fd) => {
    const point = newPoint();
    attachMount(mount, point);
    stack.defer(() => unmountAt(point, { detach: true }));
    return point;
  };
  const lower = step.lower.map((layer) => ("path" in layer ? layer.path : attach(madeBy(layer, made))));
  forgetVolatileMount(step);
  const top = newPoint();
  mountOverlay(step, lower, top);
  stack.defer(() => unmountAt(top, { detach: true }));
  using result = new DisposableStack();
  const mount = result.use(cloneMount(top));
  changeMount(mount, {
    set: step.attributes.reduce((bits, name) => bits | MOUNT_ATTR[name], 0),
    private: true,
  });
  result.move();
  return mount;
}

/**
 * mount(2) takes one page of options. Where many layers have long paths, they are named by descriptors, from within
 * /proc/self/fd, as containers/storage does.
 */
function mountOverlay(step: OverlayStep, lower: readonly string[], target: string): void {
  const data = overlayData(step, lower);
  if (data.length <= MAX_MOUNT_DATA) {
    mountByOptions("overlay", step.source, target, 0, data);
    return;
  }
  using stack = new DisposableStack();
  const numbers = lower.map((path) => String(stack.use(openDirectoryPath(path)).number));
  const before = process.cwd();
  process.chdir("/proc/self/fd");
  stack.defer(() => process.chdir(before));
  mountByOptions("overlay", step.source, target, 0, overlayData(step, numbers));
}

/** The option string of mount(2). Exported for its test. @param lower the directories of `step.lower` */
export function overlayData(step: OverlayStep, lower: readonly string[]): Buffer {
  const layers = lower.map(escapeDirectory).join(":");
  const data = step.dataOnly.map(escapeDirectory);
  const separator = step.singleColon ? ":" : "::";
  const parts = [`lowerdir=${[layers, ...data].join(separator)}`];
  if (step.upper !== undefined) {
    parts.push(`upperdir=${escapeDirectory(step.upper.upperdir)}`);
    parts.push(`workdir=${escapeDirectory(step.upper.workdir)}`);
  }
  for (const [key, value] of optionsOf(step)) {
    if (value === undefined) parts.push(key);
    else parts.push(`${key}=${value.includes(",") ? `"${value}"` : value}`);
  }
  return Buffer.from(parts.join(","));
}

/** Key and value; SELinux contexts, which engines write in quotes, without the quotes. */
function optionsOf(step: OverlayStep): [string, string | undefined][] {
  const own: [string, string][] = [];
  if (step.metacopy) own.push(["metacopy", "on"], ["redirect_dir", "on"]);
  if (step.verity) own.push(["verity", "require"]);
  return [
    ...own,
    ...step.options.map((option): [string, string | undefined] => {
      const equals = option.indexOf("=");
      if (equals < 0) return [option, undefined];
      return [option.slice(0, equals), option.slice(equals + 1).replace(/^"(.*)"$/s, "$1")];
    }),
  ];
}

function escapeDirectory(path: string): string {
  return path.replace(/[\\:,]/g, "\\$&");
}

function madeBy(layer: Extract<Layer, { step: number }>, made: readonly Fd[]): Fd {
  const mount = made[layer.step];
  if (mount === undefined) throw new RangeError(`Mount spec uses step ${layer.step} before it is made`);
  return mount;
}

/**
 * Overlay marks the work directory of a volatile mount and refuses to mount it a second time. Engines remove the mark
 * (containers/storage does at each mount), and so do we where the engine asked for `volatile`.
 */
function forgetVolatileMount(step: OverlayStep): void {
  const isVolatile = step.options.includes("volatile") || step.options.includes("fsync=volatile");
  if (step.upper === undefined || !isVolatile) return;
  rmSync(join(step.upper.workdir, "work", "incompat"), { recursive: true, force: true });
}
