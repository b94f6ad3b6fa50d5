// The runner: goes through the cases, has each computed by its category, judges every output, makes the report.
import { type Gpu, OptionError } from "../src/index.ts";
import { categories } from "./categories/index.ts";
import type { Category, Outcome } from "./category.ts";
import { type Case, type Goldens, type ManifestCase, openGoldens } from "./goldens.ts";
import {
  type Actual,
  failed,
  type Summary as GradientSummary,
  type Judgement,
  judge,
  judgeEqual,
  judgeSummary,
} from "./judge.ts";
import { toNumber } from "./manifest.ts";
import { KINK, type Report, type Row, summarise, toRow } from "./report.ts";

export interface Progress {
  /** Cases that are done, of how many. */
  readonly done: number;
  readonly total: number;
  /** The case that was just judged, and its rows. */
  readonly case: string;
  readonly rows: readonly Row[];
}

export interface RunOptions {
  /** A folder (Node) or a URL of golden data, or what `openGoldens` made of one. */
  readonly goldens: string | URL | Goldens;
  /** Only cases whose id or category it matches. */
  readonly filter?: RegExp | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Stops the run behind the case at work: the report has the cases that were judged. */
  readonly signal?: AbortSignal | undefined;
}

/** Error that the kink rule allows a gradient. */
const KINK_ERROR = 3e-3;

/** The cases whose id or category matches. @throws OptionError if there are none. */
export function choose({ cases, where }: Goldens, filter?: RegExp): readonly ManifestCase[] {
  const chosen = cases.filter(
    ({ id, category }) => !filter || id.search(filter) >= 0 || category.search(filter) >= 0,
  );
  if (chosen.length) return chosen;
  throw new OptionError(`parity: no case of ${where}${filter ? ` matches ${filter}` : ""}`);
}

/**
 * Computes and judges all cases, or those that match. A case that cannot be run is a failing row, not an exception.
 *
 * @throws FormatError if the goldens cannot be read, OptionError if the filter matches no case.
 */
export async function run(gpu: Gpu, options: RunOptions): Promise<Report> {
  const { goldens: given } = options;
  const goldens =
    typeof given === "string" || given instanceof URL ? await openGoldens(given) : given;
  const chosen = choose(goldens, options.filter);
  const all: Row[] = [];
  let done = 0;
  for (const entry of chosen) {
    if (options.signal?.aborted) break;
    const rows = await runCase(gpu, entry, goldens);
    all.push(...rows);
    done++;
    options.onProgress?.({ done, total: chosen.length, case: entry.id, rows });
  }
  const { kind, description, vendor, architecture, device } = gpu.info;
  const parts = [vendor, architecture, device].filter(Boolean).join(" "); // browsers describe nothing
  const summary = summarise(all, done);
  return { adapter: `${description || parts || "unnamed"} (${kind})`, summary, rows: all };
}

async function runCase(gpu: Gpu, entry: ManifestCase, goldens: Goldens): Promise<Row[]> {
  const row = (output: string, judgement: Judgement) =>
    toRow({ category: entry.category, case: entry.id, output }, judgement);
  const category = Object.hasOwn(categories, entry.category)
    ? categories[entry.category]
    : undefined;
  if (!category) return [row("*", failed("f64", `unknown category ${entry.category}`))];
  try {
    const given = await goldens.readCase(entry.id);
    const rows = filledRows(given).map(([output, judgement]) => row(output, judgement));
    const problems = [...given.problems, ...unknownExtras(given, category)];
    if (problems.length) {
      rows.push(...problems.map((problem) => row("*", failed("f64", problem))));
      return rows;
    }
    const outcome = await category.run(gpu, given, goldens);
    rows.push(...judgeOutcome(given, outcome, category));
    if (rows.length || isProblem(entry.id, goldens)) return rows;
    return [row("*", failed("f64", "the case has nothing to judge"))];
  } catch (error) {
    return [row("*", failed("f64", error instanceof Error ? error.message : String(error)))];
  }
}

