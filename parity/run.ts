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
import { type Report, type Row, summarise, toRow } from "./report.ts";

export interface Progress {
  readonly done: number;
  readonly total: number;
  /** The case that was just judged, and its rows. */
  readonly case: string;
  readonly rows: readonly Row[];
}

export interface RunOptions {
  /** A folder (Node) or a URL of golden data. */
  readonly goldens: string | URL;
  /** Only cases whose id or category it matches. */
  readonly filter?: RegExp | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** Error that the kink rule allows a gradient. */
const KINK = 3e-3;

/**
 * Computes and judges all cases, or those that match. A case that cannot be run is a failing row, not an exception.
 *
 * @throws FormatError if the goldens cannot be read, OptionError if the filter matches no case.
 */
export async function run(gpu: Gpu, options: RunOptions): Promise<Report> {
  const started = performance.now();
  const goldens = await openGoldens(options.goldens);
  const { filter } = options;
  const chosen = goldens.cases.filter(
    ({ id, category }) => !filter || id.search(filter) >= 0 || category.search(filter) >= 0,
  );
  if (chosen.length === 0)
    throw new OptionError(`parity: no case of ${goldens.where} matches ${filter}`);
  const all: Row[] = [];
  for (const [i, entry] of chosen.entries()) {
    const rows = await runCase(gpu, entry, goldens);
    all.push(...rows);
    options.onProgress?.({ done: i + 1, total: chosen.length, case: entry.id, rows });
  }
  const { kind, description } = gpu.info;
  return {
    goldens: goldens.where,
    adapter: `${description} (${kind})`,
    seconds: (performance.now() - started) / 1000,
    rows: all,
    summary: summarise(all),
  };
}

async function runCase(gpu: Gpu, entry: ManifestCase, goldens: Goldens): Promise<Row[]> {
  const row = (output: string, judgement: Judgement) =>
    toRow({ category: entry.category, case: entry.id, output }, judgement);
  const category = Object.hasOwn(categories, entry.category)
    ? categories[entry.category]
    : undefined;
  if (!category) return [row("*", failed("f64", "not supported yet"))];
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
    if (rows.length) return rows;
    const users = usersOf(entry.id, goldens);
    if (users === 0) return [row("*", failed("f64", "the case has nothing to judge"))];
    const note = `inputs of ${users} other cases`;
    return [{ ...row("*", { ...judgeEqual([], []), note }), verdict: "unjudged" }];
  } catch (error) {
    return [row("*", failed("f64", error instanceof Error ? error.message : String(error)))];
  }
}

const usersOf = (id: string, goldens: Goldens) =>
  goldens.cases.filter(({ config }) => config.inputs_of === id).length;

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
  const where = (output: string) => ({ category: given.category, case: given.id, output });
  const byDesign = "f32_f64_differ_by_design" in given.extra;
  const own = new Map(Object.entries(outcome.judged ?? {}));
  const found: { output: string; judgement: Judgement; unjudged?: boolean }[] = [];
  for (const [output, expected] of Object.entries(given.out)) {
    const reason = outcome.unjudged?.[output];
    const special = own.get(output);
    own.delete(output);
    if (special) found.push({ output, judgement: special });
    else if (reason !== undefined) {
      found.push({ output, judgement: failed("f64", reason), unjudged: true });
    } else {
      const actual = Object.hasOwn(outcome.outputs, output) ? outcome.outputs[output] : undefined;
      const skip = outcome.skip?.(output);
      const judgement = judge(actual, expected, { byDesign, ...(skip ? { skip } : {}) });
      found.push({ output, judgement });
    }
  }
  for (const [output, judgement] of own) found.push({ output, judgement });
  if (category.side === "gradients" && given.side !== null) {
    for (const [name, summary] of Object.entries(given.side as object)) {
      const actual = outcome.gradients?.[name];
      found.push({ output: `d/p/${name}`, judgement: judgeGradient(actual, summary, byDesign) });
    }
  }
  const isGradient = (output: string) => output.startsWith("d/");
  const valuesPass = found.every((f) => f.unjudged || isGradient(f.output) || f.judgement.pass);
  const mayKink = outcome.kinks === true && valuesPass;
  return found.map(({ output, judgement, unjudged }) => {
    if (unjudged) return toRow(where(output), judgement, "unjudged");
    const kink = mayKink && !judgement.pass && isGradient(output) && judgement.e <= KINK;
    return toRow(where(output), judgement, kink ? "kink" : undefined);
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
