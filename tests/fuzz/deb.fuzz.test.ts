import { decodeDeb } from "../../src/formats/deb/archive.ts";
import { fuzz } from "./harness.ts";

function member(name: string, body: string): string {
  return `${name.padEnd(16)}${"0".padEnd(32)}${String(body.length).padEnd(10)}\`\n${body}`;
}

const seed = Buffer.from(
  `!<arch>\n${member("debian-binary", "2.0\n")}${member("control.tar.xz", "cccc")}${member("_x", "")}${member("data.tar", "dd")}`,
);

fuzz("decodeDeb", [seed], (bytes) => {
  const { control, data } = decodeDeb(bytes);
  if (control.bytes.length + data.bytes.length > bytes.length) throw new Error("Parts exceed the package");
});
