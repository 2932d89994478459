import { compareOptions } from "./podman-options/compare-options.ts";
import { PROCESS } from "./podman-options/process.ts";

compareOptions("process", PROCESS);
