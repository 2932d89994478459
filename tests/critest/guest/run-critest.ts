/** In the guest: makes it a node and runs critest there, as the file says that is given. */
import { openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../../src/sys/process.ts";
import { type CritestFacts, type CritestRun, FACTS, RESULTS, reportFile } from "../plan.ts";
import { fixBeforehand, fixedImages, makeNode, SOCKET, startCrio } from "./node.ts";

const request = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as CritestRun;
const LEFT_LIMIT_MS = 120_000;
/** Where the host reads what is for people. */
const consoleFile = openSync("/dev/console", "w");
const say = (what: string): void => writeFileSync(consoleFile, `\nVM ${what}\n`);

using _registry = await makeNode(request.runtime);
const crio = await startCrio(join(RESULTS, "crio.log"));
say("CRI-O is ready");
if (request.runtime === "crio-lxc") {
  await fixBeforehand();
  say("the fix is there, and a container has it");
}
const before = traces();
for (const group of request.groups) {
  const start = performance.now();
  const code = await critest(group);
  // What is done must not be lost when the machine is ended by force.
  await run(["sync"]);
  say(`${group.name}: critest ended with ${code} after ${Math.round((performance.now() - start) / 1000)} s`);
}
writeFileSync(join(RESULTS, FACTS), JSON.stringify(await facts(request, before)));
crio.kill("SIGTERM");
await crio.exited;

async function critest({ name, focus }: CritestRun["groups"][number]): Promise<number> {
  const images = join("/run/critest-images.yaml");
  writeFileSync(
    images,
    "defaultTestContainerImage: registry.k8s.io/e2e-test-images/busybox:1.29-2\n" +
      "webServerTestImage: registry.k8s.io/e2e-test-images/nginx:1.14-2\n",
  );
  const child = Bun.spawn(
    [
      "critest",
      ...["-runtime-endpoint", `unix://${SOCKET}`, "-image-endpoint", `unix://${SOCKET}`],
      ...["-test-images-file", images, "-ginkgo.v", "-ginkgo.no-color", `-ginkgo.seed=${request.seed}`],
      ...["-ginkgo.timeout=4h", `-ginkgo.json-report=${join(RESULTS, reportFile(name))}`],
      `-ginkgo.focus=${focus}`,
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "inherit" },
  );
  const log = Bun.file(join(RESULTS, `critest-${name}.log`)).writer();
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of child.stdout) {
    log.write(chunk);
    await log.flush();
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    // One for each spec: passed or failed, and how long it took.
    for (const line of lines) if (/^• (\[FAILED\] )?\[/.test(line)) say(line);
  }
  await log.end();
  return await child.exited;
}

async function facts({ runtime }: CritestRun, old: ReadonlySet<string>): Promise<CritestFacts> {
  const program = runtime === "runc" ? "runc" : "crio-lxc";
  const version = async (...argv: [string, ...string[]]): Promise<string> =>
    (await run(argv)).stdout.toString().trim();
  return {
    crio: await version("crio", "--version"),
    runtime: await version(program, "--version"),
    kernel: readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
    fixedImages: runtime === "runc" ? 0 : await fixedImages(),
    left: await leftBehind(old),
  };
}

/** What stays: the machine's own services have mounts for a moment, too. */
async function leftBehind(old: ReadonlySet<string>): Promise<string[]> {
  const end = performance.now() + LEFT_LIMIT_MS;
  for (;;) {
    const left = [...traces()].filter((trace) => !old.has(trace));
    if (left.length === 0 || performance.now() > end) return left;
    await Bun.sleep(1000);
  }
}

/** What a runtime leaves if something goes wrong. Network namespaces are CRI-O's pinns': where a spec makes it fail, one stays. */
function traces(): Set<string> {
  const names = (directory: string): string[] => {
    try {
      return readdirSync(directory).map((name) => `state ${directory}/${name}`);
    } catch {
      return [];
    }
  };
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path !== "")
    .map((path) => `mount ${path}`);
  return new Set([...mounts, ...names("/run/crio-lxc"), ...names("/run/runc")]);
}
