// Copies a part of parity/golden for the page "Measure": cases that take seconds each, since a run stops between cases,
// and megabytes together. The case list is the manifest's own, cut down.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Categories that are copied whole, and cases of others. */
const CATEGORIES = ["fill", "activations", "wsconv", "modules", "nfblock", "optim", "groups"];
const CASES = ["random", "init-tiny-eval", "init-tiny-train", "nfnet-tiny-trainmode"];
const NETS = /^nfnet-tiny/;

/** Copies from a folder of goldens into another. @throws Error if it has nothing of a part of the choice. */
export function copyGoldens(from, to) {
  const { cases, ...rest } = JSON.parse(readFileSync(join(from, "manifest.json"), "utf8"));
  const chosen = cases.filter(
    ({ id, category }) => CATEGORIES.includes(category) || CASES.includes(id) || NETS.test(id),
  );
  const found = new Set(chosen.flatMap(({ id, category }) => [id, category]));
  const missing = [...CATEGORIES, ...CASES].filter((name) => !found.has(name));
  if (missing.length > 0) throw new Error(`measure: ${from} has no case of ${missing.join(", ")}`);
  mkdirSync(to, { recursive: true });
  for (const { file, side } of chosen)
    for (const name of [file, side]) if (name) cpSync(join(from, name), join(to, name));
  writeFileSync(join(to, "manifest.json"), JSON.stringify({ ...rest, cases: chosen }));
}
