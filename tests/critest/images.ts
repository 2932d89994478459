import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fromText } from "../../src/core/bytestring.ts";
import { encodeTar } from "../../src/formats/tar/encode.ts";
import type { TarFile } from "../../src/formats/tar/member.ts";
import { run } from "../../src/sys/process.ts";
import { copyRootfs, unpackPackages } from "../support/debian-rootfs.ts";
import {
  base,
  directory,
  file,
  libdemo,
  member,
  OLD_VERSION,
  rootLayer,
  type SyntheticImage,
} from "../support/synthetic-images.ts";

/*
 * Stand-ins for the images that critest pulls, each with what its specs look at. All that have a shell also have a package
 * database with an old libdemo1, so that a fix of it reaches their containers.
 */

/** The repository without the registry's host; the tag is the whole reference. */
export type CritestImage = SyntheticImage & { readonly repository: string };

export type ImagePrograms = {
  readonly busybox: string;
  /** What `busybox --list` says. */
  readonly applets: readonly string[];
  readonly pause: string;
  readonly nonewprivs: string;
  /** Paths in the image, and files. */
  readonly nginx: ReadonlyMap<string, string>;
};

const PASSWD = [
  "root:x:0:0:root:/root:/bin/sh",
  "daemon:x:1:1:daemon:/usr/sbin:/bin/false",
  "www-data:x:33:33:www-data:/var/www:/bin/false",
  "nobody:x:65534:65534:nobody:/home:/bin/false",
];
const GROUP = ["root:x:0:", "daemon:x:1:", "www-data:x:33:", "nogroup:x:65534:"];
const DIRECTORIES =
  "bin dev etc home proc root run sys usr usr/bin usr/sbin var var/log var/run var/spool var/spool/mail var/www";

const HTTPD = "usr/local/apache2/htdocs";
const E2E = "e2e-test-images";
const STAGING = "k8s-staging-cri-tools";
const PAUSE_USER = "65535:65535";

/** The images with all their layers in memory: some 10 MB. */
export function critestImages(programs: ImagePrograms): CritestImage[] {
  const packages = rootLayer([base, libdemo(OLD_VERSION)]);
  const shell = [packages, shellLayer(programs, PASSWD, GROUP)];
  const image = (
    repository: string,
    tag: string,
    layers: readonly Uint8Array[],
    config: Readonly<Record<string, unknown>> = {},
  ): CritestImage => ({
    repository,
    tag: `${repository}:${tag}`,
    layers,
    config: {
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      Cmd: ["sh"],
      ...config,
    },
  });
  const marked = (mark: string): Uint8Array[] => [...shell, layer([file(mark, "")])];
  const nginx = (port: number): Uint8Array[] => [...shell, nginxLayer(programs.nginx, port)];
  const serve = { Cmd: ["nginx", "-g", "daemon off;"] };
  const pause = layer([program("pause", programs.pause)]);
  const predefined = shellLayer(
    programs,
    [...PASSWD, "default-user:x:1000:1000:Linux User,,,:/home/default-user:/bin/sh"],
    [...GROUP, "default-user:x:1000:", "group-defined-in-image:x:50000:default-user"],
  );
  return [
    image(`${E2E}/busybox`, "1.29-2", shell),
    image(`${E2E}/nginx`, "1.14-2", nginx(80), serve),
    image(`${E2E}/httpd`, "2.4.39-4", [...shell, layer([file(`${HTTPD}/index.html`, "It works!\n")])], {
      // The spec wants the word in the log.
      Cmd: ["sh", "-c", `echo httpd -D FOREGROUND; exec httpd -f -p 80 -h /${HTTPD}`],
    }),
    image(`${E2E}/nonewprivs`, "1.3", [...shell, layer([program("nnp", programs.nonewprivs, 0o4755)])], {
      Entrypoint: ["/nnp"],
      Cmd: null,
    }),
    ...["3.9", "3.10.1"].map((tag) =>
      // Two tags of one image would go together when the spec deletes one.
      image("pause", tag, [pause], {
        Entrypoint: ["/pause"],
        Cmd: null,
        User: PAUSE_USER,
        Labels: { version: tag },
      }),
    ),
    image(`${STAGING}/hostnet-nginx-amd64`, "latest", nginx(12003), serve),
    ...["1", "2", "3", "latest"].map((n) =>
      image(`${STAGING}/test-image-${n}`, "latest", marked(`test-image-${n}`)),
    ),
    image(DIGEST_REPOSITORY, "latest", marked("test-image-digest")),
    ...["test", "all"].map((tag) => image(`${STAGING}/test-image-tag`, tag, marked(`test-image-tag-${tag}`))),
    ...["1", "2", "3"].map((tag) => image(`${STAGING}/test-image-tags`, tag, marked("test-image-tags"))),
    ...Object.entries({
      uid: "1002",
      username: "www-data",
      "uid-group": "1003:1004",
      "username-group": "www-data:1004",
    }).map(([name, User]) => image(`${STAGING}/test-image-user-${name}`, "latest", shell, { User })),
    image(`${STAGING}/test-image-predefined-group`, "latest", [packages, predefined], { User: "1000" }),
  ];
}

