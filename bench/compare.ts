// Two runs side by side: ratios, how sure they are, and what moved beyond that. Reads reports, times nothing.
import { FormatError } from "../src/index.ts";
import { aligned, digits, grid, ms } from "./report.ts";
import { adapterOf, type Report, type Row } from "./row.ts";

export type Verdict = "faster" | "slower" | "same";

/** One case of both runs. Ratios are the old time over the new one: above 1 is faster now. */
export interface Change {
  readonly name: string;
  readonly before: number;
  readonly after: number;
  readonly ratio: number;
  /** Where the ratio may lie, by the quartiles of both runs. */
  readonly low: number;
  readonly high: number;
  /** Of the least times. */
  readonly ratioMin: number;
  /** `same`: 1 lies in between. */
  readonly verdict: Verdict;
}

export interface Comparison {
  readonly changes: readonly Change[];
  /** Cases that have a time in only one of the runs. */
  readonly onlyBefore: readonly string[];
  readonly onlyAfter: readonly string[];
  /** What makes the two runs hard to compare. */
  readonly warnings: readonly string[];
  /** The adapter's own peaks, new over old. */
  readonly peak: { readonly gflops: number; readonly copyGBs: number };
}

/** The peaks of two runs on one quiet machine differ by less. */
const PEAK_DRIFT = 0.1;

/** Compares the cases that both runs have timed. */
export function compare(before: Report, after: Report): Comparison {
  const old = timedRows(before);
  const now = timedRows(after);
  const changes = [...now].flatMap(([name, row]) => {
    const was = old.get(name);
    return was ? [changeOf(name, was, row)] : [];
  });
  const missing = (a: typeof old, b: typeof old) => [...a.keys()].filter((name) => !b.has(name));
  const peak = {
    gflops: after.peak.gflops / before.peak.gflops,
    copyGBs: after.peak.copyGBs / before.peak.copyGBs,
  };
  return {
    changes,
    onlyBefore: missing(old, now),
    onlyAfter: missing(now, old),
    warnings: warningsOf(before, after, peak),
    peak,
  };
}

type Time = NonNullable<Row["time"]>;
const timedRows = ({ rows }: Report): Map<string, Time> =>
  new Map(rows.flatMap(({ name, time }) => (time ? [[name, time] as const] : [])));

function changeOf(name: string, was: Time, is: Time): Change {
  const ratio = was.median / is.median;
  // Relative errors of a quotient add as squares.
  const part = Math.hypot(was.spread / was.median, is.spread / is.median);
  const [low, high] = [ratio / (1 + part), ratio * (1 + part)];
  const verdict = low > 1 ? "faster" : high < 1 ? "slower" : "same";
  const ratioMin = was.min / is.min;
  return {
    ...{ name, before: was.median, after: is.median, ratio, low, high, ratioMin },
    verdict,
  };
}

function warningsOf(before: Report, after: Report, peak: Comparison["peak"]): string[] {
  const [a, b] = [adapterOf(before.adapter), adapterOf(after.adapter)];
  const differ = (what: string, x: string, y: string) =>
    x === y ? [] : [`the ${what}s differ: ${x || "unknown"}, now ${y || "unknown"}`];
  const drift = (what: string, ratio: number) =>
    Math.abs(Math.log(ratio)) < Math.log1p(PEAK_DRIFT)
      ? []
      : [`the adapter's own ${what} is x${digits(ratio)} what it was: compare percents, not times`];
  const quick = ({ method }: Report) => (method.quick ? "a quick run" : "a full run");
  const names = differ("adapter", a.adapter, b.adapter);
  return [
    ...names,
    ...(names.length ? [] : differ("driver", a.driver, b.driver)),
    ...drift("multiply-add peak", peak.gflops),
    ...drift("copy bandwidth", peak.copyGBs),
    ...(quick(before) === quick(after) ? [] : [`${quick(before)}, now ${quick(after)}`]),
  ];
}

