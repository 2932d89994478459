import { afterAll } from "bun:test";

/** All of the player's tests once more, on a build that ends at the first wrong access or undefined behaviour. */
process.env["PLAYER_BUILD"] = "sanitized";
for (const file of new Bun.Glob("player-*.test.ts").scanSync({ cwd: import.meta.dir })) {
  // With the query it is a module of its own, should several files run in one process.
  if (file !== "player-sanitized.test.ts") await import(`./${file}?sanitized`);
}
afterAll(() => {
  delete process.env["PLAYER_BUILD"];
});
