import { compareOptions } from "./podman-options/compare-options.ts";
import { SECURITY } from "./podman-options/security.ts";

compareOptions("security", SECURITY);