/** Its digest is in critest itself. */
export const DIGEST_REPOSITORY: string = `${STAGING}/test-image-digest`;

function layer(files: readonly TarFile[]): Uint8Array {
  const directories = new Set<string>();
  for (const { path } of files) {
    const names = path.split("/").slice(0, -1);
    for (let depth = 1; depth <= names.length; depth++) directories.add(names.slice(0, depth).join("/"));
  }
  return encodeTar([...[...directories].sort().map(directory), ...files]);
}

function program(path: string, source: string, mode = 0o755): TarFile {
  return member(path, { bytes: readFileSync(source), mode });
}

function shellLayer(
  { busybox, applets }: ImagePrograms,
  passwd: readonly string[],
  group: readonly string[],
): Uint8Array {
  const lines = (all: readonly string[]): string => all.map((line) => `${line}\n`).join("");
  return encodeTar([
    ...DIRECTORIES.split(" ").map(directory),
    member("tmp/", { type: "dir", mode: 0o1777 }),
    file("etc/passwd", lines(passwd)),
    file("etc/group", lines(group)),
    program("bin/busybox", busybox),
    // Not symbolic links: masking one would mask busybox itself.
    ...applets
      .filter((name) => name !== "busybox")
      .map((name) =>
        member(`bin/${name}`, { type: "hardlink", linkTarget: fromText("bin/busybox"), mode: 0o755 }),
      ),
  ]);
}

const NGINX = "usr/sbin/nginx";

function nginxLayer(nginx: ReadonlyMap<string, string>, port: number): Uint8Array {
  const configuration = `user www-data;
worker_processes 1;
pid /var/run/nginx.pid;
error_log /dev/stderr;
events { worker_connections 64; }
http {
  access_log /dev/stdout;
  default_type text/html;
  server { listen ${port}; root /usr/share/nginx/html; index index.html; }
}
`;
  return layer([
    ...[...nginx].map(([path, source]) => program(path, source)),
    // For the directories: nginx makes neither.
    file("var/lib/nginx/body/.keep", ""),
    file("var/log/nginx/.keep", ""),
    file("etc/nginx/nginx.conf", configuration),
    file("usr/share/nginx/html/index.html", "<html><body>Welcome to nginx!</body></html>\n"),
  ]);
}

/** Debian's nginx and the libraries that it needs, in a root directory that is made at `root`. */
export async function nginxFiles(root: string): Promise<Map<string, string>> {
  await copyRootfs(root);
  await unpackPackages(root, ["nginx", "libssl3"]);
  const listed = await run(["chroot", root, "ldd", `/${NGINX}`]);
  const files = new Map([[NGINX, join(root, NGINX)]]);
  for (const [path] of listed.stdout.toString().matchAll(/(?<=\s)\/\S+/g)) {
    const real = (await run(["chroot", root, "realpath", path])).stdout.toString().trim();
    const directory = path.startsWith("/lib64/") ? "lib64" : "lib/x86_64-linux-gnu";
    files.set(`${directory}/${basename(path)}`, join(root, real));
  }
  return files;
}
