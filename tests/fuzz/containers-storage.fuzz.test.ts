import {
  parseContainerEntries,
  parseImageEntries,
  parseLayerEntries,
} from "../../src/formats/containers-storage/records.ts";
import { parseTarSplitEntry } from "../../src/formats/containers-storage/tar-split.ts";
import { fuzz } from "./harness.ts";

const ID = "a".repeat(64);
const entry = `[{"id":"${ID}","digest":"sha256:${ID}","names":["l/w:1"],"layer":"${ID}","parent":"${ID}","diff-digest":"sha256:${ID}","uidmap":[],"image":"${ID}","big-data-names":["manifest"]}]`;

fuzz("the indexes of containers/storage", [Buffer.from(entry), Buffer.from("null")], (bytes) => {
  const text = Buffer.from(bytes).toString("utf8");
  for (const parse of [parseImageEntries, parseLayerEntries, parseContainerEntries]) parse(text);
});

fuzz(
  "tar-split",
  [
    Buffer.from('{"type":2,"payload":"AAEC"}'),
    Buffer.from('{"type":1,"name":"a","name_raw":"Yf9i","size":7}'),
  ],
  (bytes) => parseTarSplitEntry(Buffer.from(bytes).toString("utf8")),
);
