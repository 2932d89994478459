import { readFileSync } from "node:fs";
import { join } from "node:path";

/*
 * An OCI layout served as a registry that can only be pulled from (distribution-spec 1.1, "Pulling"): names are what the
 * layout's index calls its images, "repository:tag".
 */

type Descriptor = {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
};

const REF_NAME = "org.opencontainers.image.ref.name";
const REQUEST = /^\/v2\/(?<repository>.+)\/(?<kind>manifests|blobs)\/(?<reference>[^/]+)$/;

/** Serves until it is disposed of, and keeps the program alive so long. */
export function serveLayout(layout: string, hostname: string, port: number): Disposable {
  const { manifests } = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as {
    readonly manifests: readonly Descriptor[];
  };
  return Bun.serve({
    hostname,
    port,
    fetch: (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/v2/") return new Response("{}");
      const { repository = "", kind = "", reference = "" } = REQUEST.exec(pathname)?.groups ?? {};
      if (kind === "blobs") return blob(layout, reference, "application/octet-stream", request.method);
      const found = manifests.find(
        ({ digest, annotations }) =>
          digest === reference || annotations?.[REF_NAME] === `${repository}:${reference}`,
      );
      return found === undefined ? absent() : blob(layout, found.digest, found.mediaType, request.method);
    },
  });
}

async function blob(layout: string, digest: string, type: string, method: string): Promise<Response> {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
  const file = Bun.file(join(layout, "blobs/sha256", hex ?? "none"));
  if (!(await file.exists())) return absent();
  const headers = {
    "content-type": type,
    "docker-content-digest": digest,
    "content-length": String(file.size),
  };
  return new Response(method === "HEAD" ? null : file, { headers });
}

function absent(): Response {
  return Response.json({ errors: [{ code: "NAME_UNKNOWN", message: "not here" }] }, { status: 404 });
}
