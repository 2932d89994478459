import { AtomfsError } from "../../core/errors.ts";
import { becomeSubreaper } from "../../sys/pid.ts";
import { ForegroundConsole } from "../foreground-console.ts";
import type { CreateOptions } from "../invocation.ts";
import type { Session } from "../session.ts";
import { type ContainerRecord, createDirectory, type Held, type ProcessName } from "../state.ts";
import { ForwardedSignals, waitForAdopted } from "../waiting.ts";
import { createHeld, type Maker } from "./create.ts";
import { deleteContainer, destroy } from "./delete.ts";
import { startHeld } from "./start.ts";

/**
 * `run ID`: create, start, and unless detached wait and delete.
 * @returns the container's exit code, 128 + signal if a signal ended it
 */
export async function runContainer(
  session: Session,
  options: CreateOptions & { readonly detach: boolean; readonly keep: boolean },
  maker: Maker,
): Promise<number> {
  if (options.detach) {
    await createAndStart(session, options, maker);
    return 0;
  }
  // The container's init becomes this process's child, so that its exit code can be known.
  becomeSubreaper();
  using signals = new ForwardedSignals();
  let console: ForegroundConsole | undefined;
  const openConsole = (): ForegroundConsole => {
    console = new ForegroundConsole();
    return console;
  };
  try {
    const init = await createAndStart(session, options, maker, openConsole);
    await console?.attach();
    const code = await waitForAdopted(init, signals, console);
    if (!options.keep) await deleteContainer(session, { id: options.id, force: true });
    return code;
  } finally {
    await console?.[Symbol.asyncDispose]();
  }
}

async function createAndStart(
  session: Session,
  options: CreateOptions,
  maker: Maker,
  openConsole?: () => ForegroundConsole,
): Promise<ProcessName> {
  using held = createDirectory(session.global.root, options.id);
  const record = await createHeld(session, held, options, maker, openConsole);
  if (record.init === undefined) throw new AtomfsError("failed", `container ${options.id} has no init`);
  await startOrDestroy(session, held, record);
  return record.init;
}

async function startOrDestroy(session: Session, held: Held, record: ContainerRecord): Promise<void> {
  try {
    await startHeld(session, held, record);
  } catch (error) {
    await destroy(session, held, record.id, record);
    throw error;
  }
}
