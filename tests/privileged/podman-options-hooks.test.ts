import { compareOptions } from "./podman-options/compare-options.ts";
import { HOOKS } from "./podman-options/hooks.ts";

compareOptions("hooks", HOOKS);
