import { type ByteString, fromBytes } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";

/**
 * One "Name: value" of a control file. `raw` is every byte between the colon and the field's last newline, with
 * leading blanks and continuation lines, so that a paragraph re-encodes to the same bytes.
 */
export type Field = { readonly name: ByteString; readonly raw: ByteString };

/** Fields in the file's order. No two names are equal without regard to case. */
export type Paragraph = { readonly fields: readonly Field[] };

export type Deb822Options = {
  /** Lines that start with "#" are comments (apt's and source control files) instead of an error (dpkg's database). */
  readonly comments?: boolean;
};

/** The largest real file, Debian main's Packages, has 50 MB and 65,000 paragraphs. */
const MAX_BYTES = 256 * 1024 * 1024;
const MAX_FIELDS = 1000;
const FIELD_NAME = /^[!-9;-~]+$/;
const BLANK_LINE = /^[ \t\r]*$/;

/**
 * Parses control-file syntax (deb822(5)): paragraphs of fields, separated by blank lines.
 * @throws AtomfsError "bad-data" for a line that is neither field nor continuation, a field given twice, NUL bytes,
 * more than 256 MiB or more than 1,000 fields in one paragraph
 */
export function parseDeb822(text: ByteString | Uint8Array, options: Deb822Options = {}): Paragraph[] {
  if (text.length > MAX_BYTES) throw bad(0, `it has more than ${MAX_BYTES} bytes`);
  const all: string = typeof text === "string" ? text : fromBytes(text);
  if (all.includes("\0")) throw bad(0, "it contains a NUL byte");
  const paragraphs: Paragraph[] = [];
  let fields: { name: ByteString; raw: ByteString }[] = [];
  let names = new Set<string>();
  let lineNumber = 0;
  for (let at = 0; at < all.length; ) {
    const newline = all.indexOf("\n", at);
    const line = all.slice(at, newline < 0 ? all.length : newline);
    at = newline < 0 ? all.length : newline + 1;
    lineNumber++;
    if (options.comments === true && line.startsWith("#")) continue;
    if (BLANK_LINE.test(line)) {
      if (fields.length > 0) paragraphs.push({ fields });
      fields = [];
      names = new Set();
      continue;
    }
    if (line.startsWith(" ") || line.startsWith("\t")) {
      const last = fields.at(-1);
      if (last === undefined) throw bad(lineNumber, "a continuation line comes before any field");
      last.raw = `${last.raw}\n${line}` as ByteString;
      continue;
    }
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    if (!FIELD_NAME.test(name) || name.startsWith("-")) throw bad(lineNumber, "it is not a field");
    const key = name.toLowerCase();
    if (names.has(key)) throw bad(lineNumber, `field ${name} is given twice`);
    names.add(key);
    if (names.size > MAX_FIELDS) throw bad(lineNumber, `a paragraph has more than ${MAX_FIELDS} fields`);
    fields.push({ name: name as ByteString, raw: line.slice(colon + 1) as ByteString });
  }
  if (fields.length > 0) paragraphs.push({ fields });
  return paragraphs;
}

/** The bytes of a paragraph, each line ended by a newline, without the blank line that separates paragraphs. */
export function encodeParagraph(paragraph: Paragraph): ByteString {
  return paragraph.fields.map((field) => `${field.name}:${field.raw}\n`).join("") as ByteString;
}

/** The only paragraph of a file such as a package's `control`. @throws AtomfsError "bad-data" */
export function parseOneParagraph(text: ByteString | Uint8Array, options: Deb822Options = {}): Paragraph {
  const [first, second] = parseDeb822(text, options);
  if (first === undefined || second !== undefined) {
    throw new AtomfsError("bad-data", "Cannot parse control file: want exactly one paragraph");
  }
  return first;
}

/** A field's value without the white space around it; continuation lines keep theirs. Names ignore case. */
export function fieldValue(paragraph: Paragraph, name: string): ByteString | undefined {
  const wanted = name.toLowerCase();
  const field = paragraph.fields.find((each) => each.name.toLowerCase() === wanted);
  return field === undefined ? undefined : trimBlank(field.raw);
}

/** A field that must be there and not empty. @throws AtomfsError "bad-data" */
export function requiredField(paragraph: Paragraph, name: string): ByteString {
  const value = fieldValue(paragraph, name);
  if (value === undefined || value === "") {
    throw new AtomfsError("bad-data", `Cannot use control paragraph: it has no field ${name}`);
  }
  return value;
}

/** The non-empty lines of a value, each without the white space around it. */
export function valueLines(value: ByteString): ByteString[] {
  return value
    .split("\n")
    .map((line) => trimBlank(line))
    .filter((line) => line !== "");
}

/** The words of a value that is a list separated by white space. */
export function valueWords(value: ByteString): ByteString[] {
  return value.split(/[ \t\r\n]+/).filter((word) => word !== "") as ByteString[];
}

/** ASCII white space only: `trim()` would also take the byte 0xA0, which is part of UTF-8 letters. */
function trimBlank(text: string): ByteString {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end) as ByteString;
}

function isBlank(unit: number): boolean {
  return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d);
}

function bad(line: number, why: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot parse control file, line ${line}: ${why}`);
}
