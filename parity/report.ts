// What a parity run found, as rows, as text and as JSON. Decides nothing: verdicts come from judge.ts and run.ts.
import type { Judgement } from "./judge.ts";

/** One output of one case. */
export interface Row {
  readonly case: string;
  readonly category: string;
  readonly output: string;
  readonly elements: number;
  /** Largest difference, against f64 where it is given; null where no numbers are compared. */
  readonly maxAbs: number | null;
  /** Largest distance to JAX's f32 values in units in the last place. */
  readonly maxUlp: number | null;
  /** Our relative L2 error, against f64 where it is given; null where the rule asks for equality. */
  readonly relL2: number | null;
  /** Our relative L2 distance to JAX's f32 values. */
  readonly relL2F32: number | null;
  /** JAX's own error: f32 against f64. */
  readonly jaxRelL2: number | null;
  /** relL2 / max(jaxRelL2, floor), to be at most 8; null where the rule is another. */
  readonly ratio: number | null;
  readonly pass: boolean;
  /** Why it fails, `kink`, or what is special. */
  readonly note: string;
}

export interface Summary {
  readonly cases: number;
  readonly outputs: number;
  readonly failed: number;
  /** Rows that pass because a relu or a max pool may take the other branch. */
  readonly kinks: number;
  /** Over all rows that have a ratio; null without any. */
  readonly medianRatio: number | null;
  readonly worstRatio: number | null;
}

export interface Report {
  readonly adapter: string;
  readonly summary: Summary;
  readonly rows: readonly Row[];
}

/** The note of a row that the kink rule lets pass. */
export const KINK = "kink";

/** Makes a row of a judgement. */
export function toRow(
  where: { category: string; case: string; output: string },
  { rule, pass, elements, e, own, ratio, maxAbs, e32, maxUlp, note }: Judgement,
): Row {
  const measured = rule !== "equal" && rule !== "json" && ratio !== null;
  return {
    case: where.case,
    category: where.category,
    output: where.output,
    elements,
    maxAbs,
    maxUlp,
    relL2: measured || rule === "f32" ? e : null,
    relL2F32: e32,
    jaxRelL2: own,
    ratio,
    pass,
    note,
  };
}

/** Counts, and the median and worst ratio over all outputs. */
export function summarise(rows: readonly Row[], cases: number): Summary {
  const order = (ratio: number) => (Number.isNaN(ratio) ? Number.POSITIVE_INFINITY : ratio);
  const ratios = rows.flatMap(({ ratio }) => (ratio === null ? [] : [ratio]));
  ratios.sort((a, b) => order(a) - order(b));
  const low = ratios[Math.ceil(ratios.length / 2) - 1];
  return {
    cases,
    outputs: rows.length,
    failed: rows.filter((row) => !row.pass).length,
    kinks: rows.filter((row) => row.note === KINK).length,
    medianRatio: low === undefined ? null : (low + ratios[Math.floor(ratios.length / 2)]!) / 2,
    worstRatio: ratios.at(-1) ?? null,
  };
}

const HEAD = [
  "case",
  "output",
  "elements",
  "max abs",
  "max ULP",
  "to f32",
  "to f64",
  "JAX's own",
  "ratio",
  "",
  "",
];

/**
 * The report as text: a line a case (its worst output), every row that fails or says `kink`, and the summary.
 * `all` gives a line for every output instead. `to f32` and `to f64` are our relative L2 distances to JAX's values,
 * `JAX's own` is the distance between these two.
 */
export function table(report: Report, { all = false }: { all?: boolean } = {}): string {
  const byCase = new Map<string, Row[]>();
  for (const row of report.rows) byCase.set(row.case, (byCase.get(row.case) ?? []).concat(row));
  const cells: { category: string; row: string[] }[] = [];
  for (const rows of byCase.values()) {
    const special = rows.filter(isSpecial);
    const worst = special.length ? special : rows.toSorted(worstFirst).slice(0, 1);
    for (const row of all ? rows : worst) {
      const alone = all || rows.length === 1 || isSpecial(row);
      const output = alone ? row.output : `${row.output} (worst of ${rows.length})`;
      cells.push({ category: row.category, row: line(row, output) });
    }
  }
  const [head, ...lines] = align([HEAD, ...cells.map(({ row }) => row)]);
  const body = lines.flatMap((text, i) => {
    const { category } = cells[i]!;
    return category === cells[i - 1]?.category ? [text] : ["", printable(category), text];
  });
  return [head, ...body, "", summaryText(report)].join("\n");
}

const isSpecial = (row: Row) => !row.pass || row.note === KINK;

function line(row: Row, output: string): string[] {
  const { pass, note } = row;
  return [
    `  ${printable(row.case)}`,
    printable(output),
    String(row.elements),
    figure(row.maxAbs),
    row.maxUlp === null ? "" : String(row.maxUlp),
    figure(row.relL2F32),
    row.ratio === null ? "" : figure(row.relL2),
    figure(row.jaxRelL2),
    row.ratio === null ? "" : row.ratio.toFixed(2),
    pass ? "pass" : "FAIL",
    printable(note),
  ];
}

/** Three lines: counts, ratios, adapter. */
export function summaryText({ summary: s, rows, adapter }: Report): string {
  const ratio = (value: number | null) => (value === null ? "none" : value.toFixed(2));
  const worst = rows.find((row) => row.ratio !== null && Object.is(row.ratio, s.worstRatio));
  const where = worst ? ` (${printable(worst.case)} ${printable(worst.output)})` : "";
  return [
    `${s.outputs} outputs of ${s.cases} cases: ${s.outputs - s.failed} pass, ${s.failed} fail` +
      (s.kinks ? `; ${s.kinks} of the passing say kink` : ""),
    `error over JAX's own: median ${ratio(s.medianRatio)}, worst ${ratio(s.worstRatio)}${where}, at most 8`,
    adapter,
  ].join("\n");
}

/** The report as JSON; numbers that JSON does not have are the strings of the goldens: "nan", "inf", "-inf". */
export function toJson({ adapter, summary, rows }: Report): string {
  const replace = (_: string, value: unknown) => {
    if (typeof value !== "number" || Number.isFinite(value)) return value;
    return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  };
  return `${JSON.stringify({ adapter, summary, rows }, replace, 1)}\n`;
}

const worstFirst = (a: Row, b: Row) =>
  (b.ratio ?? Number.NEGATIVE_INFINITY) - (a.ratio ?? Number.NEGATIVE_INFINITY) ||
  (b.relL2F32 ?? 0) - (a.relL2F32 ?? 0);

function figure(value: number | null): string {
  if (value === null) return "";
  return Number.isInteger(value) ? String(value) : value.toExponential(1);
}

/** Names come from files: what a terminal would obey is not shown. */
const printable = (text: string) => text.replace(/\p{Cc}/gu, "\ufffd");

const NUMBERS = new Set([2, 3, 4, 5, 6, 7, 8]);

function align(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, i) => (NUMBERS.has(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd(),
  );
}
