import type { ByteString } from "../../src/core/bytestring.ts";
import { DEFAULT_ROOT, type Tree } from "../../src/core/tree.ts";
import { scriptProblems } from "../../src/fixing/scripts.ts";
import { parseShell } from "../../src/fixing/shell/parse.ts";
import { fuzz } from "./harness.ts";

const EMPTY: Tree = new Map([["", DEFAULT_ROOT]]) as unknown as Tree;

const SEEDS = [
  '#!/bin/sh\nset -e\ncase "$1" in\n  configure|abort-*) if [ -z "$2" ]; then adduser x; fi ;;\n  *) exit 1 ;;\nesac\n',
  '#!/bin/sh\nf() { local a="$1"; shift; [ "$#" -gt 0 ] && f "$@" || return 0; }\nf a b c\nwhile read x; do break; done\n',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the shell's own
  '#!/bin/sh\nx=$(command -v y 2>/dev/null) || true\nfor i in ${x:-a b} "${2%-1}" `echo \\`z\\``; do ( touch $i ) | cat; done >&2\n',
  '#!/bin/sh\ndpkg-maintscript-helper rm_conffile /etc/x 1.0~ p -- "$@"\nif dpkg --compare-versions "$2" lt-nl 2:3; then { :; }; fi\n',
].map((text) => Buffer.from(text));

fuzz("shell parser", SEEDS, parseShell);

fuzz("evaluation of a maintainer script", SEEDS, (text) =>
  scriptProblems({
    packageName: "demo",
    scripts: [
      { phase: "new postinst", name: "postinst", text: Buffer.concat([Buffer.from("#!/bin/sh\n"), text]) },
    ],
    oldVersion: "1.0-1" as ByteString,
    newVersion: "1.0-2" as ByteString,
    before: EMPTY,
    after: EMPTY,
  }),
);
