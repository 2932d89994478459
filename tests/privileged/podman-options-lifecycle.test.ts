import { compareOptions } from "./podman-options/compare-options.ts";
import { LIFECYCLE } from "./podman-options/lifecycle.ts";

compareOptions("lifecycle", LIFECYCLE);
