import { AtomfsError } from "../core/errors.ts";
import { writeAll } from "../sys/files.ts";
import { logTarget, parseInvocation } from "./argv.ts";
import { attachAhead } from "./attach-ahead.ts";
import { flushLog, oneLine, writeLog } from "./failure-log.ts";
import type { Invocation } from "./invocation.ts";
import { VERB_NAMES } from "./option-tables.ts";
import { openSession, type Session } from "./session.ts";
import type { Maker } from "./verbs/create.ts";
import { SPEC_VERSION, VERSION } from "./version.ts";

/** What runc answers when `exec` itself fails; other failures are 1. */
const EXEC_FAILED = 255;

const STDERR = 2;

/**
 * The whole command `crio-lxc`.
 * @param argv without the program's name
 * @param maker makes containers; undefined: the ordinary one
 * @returns the exit code
 */
export async function runCrioLxc(argv: readonly string[], maker?: Maker): Promise<number> {
  let verb: string | undefined;
  try {
    const { global, invocation } = parseInvocation(argv);
    verb = invocation.verb;
    return await perform(openSession(global), invocation, maker);
  } catch (error) {
    const message = oneLine(error instanceof AtomfsError ? withHints(error) : messageOf(error));
    writeLog(logTarget(argv), "error", message);
    complain(message);
    return verb === "exec" ? EXEC_FAILED : 1;
  } finally {
    await flushLog();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function withHints({ message, hints }: AtomfsError): string {
  return hints.length === 0 ? message : `${message} (hint: ${hints.join("; ")})`;
}

function complain(message: string): void {
  try {
    writeAll(STDERR, Buffer.from(`${message}\n`));
  } catch {
    // Nobody listens; the exit code says it too.
  }
}

/** Each verb is a program of its own: a call loads what it needs, since loading is most of what a short one takes. */
async function perform(session: Session, invocation: Invocation, maker: Maker | undefined): Promise<number> {
  switch (invocation.verb) {
    case "create": {
      attachAhead();
      const { createContainer } = await import("./verbs/create.ts");
      return createContainer(session, invocation, maker ?? (await loadMaker()));
    }
    case "run": {
      attachAhead();
      const { runContainer } = await import("./verbs/run.ts");
      return runContainer(session, invocation, maker ?? (await loadMaker()));
    }
    case "start": {
      const { startContainer } = await import("./verbs/start.ts");
      return startContainer(session, invocation.id);
    }
    case "state": {
      const { printState } = await import("./verbs/state.ts");
      return printState(session, invocation.id);
    }
    case "kill": {
      const { killContainer } = await import("./verbs/kill.ts");
      return killContainer(session, invocation);
    }
    case "delete": {
      const { deleteContainer } = await import("./verbs/delete.ts");
      return deleteContainer(session, invocation);
    }
    case "exec": {
      attachAhead();
      const { execInContainer } = await import("./verbs/exec.ts");
      return execInContainer(session, invocation);
    }
    case "list": {
      const { printList } = await import("./verbs/state.ts");
      return printList(session, invocation);
    }
    case "ps": {
      const { printProcesses } = await import("./verbs/ps.ts");
      return printProcesses(session, invocation);
    }
    case "pause": {
      const { pauseContainer } = await import("./verbs/pause.ts");
      return pauseContainer(session, invocation.id);
    }
    case "resume": {
      const { resumeContainer } = await import("./verbs/pause.ts");
      return resumeContainer(session, invocation.id);
    }
    case "update": {
      const { updateContainer } = await import("./verbs/update.ts");
      return updateContainer(session, invocation);
    }
    case "events": {
      const { printEvents } = await import("./verbs/events.ts");
      return printEvents(session, invocation);
    }
    case "features": {
      const { printFeatures } = await import("./verbs/features.ts");
      return printFeatures(session);
    }
    case "spec": {
      const { writeSpec } = await import("./verbs/spec.ts");
      return writeSpec(invocation.bundle);
    }
    case "version":
      session.print(`crio-lxc version ${VERSION}\nspec: ${SPEC_VERSION}`);
      return 0;
    case "help":
      session.print(helpText(invocation.of));
      return 0;
  }
}

async function loadMaker(): Promise<Maker> {
  const { ordinaryMaker } = await import("./ordinary-maker.ts");
  return ordinaryMaker();
}

function helpText(verb: string | undefined): string {
  const usage =
    verb === undefined
      ? "crio-lxc [GLOBAL OPTIONS] COMMAND [OPTIONS] ID"
      : `crio-lxc [GLOBAL OPTIONS] ${verb} [OPTIONS]`;
  return `Usage: ${usage}\nCommands: ${VERB_NAMES.join(" ")}\nSee docs/crio-lxc.md.`;
}
