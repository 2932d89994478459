import { join } from "node:path";

/*
 * What `atomfs install` puts where: new files only, in the directories that engines and systemd read for drop-ins.
 */

export type SetupOptions = {
  readonly podman: boolean;
  readonly crio: boolean;
  /** crio-lxc becomes the engines' default runtime; else they only know it by its name. */
  readonly isDefault: boolean;
  /** Directory with the executable `atomfs` and the `player`. */
  readonly programs: string;
};

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
const RUNTIME = "/usr/local/bin/crio-lxc";
const UNITS = "/usr/local/lib/systemd/system";

/** In the order in which they are made: what names a file comes after it. Removal goes the other way. */
export function planSetup(options: SetupOptions): SetupFile[] {
  const { podman, crio, isDefault, programs } = options;
  const files: SetupFile[] = [
    { path: `${LIBRARY_DIRECTORY}/player`, kind: "program", source: join(programs, "player") },
    { path: `${LIBRARY_DIRECTORY}/atomfs`, kind: "program", source: join(programs, "atomfs") },
    { path: "/usr/local/bin/atomfs", kind: "link", target: "../lib/atomfs/atomfs" },
    { path: RUNTIME, kind: "link", target: "../lib/atomfs/atomfs" },
    { path: SETTINGS_PATH, kind: "settings", text: SETTINGS },
    { path: `${UNITS}/atomfs-gc.service`, kind: "text", text: GC_SERVICE },
    { path: `${UNITS}/atomfs-gc.timer`, kind: "text", text: GC_TIMER },
    // What `systemctl enable` would make.
    {
      path: "/etc/systemd/system/timers.target.wants/atomfs-gc.timer",
      kind: "link",
      target: `${UNITS}/atomfs-gc.timer`,
    },
  ];
  if (podman)
    files.push({
      path: "/etc/containers/containers.conf.d/50-atomfs.conf",
      kind: "text",
      text: podmanDropIn(isDefault),
    });
  if (crio)
    files.push({ path: "/etc/crio/crio.conf.d/50-atomfs.conf", kind: "text", text: crioDropIn(isDefault) });
  return files;
}

const NOTE = "# Made by `atomfs install`, removed by `atomfs uninstall` unless it was changed.\n";

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

const GC_SERVICE = `${NOTE}[Unit]
Description=Remove what no image or container needs from AtomFS's store
ConditionPathExists=/var/lib/atomfs/meta.json

[Service]
Type=oneshot
ExecStart=/usr/local/bin/atomfs gc
Nice=10
IOSchedulingClass=idle
`;

const GC_TIMER = `${NOTE}[Unit]
Description=Daily clean-up of AtomFS's store

[Timer]
OnCalendar=daily
RandomizedDelaySec=1h
Persistent=true

[Install]
WantedBy=timers.target
`;

/** What an administrator does next; installing starts and restarts nothing. */
export function nextSteps({ podman, crio, isDefault }: SetupOptions): string[] {
  return [
    "systemctl daemon-reload && systemctl start atomfs-gc.timer",
    ...(crio ? ["systemctl restart crio"] : []),
    ...(podman ? ["atomfs import --all"] : []),
    ...(podman && !isDefault ? ["podman run --runtime crio-lxc ..."] : []),
    ...(crio && !isDefault ? ["a RuntimeClass with the handler crio-lxc"] : []),
  ];
}