const HEAD = ["case", "before ms", "now ms", "ratio", "from", "to", "of minima", ""];
const cells = ({ name, before, after, ratio, low, high, ratioMin, verdict }: Change): string[] => [
  ...[name, ms(before), ms(after), `x${digits(ratio)}`, digits(low), digits(high)],
  ...[`x${digits(ratioMin)}`, verdict === "same" ? "" : verdict],
];
const LEFT = HEAD.map((_, i) => i === 0 || i === HEAD.length - 1);

/** A comparison in columns. What moved beyond its spread says `faster` or `slower`. */
export function comparisonTable(comparison: Comparison): string {
  const { changes } = comparison;
  const body = changes.length ? aligned(HEAD, changes.map(cells), LEFT) : [];
  return [...body, ...summary(comparison)].join("\n");
}

/** The same for a document. */
export function comparisonMarkdown(comparison: Comparison): string {
  const body = comparison.changes.length
    ? [...grid(HEAD, comparison.changes.map(cells), LEFT), ""]
    : [];
  return [...body, ...summary(comparison).map((text) => `- ${text}`), ""].join("\n");
}

function summary({ changes, onlyBefore, onlyAfter, warnings }: Comparison): string[] {
  const count = (verdict: Verdict) => changes.filter((c) => c.verdict === verdict).length;
  const mean = Math.exp(changes.reduce((sum, c) => sum + Math.log(c.ratio), 0) / changes.length);
  const lists = (names: readonly string[], what: string) =>
    names.length
      ? [
          `${names.length} ${what}: ${names.slice(0, 3).join(", ")}${names.length > 3 ? ", ..." : ""}`,
        ]
      : [];
  return [
    changes.length
      ? `${count("faster")} faster, ${count("slower")} slower, ${count("same")} within their spread; geometric mean x${digits(mean)}`
      : "no case has a time in both runs",
    ...lists(onlyBefore, "only in the old run"),
    ...lists(onlyAfter, "only in the new run"),
    ...warnings.map((text) => `WARNING: ${text}`),
  ];
}

/**
 * A report that `toJson` wrote.
 * @throws FormatError if the text is not JSON or not such a report; `file` is named in it.
 */
export function readReport(text: string, file: string): Report {
  const bad = (why: string, cause?: unknown): never => {
    throw new FormatError(`${file}: expected a report of nfgrad bench --json: ${why}`, { cause });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    bad((cause as Error).message, cause);
  }
  const object = (x: unknown, where: string): Record<string, unknown> =>
    typeof x === "object" && x !== null && !Array.isArray(x)
      ? (x as Record<string, unknown>)
      : bad(`${where} is no object`);
  const fields = (x: unknown, where: string, type: string, ...names: string[]) => {
    const o = object(x, where);
    for (const name of names) {
      const v = o[name];
      if (typeof v !== type || (type === "number" && !Number.isFinite(v)))
        bad(`${where}.${name} is ${v === undefined ? "missing" : `no ${type}`}`);
    }
    return o;
  };
  const above0 = (o: Record<string, unknown>, where: string, ...names: string[]) => {
    for (const name of names)
      if (!((o[name] as number) > 0)) bad(`${where}.${name} is not above 0`);
  };
  const report = object(value, "the file");
  if (report.format !== 1)
    bad(`its format is ${JSON.stringify(report.format) ?? "missing"}, not 1`);
  fields(
    report.adapter,
    "adapter",
    "string",
    "kind",
    "vendor",
    "architecture",
    "device",
    "description",
  );
  above0(fields(report.peak, "peak", "number", "gflops", "copyGBs"), "peak", "gflops", "copyGBs");
  fields(report.method, "method", "boolean", "quick");
  if (!Array.isArray(report.rows)) bad("rows is no list");
  for (const [i, row] of (report.rows as unknown[]).entries()) {
    const where = `rows[${i}]`;
    const { time, failed } = fields(row, where, "string", "name", "family");
    if (time === undefined && typeof failed === "string") continue;
    const stats = fields(time, `${where}.time`, "number", "median", "min", "spread");
    above0(stats, `${where}.time`, "median", "min");
    if ((stats.spread as number) < 0) bad(`${where}.time.spread is negative`);
  }
  return report as unknown as Report;
}
