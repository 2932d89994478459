import { type Case, script } from "./cases.ts";

const STAGES = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;
type Stage = (typeof STAGES)[number];

/** A hook of the host's directory of hooks that writes down when it ran, in which namespaces, with which state. */
function writeHook(stage: Stage, body: string, timeout = ""): readonly string[] {
  const path = stage === "startContainer" ? "/bin/sh" : "DIR/hook-STAGE";
  const args =
    stage === "startContainer"
      ? `"args":["sh","-c","echo startContainer >> /mnt/order; cat >> /mnt/state-STAGE; env > /mnt/env-STAGE"],`
      : `"args":["hook","word"],`;
  const json = `{"version":"1.0.0","hook":{"path":"${path}",${args}"env":["OWN=1","PATH=/bin:/usr/bin"]${timeout}},"when":{"always":true},"stages":["STAGE"]}`;
  const text = `mkdir -p DIR/hooks; printf '#!/bin/sh\\n${body}\\n' > DIR/hook-STAGE; chmod 755 DIR/hook-STAGE; printf '%s' '${json}' > DIR/hooks/STAGE.json`;
  return ["sh", text.replaceAll("STAGE", stage)];
}

const NOTE =
  "echo STAGE $0 $1 >> DIR/order; cat > DIR/state-STAGE; env | sort > DIR/env-STAGE; readlink /proc/self/ns/mnt /proc/self/ns/pid /proc/self/ns/net /proc/self/ns/uts /proc/self/ns/ipc > DIR/ns-STAGE; pwd > DIR/pwd-STAGE";
const RUN = [
  "run",
  "--name",
  "NAME",
  "--network",
  "none",
  "--hooks-dir",
  "DIR/hooks",
  "-v",
  "DIR:/mnt",
  "IMAGE",
  "sh",
  "-c",
  "echo program >> /mnt/order; echo ran",
];
const LOOK = [
  "sh",
  "sort DIR/order; for s in prestart createRuntime createContainer startContainer poststart poststop; do echo \"$s:\"; sed 's/\"pid\":[0-9][0-9]*/\"pid\":N/' DIR/state-$s 2>/dev/null | tr ',' '\\n' | grep -e status -e ociVersion -e bundle -e '\"pid\"' -e '\"id\"'; cat DIR/env-$s DIR/ns-$s DIR/pwd-$s 2>/dev/null; done",
];

const AT_START: Pick<Case, "otherwise"> = {
  otherwise: {
    why: "runc's start does not wait for these hooks: the container's log has the error, and its exit code is 1",
    says: /error running hook #0/,
    ours: ["error running startContainer hook #0: /bin/sh: exit status 3", "exit code 126"],
  },
};

const AFTER_START: Pick<Case, "otherwise"> = {
  otherwise: {
    why: "runc 1.1 runs these hooks at create; runtime-spec wants them after the start",
    says: /error \(other\)/,
    ours: ["error running poststart hook #0", "exit code 126"],
  },
};

function failing(stage: Stage): Case {
  return script(
    `a ${stage} hook that fails`,
    [
      writeHook(stage, "echo said by the hook >&2; exit 3"),
      ...(stage === "startContainer"
        ? [["sh", `sed -i 's/echo startContainer.*env-startContainer/exit 3/' DIR/hooks/startContainer.json`]]
        : []),
      RUN,
      ["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "NAME"],
      ["sh", "grep -v program DIR/order"],
    ],
    [/exit code/],
    stage === "startContainer" ? AT_START : stage === "poststart" ? AFTER_START : {},
  );
}

export const HOOKS: readonly Case[] = [
  script(
    "hooks of every stage but poststart, which runc 1.1 runs at create",
    [
      ...STAGES.filter((stage) => stage !== "poststart").map((stage) => writeHook(stage, NOTE)),
      RUN,
      "rm -f -t 0 NAME",
      LOOK,
    ],
    [/^prestart DIR/m, /^createRuntime DIR/m, /^createContainer DIR/m, /^startContainer$/m, /^poststop DIR/m],
  ),
  ...STAGES.map(failing),
  script("a hook that does not end", [writeHook("prestart", "sleep 5", ',"timeout":1'), RUN], [/exit code/]),
  script(
    "a hook that does not exist",
    [writeHook("createRuntime", "true"), ["sh", "rm DIR/hook-createRuntime"], RUN],
    [/exit code/],
  ),
];
