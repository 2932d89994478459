import { expect, test } from "bun:test";
import { parseCurrent } from "./current.ts";

const MOLECULE = "0123456789abcdef".repeat(4);

test("a current file of an image with two fixes", () => {
  expect(parseCurrent(`${MOLECULE} 7 2\n`)).toMatchObject({ molecule: MOLECULE, fixes: 2 });
});

test("cut off anywhere, it is damaged, and never an image without fixes", () => {
  const text = `${MOLECULE} 7 12\n`;
  for (let length = 0; length < text.length; length++)
    expect(() => parseCurrent(text.slice(0, length))).toThrow(/damaged/);
  expect(() => parseCurrent(`${text}${text}`)).toThrow(/damaged/);
});
