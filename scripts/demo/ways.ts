import type { RestartAnswer } from "./answers.ts";
import type { Commands } from "./commands.ts";
import type { DemoImage, DemoImageName } from "./images.ts";

/** As engines say it. */
export function imageName(name: DemoImageName): string {
  return `localhost/${name}:1.0`;
}

/** How the containers get their roots: all that the demo's two ways do differently. */
export type Way = {
  readonly name: "at-create" | "storage";
  /** What Podman calls to run a container. */
  readonly runtime: "crio-lxc" | "runc";
  /** Programs that only this way needs, and the Debian packages that have them. */
  readonly tools: Readonly<Record<string, string>>;
  readonly importTitle: string;
  /** Brings an image to where `atomfs import` finds it. @returns the arguments of `atomfs import` */
  readonly offer: (commands: Commands, image: DemoImage) => Promise<readonly string[]>;
  /** Gives outdated containers their image's current molecule. */
  readonly restart: (commands: Commands, names: readonly string[]) => Promise<RestartAnswer>;
};

/** Podman keeps its images and mounts its roots as always; the runtime puts the current molecule there at each start. */
export const AT_CREATE: Way = {
  name: "at-create",
  runtime: "crio-lxc",
  tools: { skopeo: "skopeo", "lxc-start": "lxc", gcc: "gcc libc6-dev" },
  importTitle: "Podman gets them; AtomFS makes atoms of them, one per package, where they are",
  async offer(commands, { name, source }) {
    const held = `containers-storage:${imageName(name)}`;
    await commands.run(["skopeo", "copy", "--quiet", source, held]);
    return [held];
  },
  async restart(commands, names) {
    const restarted: { name: string; milliseconds: number }[] = [];
    for (const name of names) {
      const start = performance.now();
      await commands.run(["podman", "restart", name]);
      restarted.push({ name, milliseconds: performance.now() - start });
    }
    return restarted;
  },
};

/** AtomFS keeps the images; Podman, with any runtime, sees them in an additional image store. */
export const STORAGE: Way = {
  name: "storage",
  runtime: "runc",
  tools: { runc: "runc" },
  importTitle: "Import: layers become atoms, one per package, and Podman sees the images",
  offer: (_, { name, source }) => Promise.resolve([source, "--name", imageName(name)]),
  restart: (commands) => commands.atomfs<RestartAnswer>(["restart", "--outdated"]),
};