/** The case that only holds inputs of others: it gives no row and does not fail for it. */
const isProblem = (id: string, goldens: Goldens) =>
  id === "opt-problem" || goldens.cases.some(({ config }) => config.inputs_of === id);

/** Inputs that are stored and also made by rule: ours against what is stored, bit for bit. */
function filledRows(given: Case): [string, Judgement][] {
  return Object.entries(given.stored).map(([name, { data }]) => {
    const ours = given.in[name]?.data ?? [];
    return [`in/${name}`, judgeEqual(ours, data)];
  });
}

function unknownExtras(given: Case, { extra = [], side, formulas }: Category): string[] {
  const unknown = Object.keys(given.extra).filter(
    (key) => key !== "f32_f64_differ_by_design" && !extra.includes(key),
  );
  const problems = unknown.map((key) => `unknown key ${key}`);
  if (!formulas)
    problems.push(...Object.keys(given.formulas).map((name) => `unknown formula of input ${name}`));
  if (given.side !== null && !side) problems.push("unknown side JSON");
  return problems;
}

function judgeOutcome(given: Case, outcome: Outcome, category: Category): Row[] {
  const byDesign = "f32_f64_differ_by_design" in given.extra;
  const special = new Map(Object.entries(outcome.judged ?? {}));
  const found: { output: string; judgement: Judgement }[] = [];
  for (const [output, expected] of Object.entries(given.out)) {
    const own = special.get(output);
    special.delete(output);
    if (own) found.push({ output, judgement: own });
    else if (!outcome.unjudged?.includes(output)) {
      const actual = Object.hasOwn(outcome.outputs, output) ? outcome.outputs[output] : undefined;
      const skip = outcome.skip?.(output);
      const judgement = judge(actual, expected, { byDesign, ...(skip ? { skip } : {}) });
      found.push({ output, judgement });
    }
  }
  for (const [output, judgement] of special) found.push({ output, judgement });
  if (category.side === "gradients" && given.side !== null) {
    for (const [name, summary] of Object.entries(given.side as object)) {
      const actual = outcome.gradients?.[name];
      found.push({ output: `d/p/${name}`, judgement: judgeGradient(actual, summary, byDesign) });
    }
  }
  const isGradient = (output: string) => output.startsWith("d/");
  const valuesPass = found.every((f) => isGradient(f.output) || f.judgement.pass);
  const mayKink = outcome.kinks === true && valuesPass;
  return found.map(({ output, judgement }) => {
    const kink = mayKink && !judgement.pass && isGradient(output) && judgement.e <= KINK_ERROR;
    const verdict = kink ? { ...judgement, pass: true, note: KINK } : judgement;
    return toRow({ category: given.category, case: given.id, output }, verdict);
  });
}

const SUMMARY_KEYS = "k l2_f32 l2_f64 rel samples_f32 samples_f64 shape sum_f32 sum_f64".split(" ");

/** One parameter of a side JSON. */
function judgeGradient(actual: Actual | undefined, given: unknown, byDesign: boolean): Judgement {
  if (typeof given !== "object" || given === null) return failed("samples", "is not an object");
  const side = given as Record<string, unknown>;
  const unknown = Object.keys(side).filter((key) => !SUMMARY_KEYS.includes(key));
  if (unknown.length) return failed("samples", `unknown key ${unknown.join(", ")}`);
  if (!actual) return failed("samples", "missing: this runner gives no such gradient");
  if (`${actual.shape}` !== `${side.shape}`) {
    return failed("samples", `shape [${actual.shape}], expected [${side.shape}]`);
  }
  const figures = (precision: "f32" | "f64") => {
    const samples = side[`samples_${precision}`];
    if (!Array.isArray(samples)) return null;
    const [l2, sum] = [toNumber(side[`l2_${precision}`]), toNumber(side[`sum_${precision}`])];
    return { l2, sum, samples: samples.map(toNumber) };
  };
  const summary: GradientSummary = {
    k: toNumber(side.k),
    f32: figures("f32"),
    f64: figures("f64"),
    rel: side.rel === undefined ? null : toNumber(side.rel),
  };
  return judgeSummary(actual.data, summary, { byDesign });
}
