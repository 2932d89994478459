import type { Session } from "../session.ts";
import { OLDEST_SPEC_VERSION, SPEC_VERSION } from "../version.ts";

/** `features`. Only what is really done may be in it (runtime-spec, features.md). */
export function printFeatures(session: Session): number {
  session.print(
    JSON.stringify(
      {
        ociVersionMin: OLDEST_SPEC_VERSION,
        ociVersionMax: SPEC_VERSION,
        hooks: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        linux: {
          namespaces: ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"],
          cgroup: { v1: true, v2: true, systemd: false, systemdUser: false, rdma: false },
        },
      },
      undefined,
      2,
    ),
  );
  return 0;
}
