import { compareOptions } from "./podman-options/compare-options.ts";
import { RESOURCES } from "./podman-options/resources.ts";

compareOptions("resources", RESOURCES);
