/** critest's specs in parts, so that a long run can be interrupted between them and resumed. */
export type Group = {
  readonly name: string;
  /** A regular expression for the specs' whole names, as ginkgo takes it. */
  readonly focus: string;
  /** Is it in the slice that every change is checked with? What a runtime decides, and no other test of ours asks. */
  readonly slice: boolean;
};

const group = (name: string, focus: string, slice = false): Group => ({ name, focus, slice });

export const GROUPS: readonly Group[] = [
  group("apparmor", "AppArmor runtime", true),
  group("mounts", "Container Mount (Propagation|Readonly)"),
  group("user-namespaces", "Security Context UserNamespaces", true),
  group("seccomp", "Security Context SeccompProfilePath", true),
  // Whether conmon hears of it in time is a race with systemd, which removes the control group: on a busy machine it loses.
  group("oom", "Container OOM"),
  group("no-new-privileges", "Security Context NoNewPrivs"),
  group("groups", "Security Context SupplementalGroupsPolicy"),
  group("namespaces", "Security Context NamespaceOption"),
  group("streaming", "Streaming runtime"),
  group("volumes-and-log", "Container runtime should support (log|adding volume)"),
  group("sandboxes", "PodSandbox runtime"),
  group("containers", "Container runtime should support basic operations"),
  group("idempotence", "Idempotence"),
  group("images", "Image (Manager|Consistency|Identifier)"),
  group("multiple", "Multiple Containers"),
  group("networking", "Networking runtime"),
  group("info", "Runtime info"),
  group("security-context", "Security Context bucket"),
];

/** How many specs of critest 1.36.0 there are without SELinux, benchmarks left out: fewer would mean that a group is missing. */
export const SPECS = 117;
