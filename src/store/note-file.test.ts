import { afterEach, beforeEach, expect, test } from "bun:test";
import { symlinkSync, writeFileSync } from "node:fs";
import { TemporaryStore } from "../../tests/support/temporary-store.ts";
import { parseSha256 } from "../core/digest.ts";
import type { StoreLayout } from "./layout.ts";
import { type NoteFile, readNote, writeNote } from "./note-file.ts";

const NOTE: NoteFile<string> = {
  name: "note.json",
  maxBytes: 200,
  parse: ({ config }) => (config === undefined ? undefined : parseSha256(String(config))),
};
const CONFIG = "a".repeat(64);

let temporary: TemporaryStore;
let layout: StoreLayout;
beforeEach(() => {
  temporary = new TemporaryStore();
  layout = temporary.store.layout;
});
afterEach(() => temporary[Symbol.dispose]());

test("what was written is read", () => {
  expect(readNote(layout, NOTE)).toBeUndefined();
  writeNote(layout, NOTE, { config: CONFIG });
  expect(readNote(layout, NOTE)).toBe(CONFIG);
  expect(temporary.list("tmp")).toEqual([]);
});

test.each([
  ["cut off", `{"version":1,"config":"${CONFIG}`],
  ["empty", ""],
  ["of another version", `{"version":2,"config":"${CONFIG}"}`],
  ["no object", "null"],
  ["without its field", '{"version":1}'],
  ["with a field of another form", '{"version":1,"config":"../../etc/shadow"}'],
  ["too large", `{"version":1,"config":"${CONFIG}"}${" ".repeat(200)}`],
])("a file that is %s is as good as none", (_, text) => {
  writeFileSync(temporary.path("note.json"), text);
  expect(readNote(layout, NOTE)).toBeUndefined();
});

test("a symlink is not followed", () => {
  writeFileSync(temporary.path("elsewhere"), `{"version":1,"config":"${CONFIG}"}`);
  symlinkSync(temporary.path("elsewhere"), temporary.path("note.json"));
  expect(readNote(layout, NOTE)).toBeUndefined();
});
