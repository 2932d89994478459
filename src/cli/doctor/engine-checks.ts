import { AtomfsError } from "../../core/errors.ts";
import { run } from "../../sys/process.ts";
import { type Check, works } from "./check.ts";

/** What an engine says of itself. */
export type EngineFacts = {
  /** "podman", "crio", "containerd". */
  readonly name: string;
  readonly version: string;
  /** Storage driver or snapshotter. */
  readonly storage: string;
  readonly defaultRuntime: string;
  readonly runtimes: readonly string[];
};

const RUNTIME = "crio-lxc";

/** @param facts "absent", or the reason why the engine does not answer */
export function engineCheck(
  name: string,
  facts: EngineFacts | "absent" | { readonly problem: string },
): Check {
  const id = `engines.${name}`;
  if (facts === "absent") return { id, status: "absent", finding: `${name} is not installed` };
  if ("problem" in facts) {
    return { id, status: "fails", finding: facts.problem, effect: `AtomFS cannot work under ${name}` };
  }
  const { version, storage, defaultRuntime, runtimes } = facts;
  const said = `${version}, storage ${storage}, runtime ${defaultRuntime}`;
  if (name === "containerd") {
    return {
      id,
      status: "limited",
      finding: said,
      effect:
        "AtomFS does not follow containerd: its images cannot be imported from its store, its containers get no fix",
    };
  }
  if (storage !== "overlay") {
    return {
      id,
      status: "limited",
      finding: said,
      effect: "its images cannot be imported from its storage, and its containers get no fix",
      advice: 'storage.conf: driver = "overlay"',
    };
  }
  if (defaultRuntime === RUNTIME) return works(id, said);
  if (runtimes.includes(RUNTIME)) {
    return works(id, `${said}; crio-lxc is known and can be asked for`);
  }
  return {
    id,
    status: "limited",
    finding: `${said}; crio-lxc is not known`,
    effect: "containers get fixes only through the image store (`atomfs deploy`), not at create",
    advice: `atomfs install --${name}`,
  };
}

/** `podman info --format json`, and whether Podman takes crio-lxc for a runtime. */
export function readPodmanInfo(text: string, knowsCrioLxc: boolean): EngineFacts {
  const { host, store, version } = asRecord(JSON.parse(text));
  const { name } = asRecord(asRecord(host)["ociRuntime"]);
  const defaultRuntime = String(name ?? "unknown");
  return {
    name: "podman",
    version: `Podman ${String(asRecord(version)["Version"] ?? "?")}`,
    storage: String(asRecord(store)["graphDriverName"] ?? "unknown"),
    defaultRuntime,
    runtimes: [defaultRuntime, ...(knowsCrioLxc ? [RUNTIME] : [])],
  };
}

/** `crio config`: the configuration in force, as TOML; what is the default is a comment in it. */
export function readCrioConfig(text: string, version: string): EngineFacts {
  const crio = asRecord(asRecord(Bun.TOML.parse(text))["crio"]);
  const runtime = asRecord(crio["runtime"]);
  return {
    name: "crio",
    version,
    storage: String(crio["storage_driver"] ?? "") || "overlay",
    defaultRuntime:
      String(runtime["default_runtime"] ?? "") ||
      (/^# default_runtime = "(.+)"$/m.exec(text)?.[1] ?? "unknown"),
    runtimes: Object.keys(asRecord(runtime["runtimes"])),
  };
}

/** `containerd config dump`: version 2 and 3 keep the CRI plugin's runtimes in different places. */
export function readContainerdConfig(text: string, version: string): EngineFacts {
  const plugins = asRecord(asRecord(Bun.TOML.parse(text))["plugins"]);
  const cri = Object.entries(plugins).filter(([name]) =>
    /^io\.containerd\.(grpc\.v1\.cri|cri\.v1\.)/.test(name),
  );
  const tables = cri.flatMap(([, plugin]) => [asRecord(plugin), asRecord(asRecord(plugin)["containerd"])]);
  const find = (key: string): unknown => tables.find((table) => table[key] !== undefined)?.[key];
  return {
    name: "containerd",
    version,
    storage: String(find("snapshotter") ?? "unknown"),
    defaultRuntime: String(find("default_runtime_name") ?? "unknown"),
    runtimes: Object.keys(asRecord(find("runtimes"))),
  };
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

/** All engines that AtomFS knows of, each asked for its own configuration. */
export async function checkEngines(signal: AbortSignal): Promise<Check[]> {
  const ask = async (...argv: [string, ...string[]]): Promise<string> =>
    (await run(argv, { signal })).stdout.toString();
  const firstLine = (text: string): string => text.split("\n")[0]?.trim() ?? "";
  const engines = {
    podman: async () => {
      const knows = await run(
        ["podman", "--runtime", RUNTIME, "info", "--format", "{{.Host.OCIRuntime.Name}}"],
        {
          signal,
          okCodes: [0, 1, 125, 126, 127],
        },
      );
      return readPodmanInfo(
        await ask("podman", "info", "--format", "json"),
        knows.code === 0 && knows.stdout.toString().trim() === RUNTIME,
      );
    },
    crio: async () => readCrioConfig(await ask("crio", "config"), firstLine(await ask("crio", "--version"))),
    containerd: async () =>
      readContainerdConfig(
        await ask("containerd", "config", "dump"),
        firstLine(await ask("containerd", "--version")),
      ),
  };
  const checks: Check[] = [];
  for (const [name, facts] of Object.entries(engines)) {
    if (Bun.which(name) === null) checks.push(engineCheck(name, "absent"));
    else checks.push(engineCheck(name, await facts().catch(problemOf)));
  }
  return checks;
}

function problemOf(error: unknown): { readonly problem: string } {
  if (error instanceof AtomfsError && error.kind === "interrupted") throw error;
  return { problem: error instanceof Error ? error.message.slice(0, 500) : String(error) };
}
