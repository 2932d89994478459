import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromText } from "../../src/core/bytestring.ts";
import { download } from "../../src/fixing/apt-transport.ts";

const CHUNK = new Uint8Array(64 * 1024);
const paths: string[] = [];

/** Answers that a hostile or broken mirror could give. */
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request) {
    const pathname = decodeURIComponent(new URL(request.url).pathname);
    paths.push(pathname);
    if (pathname.endsWith("/sound+~1")) return new Response("sound");
    if (pathname.endsWith("/long")) return new Response(new Uint8Array(300_000));
    if (pathname.endsWith("/endless")) {
      return new Response(
        new ReadableStream({
          pull(controller) {
            controller.enqueue(CHUNK);
          },
        }),
      );
    }
    return new Response("no", { status: 404 });
  },
});
/** Its own, because other programs on this machine download, too. */
const temporary = mkdtempSync(join(tmpdir(), "atomfs-apt-transport-"));
const before = { no_proxy: process.env["no_proxy"], TMPDIR: process.env["TMPDIR"] };
Object.assign(process.env, { no_proxy: "127.0.0.1", TMPDIR: temporary });
afterAll(async () => {
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  rmSync(temporary, { recursive: true });
  await server.stop(true);
});

const BASE = fromText(`http://127.0.0.1:${server.port}/debian/`);

function leftovers(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith("atomfs-download-"));
}

test("a file comes through apt's http method, its name encoded where needed", async () => {
  const bytes = await download(BASE, fromText("pool/sound+~1"), { maxBytes: 5 });
  expect(bytes.toString()).toBe("sound");
  expect(paths).toContain("/debian/pool/sound+~1");
});

test.each(["long", "endless"])("an answer that is too long (%s) is untrusted", async (name) => {
  await expect(download(BASE, fromText(name), { maxBytes: 1000 })).rejects.toMatchObject({
    kind: "untrusted",
    message: expect.stringContaining("more than 1000 bytes"),
  });
});

test("a file that is not there, a host that is not there, an unknown scheme", async () => {
  const unsupported = { kind: "unsupported" };
  await expect(download(BASE, fromText("none"), { maxBytes: 9 })).rejects.toMatchObject(unsupported);
  const closed = fromText("http://user:secret@127.0.0.1:1/");
  const failure = await download(closed, fromText("x"), { maxBytes: 9 }).catch((error) => error);
  expect(failure).toMatchObject(unsupported);
  expect(failure.message).not.toContain("secret");
  await expect(download(fromText("ftp://h/"), fromText("x"), { maxBytes: 9 })).rejects.toMatchObject(
    unsupported,
  );
});

test("an abort ends the download", async () => {
  const abort = new AbortController();
  const pending = download(BASE, fromText("endless"), { maxBytes: 2 ** 40, signal: abort.signal });
  setTimeout(() => abort.abort(), 200);
  await expect(pending).rejects.toMatchObject({ kind: "interrupted" });
});

test("no download leaves anything in the temp directory", () => {
  expect(leftovers()).toEqual([]);
});
