import { existsSync } from "node:fs";
import { join } from "node:path";
import { CriEngine } from "../../engines/cri/containers.ts";
import { type Check, works } from "./check.ts";

/** Where other programs are that AtomFS, or an engine with crio-lxc, calls; undefined if nowhere. */
export type ProgramFacts = {
  readonly gpgv: string | undefined;
  readonly aptHelper: string | undefined;
  readonly kubectl: string | undefined;
  readonly crictl: string | undefined;
  /** Why crictl does not get an answer, if it was asked. */
  readonly crictlProblem: string | undefined;
  /** CRI-O is installed, or its socket or crictl's configuration says that there is an engine to ask. */
  readonly isNode: boolean;
  readonly conmon: {
    /** As Podman looks for it; "no engine" if there is no Podman. */
    readonly podman: string | undefined | "no engine";
    /** As CRI-O looks for it for a runtime that names none, as `atomfs install --crio` does; likewise. */
    readonly crio: string | undefined | "no engine";
    /** Where CRI-O's own packages keep one for their runtimes. */
    readonly crioOwn: string | undefined;
  };
};

export function programChecks(facts: ProgramFacts): Check[] {
  return [
    aptCheck("gpgv", facts.gpgv, "gpgv"),
    aptCheck("apt-helper", facts.aptHelper, "apt"),
    crictlCheck(facts),
    kubectlCheck(facts),
    conmonCheck(facts.conmon),
  ];
}

/** What `atomfs fix` calls to get packages from an apt archive. */
function aptCheck(name: string, path: string | undefined, debianPackage: string): Check {
  const id = `programs.${name}`;
  if (path !== undefined) return works(id, path);
  return {
    id,
    status: "fails",
    finding: `${name} is not there`,
    effect: "`atomfs fix` gets no packages from apt archives",
    advice: `apt-get install ${debianPackage}`,
  };
}

function crictlCheck({ crictl, crictlProblem, isNode }: ProgramFacts): Check {
  const id = "programs.crictl";
  if (!isNode)
    return crictl === undefined
      ? { id, status: "absent", finding: "crictl is not there, and no engine of Kubernetes to ask with it" }
      : works(id, crictl);
  if (crictl !== undefined && crictlProblem === undefined) return works(id, crictl);
  return {
    id,
    status: "fails",
    finding: crictl === undefined ? "crictl is not there" : (crictlProblem ?? ""),
    effect:
      "AtomFS does not see the pods' containers: `containers`, `fix verify` and `report` fail or miss them, `gc` keeps CRI-O's images for ever, `import --all` may not find them",
    advice:
      crictl === undefined
        ? "put cri-tools' crictl of the version of Kubernetes into PATH"
        : "make `crictl ps` work: is CRI-O running, is /etc/crictl.yaml right?",
  };
}

function kubectlCheck({ kubectl, isNode }: ProgramFacts): Check {
  const id = "programs.kubectl";
  if (kubectl !== undefined) return works(id, kubectl);
  if (!isNode)
    return {
      id,
      status: "absent",
      finding: "kubectl is not there, which only `--cluster` and `report` need",
    };
  return {
    id,
    status: "limited",
    finding: "kubectl is not there",
    effect:
      "`atomfs report` tells Kubernetes nothing of this node (the DaemonSet has a kubectl of its own), and `--cluster` does not work here",
    advice: "put kubectl of the version of Kubernetes into PATH",
  };
}

function conmonCheck({ podman, crio, crioOwn }: ProgramFacts["conmon"]): Check {
  const id = "programs.conmon";
  if (podman === "no engine" && crio === "no engine")
    return { id, status: "absent", finding: "not looked for: there is neither Podman nor CRI-O" };
  if (crio === undefined) {
    const elsewhere = crioOwn === undefined ? "" : `; ${crioOwn} is only for the runtimes that name it`;
    return {
      id,
      status: "fails",
      finding: `conmon is not in CRI-O's PATH${elsewhere}`,
      effect: "CRI-O starts no container with crio-lxc",
      advice: crioOwn === undefined ? "apt-get install conmon" : `ln -s ${crioOwn} /usr/local/bin/conmon`,
    };
  }
  if (podman === undefined) {
    return {
      id,
      status: "fails",
      finding: "conmon is not where Podman looks for it",
      effect: "Podman starts no container",
      advice: "apt-get install conmon",
    };
  }
  return works(id, [...new Set([podman, crio])].filter((path) => path !== "no engine").join(", "));
}

/** systemd's PATH for services, which CRI-O has. */
const SERVICE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Of containers.conf(5), `conmon_path`, before PATH. */
const PODMAN_CONMON = ["/usr/libexec/podman", "/usr/local/libexec/podman", "/usr/local/lib/podman"];
const CRIO_OWN_CONMON = ["/usr/libexec/crio/conmon", "/usr/local/libexec/crio/conmon"];

export async function findPrograms(): Promise<ProgramFacts> {
  const which = (name: string, path?: string): string | undefined =>
    Bun.which(name, path === undefined ? {} : { PATH: path }) ?? undefined;
  const first = (paths: readonly string[]): string | undefined => paths.find((path) => existsSync(path));
  const crictl = which("crictl");
  const hasCrio = which("crio") !== undefined;
  const isAsked = crictl !== undefined && CriEngine.isConfigured();
  const conmon = (): string | undefined =>
    first(PODMAN_CONMON.map((directory) => join(directory, "conmon"))) ??
    which("conmon", `${SERVICE_PATH}:${process.env["PATH"] ?? ""}`);
  return {
    gpgv: which("gpgv"),
    aptHelper: first(["/usr/lib/apt/apt-helper"]),
    kubectl: which("kubectl"),
    crictl,
    crictlProblem: isAsked ? await new CriEngine().describeUnavailable() : undefined,
    isNode: hasCrio || CriEngine.isConfigured(),
    conmon: {
      podman: which("podman") === undefined ? "no engine" : conmon(),
      crio: hasCrio ? which("conmon", SERVICE_PATH) : "no engine",
      crioOwn: first(CRIO_OWN_CONMON),
    },
  };
}
