import { compareOptions } from "./podman-options/compare-options.ts";
import { MOUNTS } from "./podman-options/mounts.ts";

compareOptions("mounts", MOUNTS);
