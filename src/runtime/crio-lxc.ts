import { logTarget, parseInvocation } from "./argv.ts";
import { oneLine, writeLog } from "./failure-log.ts";
import type { Invocation } from "./invocation.ts";
import { VERB_NAMES } from "./option-tables.ts";
import { ordinaryMaker } from "./ordinary-maker.ts";
import { openSession, type Session } from "./session.ts";
import { createContainer, type Maker } from "./verbs/create.ts";
import { deleteContainer } from "./verbs/delete.ts";
import { printEvents } from "./verbs/events.ts";
import { execInContainer } from "./verbs/exec.ts";
import { printFeatures } from "./verbs/features.ts";
import { killContainer } from "./verbs/kill.ts";
import { pauseContainer, resumeContainer } from "./verbs/pause.ts";
import { printProcesses } from "./verbs/ps.ts";
import { runContainer } from "./verbs/run.ts";
import { writeSpec } from "./verbs/spec.ts";
import { startContainer } from "./verbs/start.ts";
import { printList, printState } from "./verbs/state.ts";
import { updateContainer } from "./verbs/update.ts";
import { SPEC_VERSION, VERSION } from "./version.ts";

/** What runc answers when `exec` itself fails; other failures are 1. */
const EXEC_FAILED = 255;

/**
 * The whole command `crio-lxc`.
 * @param argv without the program's name
 * @returns the exit code
 */
export async function runCrioLxc(argv: readonly string[], maker: Maker = ordinaryMaker()): Promise<number> {
  let verb: string | undefined;
  try {
    const { global, invocation } = parseInvocation(argv);
    verb = invocation.verb;
    return await perform(openSession(global), invocation, maker);
  } catch (error) {
    const message = oneLine(error instanceof Error ? error.message : String(error));
    writeLog(logTarget(argv), "error", message);
    process.stderr.write(`${message}\n`);
    return verb === "exec" ? EXEC_FAILED : 1;
  }
}

async function perform(session: Session, invocation: Invocation, maker: Maker): Promise<number> {
  switch (invocation.verb) {
    case "create":
      return createContainer(session, invocation, maker);
    case "run":
      return runContainer(session, invocation, maker);
    case "start":
      return startContainer(session, invocation.id);
    case "state":
      return printState(session, invocation.id);
    case "kill":
      return killContainer(session, invocation);
    case "delete":
      return deleteContainer(session, invocation);
    case "list":
      return printList(session, invocation);
    case "ps":
      return printProcesses(session, invocation);
    case "pause":
      return pauseContainer(session, invocation.id);
    case "resume":
      return resumeContainer(session, invocation.id);
    case "events":
      return printEvents(session, invocation);
    case "features":
      return printFeatures(session);
    case "spec":
      return writeSpec(invocation.bundle);
    case "version":
      session.print(`crio-lxc version ${VERSION}\nspec: ${SPEC_VERSION}`);
      return 0;
    case "help":
      session.print(helpText(invocation.of));
      return 0;
    case "exec":
      return execInContainer(session, invocation);
    case "update":
      return updateContainer(session, invocation);
  }
}

function helpText(verb: string | undefined): string {
  const usage =
    verb === undefined
      ? "crio-lxc [GLOBAL OPTIONS] COMMAND [OPTIONS] ID"
      : `crio-lxc [GLOBAL OPTIONS] ${verb} [OPTIONS]`;
  return `Usage: ${usage}\nCommands: ${VERB_NAMES.join(" ")}\nSee docs/crio-lxc.md.`;
}
