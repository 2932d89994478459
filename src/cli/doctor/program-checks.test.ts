import { expect, test } from "bun:test";
import type { Check } from "./check.ts";
import { findPrograms, type ProgramFacts, programChecks } from "./program-checks.ts";

const NODE: ProgramFacts = {
  gpgv: "/usr/bin/gpgv",
  aptHelper: "/usr/lib/apt/apt-helper",
  kubectl: "/usr/bin/kubectl",
  crictl: "/usr/local/bin/crictl",
  crictlProblem: undefined,
  isNode: true,
  conmon: { podman: "no engine", crio: "/usr/bin/conmon", crioOwn: undefined },
};
const NOTHING: ProgramFacts = {
  ...{ gpgv: undefined, aptHelper: undefined, kubectl: undefined, crictl: undefined },
  ...{ crictlProblem: undefined, isNode: false },
  conmon: { podman: "no engine", crio: "no engine", crioOwn: undefined },
};
const check = (facts: ProgramFacts, name: string): Check | undefined =>
  programChecks(facts).find(({ id }) => id === `programs.${name}`);

test("a node that has everything", () => {
  expect(programChecks(NODE).map(({ id, status }) => [id, status])).toEqual([
    ["programs.gpgv", "works"],
    ["programs.apt-helper", "works"],
    ["programs.crictl", "works"],
    ["programs.kubectl", "works"],
    ["programs.conmon", "works"],
  ]);
});

test("what only nodes need is no trouble elsewhere", () => {
  const statuses = programChecks(NOTHING).map(({ status }) => status);
  expect(statuses).toEqual(["fails", "fails", "absent", "absent", "absent"]);
  expect(check({ ...NOTHING, crictl: "/usr/bin/crictl" }, "crictl")?.status).toBe("works");
});

test.each([
  ["crictl", { crictl: undefined }, "fails", "crictl is not there", "`gc` keeps CRI-O's images"],
  ["crictl", { crictlProblem: "crictl does not work" }, "fails", "crictl does not work", "`report`"],
  ["kubectl", { kubectl: undefined }, "limited", "kubectl is not there", "`--cluster`"],
  ["conmon", { conmon: { ...NODE.conmon, crio: undefined } }, "fails", "not in CRI-O's PATH", "crio-lxc"],
  [
    "conmon",
    { conmon: { ...NODE.conmon, podman: undefined } },
    "fails",
    "not where Podman looks",
    "Podman starts no",
  ],
] as const)("a node without %s: %j", (name, lacking, status, finding, effect) => {
  const found = check({ ...NODE, ...lacking }, name);
  expect(found?.status).toBe(status);
  expect(found?.finding).toContain(finding);
  expect(found?.effect).toContain(effect);
  expect(found?.advice).toBeDefined();
});

test("CRI-O's own conmon is not crio-lxc's", () => {
  const conmon = { ...NODE.conmon, crio: undefined, crioOwn: "/usr/libexec/crio/conmon" };
  expect(check({ ...NODE, conmon }, "conmon")).toMatchObject({
    status: "fails",
    finding: expect.stringContaining("/usr/libexec/crio/conmon is only for"),
    advice: "ln -s /usr/libexec/crio/conmon /usr/local/bin/conmon",
  });
});

test("this machine can be looked at", async () => {
  expect(programChecks(await findPrograms())).toHaveLength(5);
});
