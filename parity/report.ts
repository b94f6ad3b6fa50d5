// What a parity run found, as rows, as text and as JSON. Decides nothing: verdicts come from judge.ts and run.ts.
import type { Judgement } from "./judge.ts";

/** `kink`: passes because a relu or max pool may take the other branch; `unjudged`: the rule asks for no verdict. */
export type Verdict = "pass" | "kink" | "fail" | "unjudged";

/** One output of one case. */
export interface Row extends Omit<Judgement, "pass"> {
  readonly category: string;
  readonly case: string;
  readonly output: string;
  readonly verdict: Verdict;
  /** Whose error against f64 is larger; null where there is no such comparison. */
  readonly larger: "ours" | "JAX" | "equal" | null;
}

export interface Summary {
  readonly cases: number;
  readonly rows: number;
  readonly passed: number;
  readonly kinks: number;
  readonly failed: number;
  readonly unjudged: number;
  /** Over all rows that have a ratio. */
  readonly medianRatio: number | null;
  readonly worstRatio: number | null;
  /** The case and output of the worst ratio. */
  readonly worst: string | null;
}

export interface Report {
  readonly goldens: string;
  readonly adapter: string;
  readonly seconds: number;
  readonly rows: readonly Row[];
  readonly summary: Summary;
}

/** Makes a row of a judgement; `kink` turns a failure that the kink rule allows into a pass. */
export function toRow(
  where: { category: string; case: string; output: string },
  judgement: Judgement,
  verdict: Verdict = judgement.pass ? "pass" : "fail",
): Row {
  const { pass: _, ...figures } = judgement;
  const { e, own, rule } = judgement;
  const comparable = own !== null && rule !== "f32" && Number.isFinite(e) && Number.isFinite(own);
  const larger = !comparable ? null : e > own ? "ours" : e < own ? "JAX" : "equal";
  return { ...where, ...figures, verdict, larger };
}

/** Counts, and the median and worst ratio over all outputs. */
export function summarise(rows: readonly Row[]): Summary {
  const count = (verdict: Verdict) => rows.filter((row) => row.verdict === verdict).length;
  const rated = rows.filter((row) => row.ratio !== null);
  const order = (ratio: number) => (Number.isNaN(ratio) ? Number.POSITIVE_INFINITY : ratio);
  rated.sort((a, b) => order(a.ratio as number) - order(b.ratio as number));
  const middle = rated.length / 2;
  const at = (i: number) => rated[i]?.ratio ?? null;
  const low = at(Math.ceil(middle) - 1);
  const worst = rated.at(-1);
  return {
    cases: new Set(rows.map((row) => row.case)).size,
    rows: rows.length,
    passed: count("pass"),
    kinks: count("kink"),
    failed: count("fail"),
    unjudged: count("unjudged"),
    medianRatio: low === null ? null : (low + (at(Math.floor(middle)) as number)) / 2,
    worstRatio: worst?.ratio ?? null,
    worst: worst ? `${worst.case} ${worst.output}` : null,
  };
}

const COLUMNS = ["category", "case", "output", "e", "own", "ratio", "max ULP", "verdict", "larger"];

/**
 * The report as text: one line a case (its worst output), every row that fails or says `kink`, and the summary.
 * `all` gives a line for every output instead. `e` is our relative L2 error against f64, `own` is JAX's.
 */
export function table(report: Report, { all = false }: { all?: boolean } = {}): string {
  const byCase = new Map<string, Row[]>();
  for (const row of report.rows) byCase.set(row.case, (byCase.get(row.case) ?? []).concat(row));
  const shown = all
    ? report.rows
    : [...byCase.values()].flatMap((rows) => {
        const special = rows.filter((row) => row.verdict === "fail" || row.verdict === "kink");
        return special.length ? special : rows.toSorted(worstFirst).slice(0, 1);
      });
  const cells = shown.map((row) => {
    const others = (byCase.get(row.case)?.length ?? 0) - 1;
    const alone = all || others === 0 || row.verdict === "fail" || row.verdict === "kink";
    return [
      row.category,
      row.case,
      alone ? row.output : `${row.output} (worst of ${others + 1})`,
      figure(row.e),
      figure(row.own),
      row.ratio === null ? "" : row.ratio.toFixed(2),
      row.maxUlp === null ? "" : String(row.maxUlp),
      row.verdict,
      row.larger ?? "",
      row.note,
    ];
  });
  const lines = align([[...COLUMNS, ""], ...cells]);
  return [...lines, "", summaryText(report)].join("\n");
}

/** Three lines: counts, ratios, adapter. */
export function summaryText({ summary: s, adapter, seconds, goldens }: Report): string {
  const ratio = (value: number | null) => (value === null ? "none" : value.toFixed(2));
  const worst = s.worst ? ` (${s.worst})` : "";
  return [
    `${s.rows} outputs of ${s.cases} cases in ${goldens}: ${s.passed} pass, ${s.kinks} say kink, ` +
      `${s.failed} fail, ${s.unjudged} not judged`,
    `error over JAX's own: median ${ratio(s.medianRatio)}, worst ${ratio(s.worstRatio)}${worst}, at most 8`,
    `${adapter}, ${seconds.toFixed(1)} s`,
  ].join("\n");
}

/** The report as JSON; numbers that JSON does not have are strings, as in the goldens. */
export function toJson(report: Report): string {
  const replace = (_: string, value: unknown) => {
    if (typeof value !== "number" || Number.isFinite(value)) return value;
    return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  };
  return JSON.stringify(report, replace, 1);
}

const worstFirst = (a: Row, b: Row) =>
  (b.ratio ?? Number.NEGATIVE_INFINITY) - (a.ratio ?? Number.NEGATIVE_INFINITY) || b.e - a.e;

function figure(value: number | null): string {
  if (value === null) return "";
  return Number.isInteger(value) ? String(value) : value.toExponential(1);
}

function align(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
