import { expect, test } from "bun:test";
import { attackDocument, timeRequest } from "./exploit.ts";
import { cniNetwork, containersConf, netavarkNetwork, possibleLimits, storageConf } from "./podman-config.ts";

const OPTIONS = {
  directory: '/tmp/a "b"',
  imageStores: ["/store"],
  runtime: "runc",
  subnet: "10.1.2.0/24",
  bridge: "demo0",
} as const;

test("the attack is a small valid document", () => {
  expect(new TextDecoder().decode(attackDocument(2))).toBe(
    "<!DOCTYPE r [<!ATTLIST r a0 CDATA 'x' a1 CDATA 'x'>]><r/>",
  );
  expect(attackDocument().length).toBeLessThan(4 << 20);
});

test("a request is answered, timed out or interrupted", async () => {
  const never = Promise.withResolvers<Response>();
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) =>
      request.url.endsWith("/slow")
        ? never.promise
        : new Response(`${request.method} ${await request.text()}`),
  });
  const url = server.url.href;
  const body = new TextEncoder().encode("x");
  expect(await timeRequest(url, body, { timeoutMs: 10_000 })).toMatchObject({ status: 200, body: "POST x" });
  expect((await timeRequest(url, undefined, { timeoutMs: 10_000 })).body).toBe("GET ");
  const late = await timeRequest(`${url}slow`, undefined, { timeoutMs: 50 }).catch((error: unknown) => error);
  expect(late).toMatchObject({ kind: "failed" });
  const signal = AbortSignal.abort();
  const stopped = await timeRequest(url, undefined, { timeoutMs: 10_000, signal }).catch(
    (error: unknown) => error,
  );
  expect(stopped).toMatchObject({ kind: "interrupted" });
  never.resolve(new Response());
});

test("limits never exceed what the machine allows", () => {
  const limits = (nproc: string, nofile: string): string =>
    `Limit                     Soft Limit           Hard Limit           Units
Max processes             ${nproc.padEnd(20)} ${nproc.padEnd(20)} processes
Max open files            1024                 ${nofile.padEnd(20)} files
`;
  expect(possibleLimits(limits("96365", "20000"), 32768)).toEqual({ nproc: 32768, nofile: 20000 });
  expect(possibleLimits(limits("500", "unlimited"), 4194304)).toEqual({ nproc: 500, nofile: 1048576 });
  expect(possibleLimits(limits("unlimited", "1"), 4194304)).toEqual({ nproc: 4194304, nofile: 1 });
  expect(() => possibleLimits("", 1)).toThrow("Max open files");
});

test("the configuration files are TOML and JSON that say what was asked", () => {
  const limits = { nofile: 5, nproc: 6 };
  const runtime = { name: "crio-lxc", path: "/opt/crio-lxc" };
  const conf = Bun.TOML.parse(containersConf({ ...OPTIONS, runtime }, limits, "netavark", "systemd"));
  expect(conf).toMatchObject({
    containers: { default_ulimits: ["nofile=5:5", "nproc=6:6"] },
    engine: {
      runtime: "crio-lxc",
      cgroup_manager: "systemd",
      runtimes: { "crio-lxc": ["/opt/crio-lxc"] },
      tmp_dir: '/tmp/a "b"/run/libpod',
    },
  });
  expect(Bun.TOML.parse(containersConf(OPTIONS, limits, "cni", "cgroupfs"))).toMatchObject({
    engine: { runtime: "runc", cgroup_manager: "cgroupfs" },
    network: { network_backend: "cni" },
  });
  expect(Bun.TOML.parse(storageConf(OPTIONS))).toMatchObject({
    storage: { graphroot: '/tmp/a "b"/graph', options: { additionalimagestores: ["/store"] } },
  });
  expect(JSON.parse(cniNetwork(OPTIONS)).plugins[0].bridge).toBe("demo0");
  expect(JSON.parse(netavarkNetwork(OPTIONS))).toMatchObject({
    network_interface: "demo0",
    subnets: [{ subnet: "10.1.2.0/24", gateway: "10.1.2.1" }],
  });
});
