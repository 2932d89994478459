/** Serves the directory of a Debian archive on this machine's loopback: bun archive-server.ts DIRECTORY */
import { join, normalize } from "node:path";
import { ARCHIVE_PORT } from "../plan.ts";

const directory = process.argv[2] ?? "/work/archive";

Bun.serve({
  hostname: "127.0.0.1",
  port: ARCHIVE_PORT,
  async fetch(request) {
    const path = normalize(decodeURIComponent(new URL(request.url).pathname));
    const file = Bun.file(join(directory, path));
    return (await file.exists()) ? new Response(file) : new Response("not here", { status: 404 });
  },
});
