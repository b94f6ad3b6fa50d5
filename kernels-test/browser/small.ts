// Which cases stand for all kernels in the quick comparison: chosen by what each did in a whole run, kept in small.json,
// and checked by browser.test.ts, so that a new kernel cannot stay outside.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./browsers.ts";
import type { Result } from "./suite.ts";

export const SMALL = join(root, "kernels-test/browser/small.json");

/** The full names of the chosen cases. */
export const small = (): string[] => JSON.parse(readFileSync(SMALL, "utf8")) as string[];

/** Every entry point of every shader, by a kernel's label. */
export function shaderEntries(): string[] {
  const files = readdirSync(join(root, "shaders")).filter((f) => f.endsWith(".wgsl"));
  return files
    .flatMap((file) => {
      const text = readFileSync(join(root, "shaders", file), "utf8").replace(/\/\/[^\n]*/g, "");
      const found = text.matchAll(/@compute\b[^{;]*?\bfn\s+(\w+)/g);
      return [...found].map(([, entry]) => `shaders/${file}:${entry}`);
    })
    .sort();
}

/** The file of kernels-test/cases that a name begins with, or null. */
export const fileOf = (name: string): string | null => /^cases\/([\w.]+):/.exec(name)?.[1] ?? null;

/** What is slower, and no entry needs it, is no small case: nnMemory.ts is for `npm run test:all` alone. */
const SMALL_MS = 3000;
/** A pipeline costs SwiftShader's compiler about so much. */
const PIPELINE_MS = 300;
const cost = ({ pipelines, ms }: Result): number => PIPELINE_MS * pipelines + ms;

/**
 * Of each file the cheapest case that runs a kernel of the library (the cheapest of all if none does), and then, for what is still missing, again and
 * again the case with the most missing entries for its cost.
 */
export function choose(results: readonly Result[]): string[] {
  const entries = new Set(shaderEntries());
  const own = ({ kernels }: Result) => kernels.filter((k) => entries.has(k));
  const passed = results.filter((r) => r.error === null);
  const usable = passed.filter((r) => r.reads > 0 && own(r).length > 0);
  const chosen = new Map<string, Result>();
  const rank = (r: Result) => (usable.includes(r) ? 0 : 1e9) + cost(r);
  for (const r of passed) {
    const file = fileOf(r.name);
    const best = file && chosen.get(file);
    if (file && r.ms < SMALL_MS && (!best || rank(r) < rank(best))) chosen.set(file, r);
  }
  const names = new Set([...chosen.values()].map(({ name }) => name));
  for (const r of chosen.values()) for (const k of r.kernels) entries.delete(k);
  while (entries.size > 0) {
    const worth = (r: Result) => own(r).length / cost(r);
    const best = usable.reduce<Result | null>((b, r) => (!b || worth(r) > worth(b) ? r : b), null);
    if (!best || worth(best) === 0) throw new Error(`no case runs ${[...entries].join(", ")}`);
    names.add(best.name);
    for (const k of best.kernels) entries.delete(k);
  }
  return [...names].sort();
}
