import fc from "fast-check";

/**
 * Property tests and fuzz targets use the same inputs in every run, so that a failure is a change's own and can be
 * repeated. TEST_SEED=random (or a number) looks elsewhere; the seed is printed, so what it finds can be repeated.
 */
function chooseSeed(): number {
  const wanted = process.env["TEST_SEED"] ?? "20261123";
  if (wanted !== "random") return Number(wanted);
  const seed = Date.now() % 2 ** 31;
  console.error(`TEST_SEED=${seed}`);
  return seed;
}

const seed = chooseSeed();
process.env["TEST_SEED"] = String(seed);
fc.configureGlobal({ seed });
