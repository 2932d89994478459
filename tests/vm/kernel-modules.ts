/**
 * The files of modules and of all that they need, in an order in which insmod takes them. A module that the file does not
 * name is built into the kernel.
 * @param dependencies the text of modules.dep, as depmod writes it
 * @param names of modules, as their files are called, without ".ko"
 */
export function loadOrder(dependencies: string, names: readonly string[]): string[] {
  const needs = new Map<string, string[]>();
  for (const line of dependencies.split("\n")) {
    const [file, others] = line.split(":", 2);
    if (file !== undefined && others !== undefined)
      needs.set(
        file,
        others.split(" ").filter((each) => each !== ""),
      );
  }
  const order: string[] = [];
  const add = (file: string): void => {
    if (order.includes(file)) return;
    for (const needed of needs.get(file) ?? []) add(needed);
    if (!order.includes(file)) order.push(file);
  };
  for (const name of names) {
    const file = [...needs.keys()].find((each) => each.split("/").at(-1)?.split(".ko")[0] === name);
    if (file !== undefined) add(file);
  }
  return order;
}
