import { expect, test } from "bun:test";
import { programEnvironment } from "./environment.ts";

test.each([
  ["as it is", ["B=1", "A=x=y"], ["B=1", "A=x=y", "HOME=/home"]],
  ["the last value of a name counts, at its own place", ["A=1", "B=2", "A=3"], ["B=2", "A=3", "HOME=/home"]],
  ["names are whole", ["AB=1", "A=2"], ["AB=1", "A=2", "HOME=/home"]],
  ["an empty value is one", ["A=1", "A="], ["A=", "HOME=/home"]],
  ["its own HOME", ["HOME=/own", "A=1"], ["HOME=/own", "A=1"]],
  ["an empty HOME is none", ["HOME=", "A=1"], ["A=1", "HOME=/home"]],
  ["the last HOME counts, also if it is empty", ["HOME=/own", "HOME=", "A=1"], ["A=1", "HOME=/home"]],
])("%s", (_, env, expected) => {
  expect(programEnvironment(env, () => "/home")).toEqual(expected);
});

test("nobody is asked for a home that is known", () => {
  const ask = (): string => {
    throw new Error("asked");
  };
  expect(programEnvironment(["HOME=", "HOME=/own"], ask)).toEqual(["HOME=/own"]);
});
