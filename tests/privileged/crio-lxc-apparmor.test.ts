import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import { ContainerLab } from "../support/container-lab.ts";
import { testUnless } from "../support/needs.ts";
import { patience } from "../support/slowness.ts";

/** AppArmor's profiles of containers; Debian 12 has AppArmor on, and a profile of lxc-start that crio-lxc must get along with. */

const ENABLED = "/sys/module/apparmor/parameters/enabled";
const MISSING =
  existsSync(ENABLED) && readFileSync(ENABLED, "latin1").trim() === "Y"
    ? undefined
    : "this kernel has no AppArmor, or it is off";
const PROFILE = `atomfs-test-${process.pid}`;
const RULES = `profile ${PROFILE} flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  signal,
  deny /tmp/forbidden w,
}
`;
const LABEL = "cat /proc/self/attr/current";

let lab: ContainerLab;
let profile = "";
beforeAll(async () => {
  if (MISSING !== undefined) return;
  lab = new ContainerLab();
  profile = join(lab.scratch, "profile");
  writeFileSync(profile, RULES);
  await run(["apparmor_parser", "--replace", profile]);
}, patience(300_000));
afterAll(async () => {
  if (MISSING !== undefined) return;
  await run(["apparmor_parser", "--remove", profile]);
  lab[Symbol.dispose]();
});

function runWith(apparmorProfile: string | undefined, script: string): ReturnType<ContainerLab["call"]> {
  const id = lab.container(({ process, root }) => {
    process.args = ["sh", "-c", script];
    Object.assign(Object(root), { readonly: false });
    if (apparmorProfile !== undefined) process["apparmorProfile"] = apparmorProfile;
  });
  return lab.call("run", "--bundle", lab.bundle, id);
}

testUnless(MISSING, "a profile confines the container's process, and what it starts", () => {
  const { code, stdout } = runWith(
    PROFILE,
    `${LABEL}; sh -c 'echo x >/tmp/forbidden' || echo x >/tmp/allowed`,
  );
  expect({ code, stdout: stdout.replaceAll("\0", "").trim() }).toEqual({
    code: 0,
    stdout: `${PROFILE} (enforce)`,
  });
  const file = (name: string): boolean => existsSync(join(lab.bundle, "rootfs/tmp", name));
  expect([file("forbidden"), file("allowed")]).toEqual([false, true]);
});

testUnless(MISSING, "exec gets the profile of the container", () => {
  const { id } = lab.running(({ process }) => {
    process["apparmorProfile"] = PROFILE;
  });
  expect(lab.must("exec", id, "sh", "-c", LABEL).replaceAll("\0", "").trim()).toBe(`${PROFILE} (enforce)`);
  lab.must("delete", "--force", id);
});

testUnless(MISSING, "without a profile nothing confines it: neither lxc-start's nor one of liblxc's", () => {
  expect(runWith(undefined, LABEL)).toMatchObject({ code: 0, stdout: "unconfined\n" });
});

testUnless(MISSING, "a profile that is not loaded fails create: engines tell by that", () => {
  const id = lab.container(({ process }) => {
    process["apparmorProfile"] = "atomfs-no-such-profile";
  });
  const { code, stderr } = lab.call("create", "--bundle", lab.bundle, id);
  expect(code).not.toBe(0);
  expect(stderr).toContain("atomfs-no-such-profile");
});

testUnless(MISSING, "a profile that is not loaded is an error, and the program does not run", () => {
  const { code, stdout, stderr } = runWith("atomfs-no-such-profile", "echo ran");
  expect(code).not.toBe(0);
  expect(stdout).toBe("");
  expect(stderr).toContain("atomfs-no-such-profile");
});
