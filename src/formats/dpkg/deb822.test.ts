import { expect, test } from "bun:test";
import fc from "fast-check";
import { fromText } from "../../core/bytestring.ts";
import { encodeParagraph, fieldValue, parseDeb822, parseOneParagraph, valueLines } from "./deb822.ts";

test("keeps order, spacing and continuation lines", () => {
  const text = fromText("B:  x  \n y\n .\nA:\n\t1\nempty:\n");
  const paragraph = parseOneParagraph(text);
  expect(encodeParagraph(paragraph)).toBe(text);
  expect(fieldValue(paragraph, "b")).toBe(fromText("x  \n y\n ."));
  expect(valueLines(fieldValue(paragraph, "a") ?? fromText(""))).toEqual([fromText("1")]);
  expect(fieldValue(paragraph, "EMPTY")).toBe(fromText(""));
  expect(fieldValue(paragraph, "C")).toBeUndefined();
});

test("a value may end with the UTF-8 letter whose last byte is 0xA0", () => {
  expect(fieldValue(parseOneParagraph(fromText("A: à\n")), "A")).toBe(fromText("à"));
});

test("paragraphs that were encoded parse to the same fields", () => {
  const name = fc.string({ unit: fc.constantFrom("A", "b", "c", "-", "3"), minLength: 1, maxLength: 4 });
  const line = fc.string({ unit: fc.constantFrom("x", ":", " ", "#", "\u00e9"), maxLength: 6 });
  const field = fc.record({
    name: name.filter((each) => !each.startsWith("-")).map(fromText),
    raw: fc
      .tuple(line, fc.array(line.map((each) => `\n .${each}`)))
      .map(([first, more]) => fromText(first + more.join(""))),
  });
  const fields = fc.uniqueArray(field, { minLength: 1, selector: (each) => each.name.toLowerCase() });
  fc.assert(
    fc.property(fc.array(fields.map((each) => ({ fields: each }))), (paragraphs) => {
      const text = fromText("");
      const encoded = paragraphs.map((each) => `${encodeParagraph(each)}\n`).join("");
      expect(parseDeb822((text + encoded) as typeof text)).toEqual(paragraphs);
    }),
  );
});

test.each([
  ["a continuation first", " x\n"],
  ["no colon", "Package\n"],
  ["a name with a space", "A b: c\n"],
  ["an empty name", ": c\n"],
  ["a field twice", "A: 1\na: 2\n"],
  ["NUL", "A: \0\n"],
  ["a comment in a database", "# x\nA: 1\n"],
])("refuses %s", (_, text) => {
  expect(() => parseDeb822(fromText(text))).toThrow("control file");
});

test("comments are passed over where they are allowed, also inside a value", () => {
  const [paragraph] = parseDeb822(fromText("# x\nA: 1\n# y\n 2\n"), { comments: true });
  expect(paragraph?.fields).toEqual([{ name: fromText("A"), raw: fromText(" 1\n 2") }]);
});
