import { AtomfsError } from "../../core/errors.ts";
import { type RunResult, run } from "../../sys/process.ts";
import type { Engine, EngineContainer, EngineImage } from "../engine.ts";
import { type InspectedContainer, parseContainerIds, parseContainers, parseImages } from "./output.ts";

export type PodmanOptions = {
  /** On top of this process's environment; CONTAINERS_CONF and CONTAINERS_STORAGE_CONF choose another Podman set-up. */
  readonly env?: Readonly<Record<string, string>>;
};

/** Podman's exit code for its own errors, as "no such container". */
const PODMAN_ERROR = 125;
/** Far below the kernel's limit for one command line. */
const IDS_PER_CALL = 200;

/**
 * The machine's Podman, root's own containers. Every method fails with AtomfsError: "unsupported" if podman isn't installed,
 * "not-found" if the container is gone, "failed" if podman fails or says what cannot be understood.
 */
export class PodmanEngine implements Engine {
  readonly name = "podman";
  readonly #env: Readonly<Record<string, string | undefined>>;

  constructor(options: PodmanOptions = {}) {
    this.#env = { ...process.env, ...options.env };
  }

  /** One sentence that says why Podman cannot be used, or undefined if it can. */
  async describeUnavailable(): Promise<string | undefined> {
    try {
      await this.#podman(["info", "--format", "{{.Store.GraphDriverName}}"], {});
      return undefined;
    } catch (error) {
      if (!(error instanceof AtomfsError) || error.kind === "interrupted") throw error;
      if (error.kind === "unsupported") return "Podman is not installed.";
      return `Podman is installed but does not work: ${error.message}`;
    }
  }

  /** All containers, stopped ones too. One that is removed meanwhile is left out. */
  async listContainers(options: { readonly signal?: AbortSignal } = {}): Promise<EngineContainer[]> {
    const { stdout } = await this.#podman(["ps", "--all", "--no-trunc", "--format", "json"], options);
    const ids = parseContainerIds(stdout.toString());
    const containers: EngineContainer[] = [];
    for (let at = 0; at < ids.length; at += IDS_PER_CALL) {
      const some = ids.slice(at, at + IDS_PER_CALL);
      const result = await this.#podman(["container", "inspect", ...some], {
        ...options,
        okCodes: [0, PODMAN_ERROR],
      });
      if (result.code !== 0 && !/no such container/i.test(result.stderr)) {
        throw new AtomfsError(
          "failed",
          `Cannot list Podman's containers: ${result.stderr.trim().slice(0, 500)}`,
        );
      }
      for (const { container } of parseContainers(result.stdout.toString())) containers.push(container);
    }
    return containers;
  }

  async listImages(options: { readonly signal?: AbortSignal } = {}): Promise<EngineImage[]> {
    const { stdout } = await this.#podman(["images", "--no-trunc", "--format", "json"], options);
    return parseImages(stdout.toString());
  }

  /** @param id a container's id or name */
  async inspect(id: string): Promise<InspectedContainer> {
    const { stdout } = await this.#container("inspect", [id]);
    const found = parseContainers(stdout.toString())[0];
    if (found === undefined) throw noContainer(id);
    return found;
  }

  /** The directory that holds what the container wrote. */
  async containerUpperDir(id: string): Promise<string> {
    const { upperDir } = await this.inspect(id);
    if (upperDir !== undefined) return upperDir;
    throw new AtomfsError("unsupported", `Cannot use container ${id}: its root is no overlay`);
  }

  /** Where the container's root is mounted, undefined while it isn't. */
  async containerMergedDir(id: string): Promise<string | undefined> {
    return (await this.inspect(id)).mergedDir;
  }

  /** Stops a container; its restart policy does not start it again. One that doesn't run is no error. */
  async stop(id: string, options: { readonly graceSeconds?: number } = {}): Promise<void> {
    const grace = options.graceSeconds === undefined ? [] : ["--time", String(options.graceSeconds)];
    await this.#container("stop", [...grace, id]);
  }

  async start(id: string): Promise<void> {
    await this.#container("start", [id]);
  }

  restart({ id }: EngineContainer): Promise<void> {
    return this.remountingRestart(id);
  }

  /**
   * Stops and starts a container so that its root is mounted anew. `podman restart` does that only if
   * conmon's cleanup happens to come in between; else the old root stays mounted.
   * Refuses before anything is stopped if the container could not be started again, or is systemd's.
   * @throws AtomfsError "blocked" then; "failed" if something else keeps the root mounted (the container is then started
   * again with its old root)
   */
  async remountingRestart(id: string, options: { readonly graceSeconds?: number } = {}): Promise<void> {
    const { container } = await this.inspect(id);
    if (container.removedAtStop) {
      throw new AtomfsError(
        "blocked",
        `Cannot restart container ${container.name}: Podman removes it when it stops`,
        {
          hints: ["it was made with --rm: run it again yourself"],
        },
      );
    }
    if (container.systemdUnit !== undefined) {
      throw new AtomfsError("blocked", `Cannot restart container ${container.name}: systemd is its master`, {
        hints: [`systemctl restart ${container.systemdUnit}`],
      });
    }
    const stillMounted = await this.#startAgain(container.id, () => this.#takeDown(container.id, options));
    if (stillMounted === undefined) return;
    throw new AtomfsError(
      "failed",
      `Container ${container.name} still has its old root: it stayed mounted at ${stillMounted}`,
      {
        hints: [`podman unmount ${container.name}, then restart it`],
      },
    );
  }

  /** @returns where its root is still mounted, if it is */
  async #takeDown(id: string, options: { readonly graceSeconds?: number }): Promise<string | undefined> {
    await this.stop(id, options);
    await this.#container("cleanup", [id]);
    return this.containerMergedDir(id);
  }

  /** Whatever goes wrong: a container that ran shall run. What went wrong first is what is told. */
  async #startAgain<T>(id: string, takeDown: () => Promise<T>): Promise<T> {
    let result: T;
    try {
      result = await takeDown();
    } catch (error) {
      const { state } = (await this.inspect(id)).container;
      if (state !== "running" && state !== "paused") await this.start(id);
      throw error;
    }
    await this.start(id);
    return result;
  }

  async #container(verb: string, args: readonly string[]): Promise<RunResult> {
    // In a session of its own: Ctrl-C on the terminal, which all programs of a session get, would end it half-way.
    const result = await run(["podman", "container", verb, ...args], {
      ownSession: true,
      env: this.#env,
      okCodes: [0, PODMAN_ERROR],
    });
    if (result.code === 0) return result;
    const id = args[args.length - 1] ?? "";
    if (/no such container|no container with name or id/i.test(result.stderr)) throw noContainer(id);
    throw new AtomfsError("failed", `Cannot ${verb} container ${id}: ${result.stderr.trim().slice(-1000)}`);
  }

  #podman(
    args: readonly string[],
    options: { readonly signal?: AbortSignal; readonly okCodes?: readonly number[] },
  ): Promise<RunResult> {
    return run(["podman", ...args], { ...options, env: this.#env });
  }
}

function noContainer(id: string): AtomfsError {
  return new AtomfsError("not-found", `Cannot find container ${id} in Podman`);
}
