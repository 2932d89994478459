import { afterAll } from "bun:test";

/** All of the player's tests once more, on a build that ends at the first wrong access or undefined behaviour. */
process.env["PLAYER_BUILD"] = "sanitized";
// With the query it is a module of its own, should both files run in one process.
const tests = "./player.test.ts?sanitized";
await import(tests);
afterAll(() => {
  delete process.env["PLAYER_BUILD"];
});
