import { compareOptions } from "./podman-options/compare-options.ts";
import { NAMESPACES } from "./podman-options/namespaces.ts";

compareOptions("namespaces", NAMESPACES);
