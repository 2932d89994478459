import { AtomfsError } from "../../core/errors.ts";

/** `oci:DIR[:TAG]`: an image in an OCI layout directory. */
export type LayoutReference = { readonly directory: string; readonly tag: string | undefined };

const COMPONENT = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const HOST = "(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\\[[0-9a-fA-F:]+\\])(?::[0-9]{1,5})?";
const NAME = new RegExp(
  `^(?:(${HOST})/)?(${COMPONENT}(?:/${COMPONENT})*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$`,
);
const PLAIN_COMPONENT = new RegExp(`^${COMPONENT}$`);
const MAX_NAME = 512;

/** As skopeo and umoci read it: the directory ends at the first colon. @throws AtomfsError "usage" */
export function parseLayoutReference(text: string): LayoutReference {
  const rest = text.startsWith("oci:") ? text.slice("oci:".length) : "";
  const colon = rest.indexOf(":");
  const directory = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  if (directory === "" || tag === "" || rest.includes("\0"))
    throw new AtomfsError("usage", `Cannot use image reference ${JSON.stringify(text)}: want oci:DIR[:TAG]`);
  return { directory, tag };
}

/**
 * An image name in the full form that Podman prints: "web:1" is "localhost/web:1", a missing tag is "latest" unless
 * there is a digest. @throws AtomfsError "usage"
 */
export function normalizeImageName(text: string): string {
  const match = text.length > MAX_NAME ? null : NAME.exec(text);
  if (match === null)
    throw new AtomfsError("usage", `Cannot use image name ${JSON.stringify(text.slice(0, MAX_NAME))}`);
  const [, host, path = "", tag, digest] = match;
  const isHost = host !== undefined && (/[.:]/.test(host) || host === "localhost");
  if (host !== undefined && !isHost && !PLAIN_COMPONENT.test(host))
    throw new AtomfsError("usage", `Cannot use image name ${JSON.stringify(text)}`);
  const repository = isHost ? `${host}/${path}` : `localhost/${host === undefined ? "" : `${host}/`}${path}`;
  const suffix =
    digest === undefined ? `:${tag ?? "latest"}` : `${tag === undefined ? "" : `:${tag}`}@${digest}`;
  return `${repository}${suffix}`;
}
