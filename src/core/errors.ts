/**
 * Every failure a user can meet has a kind, and every kind has a stable exit code (docs/cli.md).
 * The message says what and why; hints say what to do next.
 */
export const EXIT_CODES = {
  /** Something failed that no other kind describes. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** The work was done where it could be; some images are blocked or some proof is missing. */
  blocked: 3,
  /** The named image, fix, package or container does not exist. */
  "not-found": 4,
  /** The store has moved on since the plan was made, or another command holds it. */
  stale: 5,
  /** The machine lacks something: root, a kernel feature, a tool, space, the network. */
  unsupported: 6,
  /** Input that breaks its format's rules: an image, package, index or store file. */
  "bad-data": 7,
  /** A digest or signature is wrong, or signed data is out of date. Nothing was changed. */
  untrusted: 8,
  interrupted: 130,
} as const;

export type ErrorKind = keyof typeof EXIT_CODES;

export class AtomfsError extends Error {
  readonly kind: ErrorKind;
  readonly hints: readonly string[];

  constructor(
    kind: ErrorKind,
    message: string,
    options: { hints?: readonly string[]; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AtomfsError";
    this.kind = kind;
    this.hints = options.hints ?? [];
  }

  get exitCode(): number {
    return EXIT_CODES[this.kind];
  }
}

export function assertNever(value: never): never {
  throw new TypeError(`Unhandled case: ${JSON.stringify(value)}`);
}
