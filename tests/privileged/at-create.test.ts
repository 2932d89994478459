import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { VULNERABLE_PACKAGE, VULNERABLE_VERSION } from "../../scripts/demo/images.ts";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";
import { AtCreateLab } from "../support/at-create-lab.ts";
import { patience } from "../support/slowness.ts";

/*
 * crio-lxc under the real Podman with its ordinary storage: an image is imported without a second copy, fixed, and each new
 * start of a container has the fix. With the machine's real apt sources and the demo's web image.
 */

const OLD = VULNERABLE_VERSION;
const LIMIT_MS = patience(240_000);
let lab: AtCreateLab;
let image = "";
let fix = "";

beforeAll(async () => {
  lab = await AtCreateLab.open({ subnet: "10.89.179.0/24", bridge: "atomfs-create0" });
  image = await lab.pull("web");
}, patience(600_000));
afterAll(() => lab[Symbol.asyncDispose](), patience(120_000));

describe("AtomFS at create, under Podman", () => {
  test(
    "an unknown image runs on the engine's own root",
    async () => {
      expect(await lab.newVersion(image)).toBe(OLD);
    },
    LIMIT_MS,
  );

  test(
    "an image without a fix does, too, and the state says why",
    async () => {
      await lab.atomfs("import", `containers-storage:${image}`);
      // Whoever runs a container does not say what its root is.
      await lab.start("web", image, "--annotation", "io.atomfs.molecule=forged");
      expect(await lab.rootSource("web")).toBe("overlay");
      expect(await lab.version("web")).toBe(OLD);
      const id = await lab.podman("image", "inspect", "--format", "{{.Id}}", image);
      expect(await lab.atCreate("web")).toEqual({ root: "engine", why: "no-fix", image: id });
    },
    LIMIT_MS,
  );

  test(
    "after the fix a new container and a restarted one have it, a running one keeps its root",
    async () => {
      const answer = await lab.atomfs<{ fixes: { id: string }[] }>("fix", VULNERABLE_PACKAGE, "--yes");
      fix = answer.fixes[0]?.id ?? "";
      expect(await lab.version("web")).toBe(OLD);
      // Podman has the image already: it is neither mounted nor shown to it again.
      expect(existsSync(join(runDirectoryOf(lab.storeRoot), "mounts"))).toBe(false);
      expect(readdirSync(join(lab.storeRoot, "image-store"))).toEqual([]);
      expect(await lab.newVersion(image)).not.toBe(OLD);
      await lab.podman("restart", "--time", "0", "web");
      expect(await lab.version("web")).not.toBe(OLD);
      const source = await lab.rootSource("web");
      expect(source).toStartWith("atomfs:");
      const molecule = source.slice("atomfs:".length);
      expect(await lab.atCreate("web")).toMatchObject({ root: "molecule", why: "fix", molecule });
      const row = await lab.container("web");
      expect(row).toMatchObject({ root: "current", findings: [], atCreate: { why: "fix", molecule } });
      const [proof] = await lab.atomfs<{ isFixed: boolean }[]>("fix", "verify");
      expect(proof?.isFixed).toBe(true);
    },
    LIMIT_MS,
  );

  test(
    "Podman's own verbs on a replaced root",
    async () => {
      expect(await lab.podman("logs", "web")).toContain("started");
      expect(await lab.podman("top", "web", "pid", "args")).toContain("sleep 1000000");
      const stats = await lab.podman("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "web");
      expect(stats).toMatch(/^web [1-9]/);
      writeFileSync(join(lab.place, "given"), "given\n");
      await lab.podman("cp", join(lab.place, "given"), "web:/srv/given");
      expect(await lab.podman("exec", "web", "cat", "/srv/given")).toBe("given");
      await lab.podman("cp", "web:/etc/debian_version", join(lab.place, "taken"));
      expect(readFileSync(join(lab.place, "taken"), "utf8")).toMatch(/^12\./);
      const changes = (await lab.podman("diff", "web")).split("\n");
      expect(changes).toContain("A /srv/given");
      expect(changes.filter((line) => !/^[AC] \/(srv|etc|run)(\/|$)/.test(line))).toEqual([]);
      await lab.podman("pause", "web");
      await lab.podman("unpause", "web");
      await expect(lab.podman("exec", "web", "sh", "-c", "exit 7")).rejects.toThrow(/exit code 7/);
    },
    LIMIT_MS,
  );

  test(
    "containers of a pod all get the fix",
    async () => {
      await lab.podman("pod", "create", "--name", "pod", "--network", "none", "--infra=true");
      for (const name of ["one", "two"])
        await lab.podman(
          "run",
          "-d",
          "--stop-timeout",
          "0",
          "--pod",
          "pod",
          "--name",
          name,
          image,
          "sleep",
          "1000000",
        );
      for (const name of ["one", "two"]) {
        expect(await lab.version(name)).not.toBe(OLD);
        expect((await lab.atCreate(name))["why"]).toBe("fix");
      }
      await lab.podman("pod", "restart", "pod");
      expect(await lab.version("two")).not.toBe(OLD);
      await lab.podman("pod", "stop", "--time", "0", "pod");
      await lab.podman("pod", "start", "pod");
      expect(await lab.version("one")).not.toBe(OLD);
      await lab.podman("pod", "rm", "--force", "--time", "0", "pod");
    },
    LIMIT_MS,
  );

  test(
    "what a container writes over a fixed file is a finding, whether it copied, removed or hid it",
    async () => {
      const library = "/usr/lib/x86_64-linux-gnu/libexpat.so.1.8.10";
      const documents = "/usr/share/doc/libexpat1";
      const scripts = {
        copied: `cp ${library} /tmp/l; printf x >>/tmp/l; cat /tmp/l >${library}`,
        removed: `rm ${library}`,
        hidden: `rm -r ${documents}; mkdir ${documents}`,
      };
      for (const [name, script] of Object.entries(scripts)) {
        await lab.start(name, image);
        await lab.shell(name, script);
      }
      const [proof] = await lab.atomfs<
        { isFixed: boolean; containers: { name: string; proof: string; problems: string[] }[] }[]
      >("fix", "verify");
      expect(proof?.isFixed).toBe(false);
      const { text } = await lab.atomfsText("containers");
      for (const [name, path] of [
        ["copied", library],
        ["removed", library],
        ["hidden", `${documents}/changelog.Debian.gz`],
      ] as const) {
        const finding = `it has its own ${path} over the molecule's`;
        const { root, findings } = await lab.container(name);
        expect({ name, root }).toEqual({ name, root: "shadowed" });
        expect(findings.join("\n")).toContain(finding);
        expect(text).toContain(`finding: ${name}: ${finding}`);
        const verified = proof?.containers.find((each) => each.name === name);
        expect(verified?.proof).toBe("none");
        expect(verified?.problems.join("\n")).toContain(finding);
      }
      await lab.remove(...Object.keys(scripts));
    },
    LIMIT_MS,
  );

  test(
    "what the container writes is the engine's: diff, commit and a revert find every byte",
    async () => {
      await lab.shell(
        "web",
        "chmod 700 /usr/bin/perl; mv /usr/share/zoneinfo /srv/zones; mv /usr/share/perl5 /usr/share/perl6;" +
          "echo mine >/srv/note; rm /usr/bin/faillog; chown 7:8 /etc/debconf.conf; touch -d @5 /etc/profile",
      );
      // A tar of a commit has whole seconds; sizes of directories and numbers of names are the filesystem's.
      const places = "/usr/bin/perl /srv /usr/share/perl6 /etc/debconf.conf /etc/profile";
      const written =
        `{ find ${places} -type d -printf '%p %y %#m %U %G %T@\\n';` +
        `find ${places} ! -type d -printf '%p %y %#m %U %G %T@ %s %l\\n'; } | sed 's/\\.[0-9]\\{10\\}//' | LC_ALL=C sort;` +
        `find ${places} -type f -exec sha256sum {} + | LC_ALL=C sort;` +
        "ls /usr/share/zoneinfo /usr/share/perl5 /usr/bin/faillog 2>&1 || true";
      const before = await lab.shell("web", written);
      expect(before.split("\n").length).toBeGreaterThan(500);
      expect(before).toContain("/usr/bin/perl f 0700 0 0 ");
      await lab.podman("stop", "--time", "0", "web");
      const diff = await lab.podman("diff", "web");
      for (const line of ["A /srv/note", "C /usr/bin/perl", "D /usr/bin/faillog", "D /usr/share/zoneinfo"])
        expect(diff.split("\n")).toContain(line);
      expect(diff).not.toContain("libexpat");
      await lab.podman("commit", "--quiet", "web", "localhost/committed:1");
      expect(await lab.inNew("localhost/committed:1", "sh", "-c", written)).toBe(before);
      await lab.atomfs("fix", "revert", fix);
      await lab.podman("start", "web");
      expect(await lab.version("web")).toBe(OLD);
      expect(await lab.rootSource("web")).toBe("overlay");
      expect(await lab.shell("web", written)).toBe(before);
      await lab.podman("commit", "--quiet", "web", "localhost/committed:2");
      expect(await lab.inNew("localhost/committed:2", "sh", "-c", written)).toBe(before);
      // Nothing in it wrote the database, so it is the image's own and says so.
      const { findings } = await lab.atomfs<{ findings: unknown[] }>(
        "import",
        "containers-storage:localhost/committed:1",
      );
      expect(findings).toEqual([]);
      expect(await lab.newVersion("localhost/committed:1")).toBe(OLD);
      await lab.atomfs("fix", VULNERABLE_PACKAGE, "--yes");
      expect(await lab.newVersion("localhost/committed:1")).not.toBe(OLD);
      expect(await lab.inNew("localhost/committed:1", "sh", "-c", written)).toBe(before);
    },
    LIMIT_MS,
  );

  test.each([
    ["warn", OLD],
    ["replace", undefined],
  ])(
    "policy outdated = %s",
    async (word, want) => {
      lab.policy(`outdated = "${word}"`);
      const got = await lab.newVersion(image);
      if (want === undefined) expect(got).not.toBe(OLD);
      else expect(got).toBe(want);
      if (word !== "warn") return;
      await lab.start("warned", image);
      expect(await lab.atCreate("warned")).toMatchObject({
        root: "engine",
        why: "policy",
        policy: "outdated=warn",
        outdated: expect.stringMatching(/^[0-9a-f]{64}$/),
      });
      expect((await lab.atomfsText("containers")).text).toMatch(
        /warned .*engine: policy \(outdated=warn\), lacks molecule [0-9a-f]{12}/,
      );
      await lab.remove("warned");
    },
    LIMIT_MS,
  );

  test(
    "policy outdated = refuse, and a word that is none",
    async () => {
      lab.policy('outdated = "refuse"');
      await expect(lab.newVersion(image)).rejects.toThrow(/lacks 1 fix/);
      lab.policy('outdated = "replce"');
      await expect(lab.newVersion(image)).rejects.toThrow(/replce/);
      lab.policy();
    },
    LIMIT_MS,
  );

  test(
    "a damaged molecule: on-error says whether the container runs",
    async () => {
      const images = await lab.atomfs<{ names: string[]; molecule: string }[]>("images");
      const molecule = images.find(({ names }) => names.includes(image))?.molecule;
      const path = join(lab.storeRoot, "molecules", `${molecule}.erofs`);
      const bytes = readFileSync(path);
      const damaged = Buffer.from(bytes);
      damaged[2000] = (damaged[2000] ?? 0) ^ 1;
      chmodSync(path, 0o600);
      writeFileSync(path, damaged);
      expect(await lab.newVersion(image)).toBe(OLD);
      lab.policy('on-error = "refuse"');
      await expect(lab.newVersion(image)).rejects.toThrow(/not what was written/);
      lab.policy();
      writeFileSync(path, bytes);
      expect(await lab.newVersion(image)).not.toBe(OLD);
    },
    LIMIT_MS,
  );

  test(
    "nothing stays mounted or listed of containers that are gone",
    async () => {
      const id = await lab.podman("inspect", "--format", "{{.Id}}", "web");
      expect(existsSync(join("/run/crio-lxc", id))).toBe(true);
      await lab.remove("web");
      const mounts = readMountinfo().filter(
        ({ target }) => target.startsWith(lab.place) && target.endsWith("/merged"),
      );
      expect(mounts).toEqual([]);
      expect(existsSync(join("/run/crio-lxc", id))).toBe(false);
    },
    LIMIT_MS,
  );
});
