import { run } from "../../src/sys/process.ts";
import { kubeconfigOf } from "./pki.ts";
import { CONTROL_NETWORK, inNetwork, OWN_ENV } from "./place.ts";

const ANY_CODE: readonly number[] = Array.from({ length: 256 }, (_, code) => code);

/** The cluster's administrator. */
export class Kubectl {
  /** The cluster's programs first, then the machine's. */
  readonly path: string;
  readonly #signal: AbortSignal;

  constructor(path: string, signal: AbortSignal) {
    this.path = path;
    this.#signal = signal;
  }

  /** The command line that runs in the machine's own network. */
  argv(args: readonly string[]): [string, ...string[]] {
    const program = Bun.which("kubectl", { PATH: this.path }) ?? "kubectl";
    return inNetwork(CONTROL_NETWORK, [program, `--kubeconfig=${kubeconfigOf("admin")}`, ...args]);
  }

  /** @returns what it wrote @throws AtomfsError "failed" */
  async run(args: readonly string[], stdin?: string): Promise<string> {
    const { stdout } = await run(this.argv(args), {
      signal: this.#signal,
      env: this.#env(),
      ...(stdin === undefined ? {} : { stdin: new TextEncoder().encode(stdin) }),
    });
    return stdout.toString();
  }

  async works(args: readonly string[]): Promise<boolean> {
    const options = { signal: this.#signal, env: this.#env(), okCodes: ANY_CODE };
    return (await run(this.argv(args), options)).code === 0;
  }

  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.run([...args, "--output=json"])) as T;
  }

  #env(): Record<string, string | undefined> {
    return { ...process.env, ...OWN_ENV };
  }
}
