import { join } from "node:path";
import { CONDITION_TYPE } from "../kubernetes/condition.ts";
import { REPORT_ANNOTATION } from "../kubernetes/report.ts";
import { NOTE, TIMERS, type Timer, UNITS } from "./units.ts";

/*
 * What `atomfs install` puts where: new files only, in the directories that engines and systemd read for drop-ins.
 */

export type SetupOptions = {
  readonly podman: boolean;
  readonly crio: boolean;
  /** crio-lxc becomes the engines' default runtime; else they only know it by its name. */
  readonly isDefault: boolean;
  /** With `crio`: the machine reports to Kubernetes by a timer of its own; else somebody else does it for it. */
  readonly reports: boolean;
  /** Directory with PROGRAMS. */
  readonly programs: string;
};

/** What is compiled. */
export const PROGRAMS: readonly string[] = ["atomfs", "crio-lxc", "player"];

export type SetupFile = { readonly path: string } & (
  | { readonly kind: "text"; readonly text: string }
  /** Belongs to the operator: made if it is absent, otherwise left alone. */
  | { readonly kind: "settings"; readonly text: string }
  | { readonly kind: "program"; readonly source: string }
  | { readonly kind: "link"; readonly target: string }
);

const LIBRARY_DIRECTORY = "/usr/local/lib/atomfs";
export const SETUP_DIRECTORY: string = "/etc/atomfs";
export const SETTINGS_PATH: string = `${SETUP_DIRECTORY}/atomfs.toml`;
const CRIO_DROP_IN = "/etc/crio/crio.conf.d/50-atomfs.conf";
const RUNTIME = "/usr/local/bin/crio-lxc";

/** In the order in which they are made: what names a file comes after it. Removal goes the other way. */
export function planSetup(options: SetupOptions): SetupFile[] {
  const { podman, crio, isDefault, programs } = options;
  const files: SetupFile[] = [
    { path: `${LIBRARY_DIRECTORY}/player`, kind: "program", source: join(programs, "player") },
    { path: `${LIBRARY_DIRECTORY}/atomfs`, kind: "program", source: join(programs, "atomfs") },
    // Starts the atomfs beside it.
    { path: `${LIBRARY_DIRECTORY}/crio-lxc`, kind: "program", source: join(programs, "crio-lxc") },
    { path: "/usr/local/bin/atomfs", kind: "link", target: "../lib/atomfs/atomfs" },
    { path: RUNTIME, kind: "link", target: "../lib/atomfs/crio-lxc" },
    { path: SETTINGS_PATH, kind: "settings", text: SETTINGS },
    ...timersOf(options).flatMap(timerFiles),
  ];
  if (podman)
    files.push({
      path: "/etc/containers/containers.conf.d/50-atomfs.conf",
      kind: "text",
      text: podmanDropIn(isDefault),
    });
  if (crio) files.push({ path: CRIO_DROP_IN, kind: "text", text: crioDropIn(isDefault) });
  return files;
}

/** Only a node of Kubernetes has somebody to report to. */
function timersOf({ crio, reports }: Pick<SetupOptions, "crio" | "reports">): readonly Timer[] {
  return TIMERS.filter(({ needsKubernetes }) => (crio && reports) || !needsKubernetes);
}

function timersThatMustGo({ crio, reports }: Pick<SetupOptions, "crio" | "reports">): readonly Timer[] {
  return TIMERS.filter(({ needsKubernetes }) => crio && !reports && needsKubernetes);
}

/** What an earlier install may have made and this one must not leave, in the order of its removal. */
export function planRetirement(options: SetupOptions): string[] {
  return timersThatMustGo(options)
    .flatMap(timerFiles)
    .map(({ path }) => path)
    .reverse();
}

function timerFiles({ name, service, timer }: Timer): SetupFile[] {
  return [
    { path: `${UNITS}/${name}.service`, kind: "text", text: service },
    { path: `${UNITS}/${name}.timer`, kind: "text", text: timer },
    // What `systemctl enable` would make.
    {
      path: `/etc/systemd/system/timers.target.wants/${name}.timer`,
      kind: "link",
      target: `${UNITS}/${name}.timer`,
    },
  ];
}

/** containers.conf(5): Podman and buildah. */
function podmanDropIn(isDefault: boolean): string {
  const chosen = isDefault ? '[engine]\nruntime = "crio-lxc"\n\n' : "";
  return `${NOTE}${chosen}[engine.runtimes]\ncrio-lxc = ["${RUNTIME}"]\n`;
}

/** crio.conf(5). conmon is found in PATH, as for CRI-O's own runtimes. */
function crioDropIn(isDefault: boolean): string {
  const chosen = isDefault ? '[crio.runtime]\ndefault_runtime = "crio-lxc"\n\n' : "";
  return (
    `${NOTE}${chosen}[crio.runtime.runtimes.crio-lxc]\nruntime_path = "${RUNTIME}"\nruntime_type = "oci"\n` +
    'runtime_root = "/run/crio-lxc"\n' +
    'monitor_env = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]\n'
  );
}

const SETTINGS = `# What crio-lxc does at a container's start. The values shown are the defaults.
[at-create]
# An image that AtomFS does not know: "run" on the engine's root, "import" it first, or "refuse".
# unknown = "run"
# An import at a container's start that takes longer has failed.
# import-seconds = 60
# A fix is there and the engine's root lacks it: "replace", "warn" or "refuse".
# outdated = "replace"
# AtomFS itself fails: "run" on the engine's root, without fixes, or "refuse".
# on-error = "run"
`;

/** What an administrator does next; installing starts and restarts nothing. */
export function nextSteps(options: SetupOptions): string[] {
  const { podman, crio, isDefault } = options;
  // A pattern is no error where there is no such unit.
  const stop = timersThatMustGo(options).map(({ name }) => `systemctl stop '${name}.*' && `);
  return [
    `${stop.join("")}systemctl daemon-reload && systemctl start ${unitNames(timersOf(options))}`,
    ...(crio ? ["systemctl restart crio"] : []),
    ...(podman || crio ? ["atomfs import --all"] : []),
    ...(podman && !isDefault ? ["podman run --runtime crio-lxc ..."] : []),
    ...(crio && !isDefault ? ["a RuntimeClass with the handler crio-lxc"] : []),
  ];
}

/** What a report leaves of itself on the Node, whose name is not known here. */
const REPORT_REMOVAL = JSON.stringify({
  metadata: { annotations: { [REPORT_ANNOTATION]: null } },
  status: { conditions: [{ type: CONDITION_TYPE, $patch: "delete" }] },
});

/** The same after removing these files. */
export function nextStepsOfRemoval(paths: readonly string[]): string[] {
  const timers = TIMERS.filter(({ name }) => paths.includes(`${UNITS}/${name}.timer`));
  return [
    ...(timers.length === 0 ? [] : [`systemctl stop ${unitNames(timers)} && systemctl daemon-reload`]),
    ...(paths.includes(CRIO_DROP_IN) ? ["systemctl restart crio"] : []),
    ...(timers.some(({ needsKubernetes }) => needsKubernetes)
      ? [`kubectl patch node NODE --subresource=status --patch '${REPORT_REMOVAL}'`]
      : []),
  ];
}

function unitNames(timers: readonly Timer[]): string {
  return timers.map(({ name }) => `${name}.timer`).join(" ");
}
