import { type ByteString, parseTreePath } from "../../core/bytestring.ts";
import { resolvePath } from "../../core/resolve.ts";
import { contentSize, type Inode, type Tree } from "../../core/tree.ts";
import { joinStatus, type Status } from "./state.ts";

/** What is mounted over these in a container is not the image's. */
const VIRTUAL = /^\/(proc|sys|dev)(\/|$)/;
/** In the order of dpkg's usual PATH. */
export const COMMAND_DIRECTORIES: readonly string[] = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
];

/**
 * The files that a script meets, as one tree for each moment at which it may run: an answer is certain only if all
 * trees give it.
 */
export class ImagePaths {
  readonly #trees: readonly Tree[];

  constructor(trees: readonly Tree[]) {
    this.#trees = trees;
  }

  /** Whether nothing at all has this name, not even a dangling symlink. */
  isAbsent(path: string): Status {
    return this.#ask(path, false, (inode) => inode === undefined);
  }

  /** The `test` operators on one file (POSIX.1-2017, XCU test) as the superuser is answered. */
  testFile(operator: string, path: string): Status {
    if (operator === "-h" || operator === "-L") {
      return path.endsWith("/") ? undefined : this.#ask(path, false, (inode) => inode?.type === "symlink");
    }
    return this.#ask(path, true, (inode) => (inode === undefined ? false : answer(operator, inode)));
  }

  /** Where the shell finds a program; "" if nowhere, undefined if that is not certain. */
  findCommand(name: string): string | undefined {
    for (const directory of COMMAND_DIRECTORIES) {
      const path = `${directory}/${name}`;
      const isProgram = this.#ask(
        path,
        true,
        (inode) => inode?.type === "file" && (inode.mode & 0o111) !== 0,
      );
      if (isProgram === true) return path;
      if (isProgram === undefined) return undefined;
    }
    return "";
  }

  #ask(path: string, followLast: boolean, answerFor: (inode: Inode | undefined) => Status): Status {
    const wanted = path.startsWith("/") ? parseTreePath(path as ByteString) : undefined;
    if (wanted === undefined || VIRTUAL.test(wanted)) return undefined;
    const answers = this.#trees.map((tree) => {
      const resolved = resolvePath(tree, wanted, followLast);
      return resolved === undefined || VIRTUAL.test(resolved) ? undefined : answerFor(tree.get(resolved));
    });
    return answers.length === 0 ? undefined : answers.reduce(joinStatus);
  }
}

function answer(operator: string, inode: Inode): Status {
  switch (operator) {
    case "-e":
    case "-r":
      return true;
    case "-f":
      return inode.type === "file";
    case "-d":
      return inode.type === "dir";
    case "-x":
      return inode.type === "dir" || (inode.mode & 0o111) !== 0;
    case "-s":
      return inode.type === "file" ? contentSize(inode.content) > 0 : undefined;
    case "-b":
      return inode.type === "block";
    case "-c":
      return inode.type === "char";
    case "-p":
      return inode.type === "fifo";
    case "-S":
      return inode.type === "socket";
    case "-u":
      return (inode.mode & 0o4000) !== 0;
    case "-g":
      return (inode.mode & 0o2000) !== 0;
    case "-k":
      return (inode.mode & 0o1000) !== 0;
    default:
      return undefined;
  }
}
