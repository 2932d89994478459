/**
 * What a program gets of the variables of a process, each "NAME=value": of a name that is there several times (engines append what
 * `exec --env` says to what the container has) the last one, in its place, as with runc from 1.3 on. An empty HOME is none.
 * @param home the user's home, asked for only if there is no HOME
 */
export function programEnvironment(env: readonly string[], home: () => string): string[] {
  const last = new Map(env.map((variable, i) => [nameOf(variable), i]));
  const kept = env.filter((variable, i) => last.get(nameOf(variable)) === i && variable !== "HOME=");
  return hasHome(env) ? kept : [...kept, `HOME=${home()}`];
}

/** Does the variable that counts say where home is? */
export function hasHome(env: readonly string[]): boolean {
  return (env.findLast((variable) => variable.startsWith("HOME=")) ?? "HOME=") !== "HOME=";
}

function nameOf(variable: string): string {
  return variable.split("=", 1)[0] ?? variable;
}
