/**
 * What a case's commands said under one runtime, with everything replaced that differs between two runs of the same runtime: ids,
 * names, numbers of mounts and namespaces, process ids. What is left is the runtime's doing.
 */

export type Answer = {
  readonly argv: readonly string[];
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
};

/** Differences from runc that are in every container, on purpose. */
export const EVERYWHERE: readonly { readonly why: string; readonly from: RegExp; readonly to: string }[] = [
  {
    why: "runc makes sysfs's superblock read-only, too; the mount is in both",
    from: /^(.* - sysfs sysfs) r[ow]$/gm,
    to: "$1",
  },
  {
    why: "Podman asks for a read-only /sys/fs/cgroup; runc leaves the tmpfs around the hierarchies writable",
    from: /^(\/ \/sys\/fs\/cgroup) r[ow](,nosuid,nodev,noexec,relatime (?:.* )?- tmpfs tmpfs rw,mode=755.*)$/gm,
    to: "$1 r?$2",
  },
  {
    why: "the source of a named hierarchy, which is a word for people",
    from: /^(.*) - cgroup systemd rw,name=systemd$/gm,
    to: "$1 - cgroup cgroup rw,name=systemd",
  },
  { why: "the same, seen with test -w", from: /^\/sys\/fs\/cgroup\n/gm, to: "" },
  {
    why: "a mask for directories is one tmpfs of no size without devices and programs; runc's are several, of any size",
    from: /^(\/ \S+) ro(?:,nosuid,nodev,noexec)?,relatime ([^\n]*)- tmpfs (?:tmpfs ro|none rw,size=4k,nr_inodes=1,mode=755)(?:,inode64)?(?:,uid=\d+,gid=\d+)?$/gm,
    to: "$1 mask $2",
  },
  {
    why: "the mode of a masked directory: runc's tmpfs is 1777, which says nothing as it is read-only",
    from: /^(\/\S+ directory) (?:1777|755) 0 0 0:0 0$/gm,
    to: "$1 masked",
  },
  {
    why: "in a user namespace liblxc makes the IPC namespace as the host's root, whom nobody inside is; all may write there",
    from: /^(\/dev\/mqueue directory 1777) (?:0|65534) 65534 /gm,
    to: "$1 0 65534 ",
  },
  {
    why: "who is told that a container of a pod has ended already depends on which of two signals comes first",
    from: /^(?:stderr: )?(?:time="TIME" level=error msg=")?container not running.*\n/gm,
    to: "",
  },
  {
    why: "runc says which of its steps failed",
    from: /RUNTIME: (?:RUNTIME create failed: |exec failed: )?(?:unable to start container process: )?/g,
    to: "RUNTIME: ",
  },
];

/**
 * What engines read of an error that is not about the program to execute: Podman looks for these words (runtime.md 1.6), the
 * rest is for people and each runtime's own.
 */
function classOfError(_: string, text: string): string {
  if (/^exec: /.test(text)) return `RUNTIME: ${text.replace(/^(exec: "([^"]*)": )stat \2: /, "$1")}`;
  const kind = /permission denied|operation not permitted/i.test(text)
    ? "no permission"
    : /executable file not found in|no such file or directory|open executable/i.test(text)
      ? "not found"
      : "other";
  return `RUNTIME: error (${kind})`;
}

const RUNTIME_NAMES = /\b(?:runc|crio-lxc)\b/g;

export type Names = {
  /** The case's own directory and container name of this runtime, longest first. */
  readonly replacements: readonly (readonly [text: string, by: string])[];
  /** Inode numbers of the host's namespaces. */
  readonly hostNamespaces: ReadonlySet<string>;
};

export function transcript(answers: readonly Answer[], names: Names): string {
  const text = answers
    .map(({ argv, code, stdout, stderr }) => {
      const said = stderr.trim() === "" ? "" : `stderr: ${stderr.trim()}\n`;
      return `$ podman ${argv.join(" ")}\n${sortMounts(stdout)}\n${said}exit code ${code}\n`;
    })
    .join("");
  return unify(text, names);
}

function unify(text: string, { replacements, hostNamespaces }: Names): string {
  let result = text;
  for (const [from, by] of replacements) result = result.replaceAll(from, by);
  result = result
    .replace(/\r/g, "")
    .replace(/`\S*\/(runc|crio-lxc) /g, "`$1 ")
    .replace(RUNTIME_NAMES, "RUNTIME")
    .replace(/\b[0-9a-f]{64}\b/g, "ID")
    .replace(/\b[0-9a-f]{32}\b/g, "UUID")
    .replace(/\b[0-9a-f]{12}\b/g, "SHORTID")
    .replace(/(catatonit):\d+/g, "$1:PID")
    .replace(/\/overlay\/\d+\//g, "/overlay/NUMBER/")
    .replace(/\/overlay\/l\/[A-Z0-9]{26}/g, "/overlay/l/LINK")
    .replace(/\b(pipe|socket):\[\d+\]/g, "$1")
    .replace(/time="[^"]*"/g, 'time="TIME"')
    .replace(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?: ?[+-]\d\d:?\d\d| UTC|Z)*/g, "TIME");
  result = numberNamespaces(result, hostNamespaces);
  for (const { from, to } of EVERYWHERE) result = result.replace(from, to);
  result = result.replace(/RUNTIME: (\S.*)$/gm, classOfError);
  return result;
}

/** The first namespace that is named is 1, and so on: the same number is the same namespace. */
function numberNamespaces(text: string, host: ReadonlySet<string>): string {
  const numbers = new Map<string, number>();
  return text.replace(
    /\b(cgroup|ipc|mnt|net|pid|user|uts|time):\[(\d+)\]/g,
    (_, type: string, inode: string) => {
      if (host.has(inode)) return `${type} of the host`;
      const number = numbers.get(inode) ?? numbers.size + 1;
      numbers.set(inode, number);
      return `${type} ${number}`;
    },
  );
}

const MOUNTINFO = /^(\d+) (\d+) \d+:\d+ (\S+ (\S+)) (.*)$/;

type Mount = { readonly id: string; readonly parent: string; readonly point: string; readonly text: string };

/**
 * Lines of mountinfo without ids, by mount point, what is covered before what covers it: in which order independent mounts are made
 * is nobody's business, and from Linux 6.8 on the file's order is that of their making.
 */
function sortMounts(text: string): string {
  const lines = text.split("\n");
  const mounts: Mount[] = [];
  const out: string[] = [];
  const flush = (): void => {
    out.push(...sorted(mounts));
    mounts.length = 0;
  };
  for (const line of lines) {
    const match = MOUNTINFO.exec(line.replace(/\r$/, ""));
    if (match === null) {
      flush();
      out.push(line);
    } else {
      const [, id = "", parent = "", places = "", point = "", rest = ""] = match;
      const shown = `${places} ${rest.replace(/\b(shared|master|propagate_from):\d+/g, "$1")}`;
      mounts.push({ id, parent, point, text: shown });
    }
  }
  flush();
  return out.join("\n");
}

function sorted(mounts: readonly Mount[]): string[] {
  const parents = new Map(mounts.map(({ id, parent }) => [id, parent]));
  const depth = (id: string | undefined): number => (id === undefined ? 0 : 1 + depth(parents.get(id)));
  return mounts
    .map(({ id, point, text }) => ({ point, text, depth: depth(id) }))
    .sort((a, b) => (a.point < b.point ? -1 : a.point > b.point ? 1 : a.depth - b.depth))
    .map(({ text }) => text);
}
