import manifest from "../../package.json" with { type: "json" };

export const VERSION: string = manifest.version;
/** The newest runtime specification whose fields are known here. */
export const SPEC_VERSION = "1.3.0";
/** The oldest config.json that is taken. */
export const OLDEST_SPEC_VERSION = "1.0.0";
