// The two tables of the page "Measure": a row a benchmark case, a row a golden case. Runs nothing.
import type * as bench from "../../bench/index.ts";
import type * as parity from "../../parity/index.ts";
import { h } from "../common/dom.ts";

const digits = (x: number): string =>
  x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);

function duration(seconds: number): string {
  if (seconds >= 1) return `${digits(seconds)} s`;
  if (seconds >= 1e-3) return `${digits(1e3 * seconds)} ms`;
  return `${digits(1e6 * seconds)} µs`;
}

const cell = (...content: (Node | string)[]) => h("td", { class: "n" }, ...content);
const heading = (name: string) => h("th", { scope: "row" }, name);

function family(name: string, columns: number): HTMLTableRowElement {
  return h("tr", { class: "family" }, h("th", { scope: "colgroup", colspan: columns }, name));
}

/** A percentage with its bar; `bound`: this limit is the nearer one. */
function share(percent: number, bound: boolean): Node | string {
  if (!(percent >= 0.05)) return "";
  const fill = h("i");
  fill.style.width = `${Math.min(100, percent).toFixed(1)}%`;
  return h(
    "span",
    { class: bound ? "share bound" : "share" },
    h("span", { class: "track" }, fill),
    h("span", {}, `${percent.toFixed(percent < 9.95 ? 1 : 0)} %`),
  );
}

const COLUMNS = 7;

function speedRow(row: bench.Row): HTMLTableRowElement {
  const { name, family, time, failed, error } = row;
  const short = name.startsWith(`${family} `) ? name.slice(family.length + 1) : name;
  if (!time)
    return h(
      "tr",
      { class: "failed" },
      heading(short),
      h("td", { colspan: COLUMNS - 1 }, `failed: ${failed ?? "no time"}`),
    );
  const { median, gflops, percentOfPeak, gbs, percentOfCopy } = time;
  const spread = `${time.rounds} rounds of ${time.repeats}, spread ${((100 * time.spread) / median).toFixed(0)} %`;
  return h(
    "tr",
    {},
    heading(short),
    h(
      "td",
      { class: "right" },
      "✓ ",
      h("small", {}, `${((error ?? 0) * 100).toFixed(0)} % of bound`),
    ),
    h("td", { class: "n", title: spread }, duration(median)),
    cell(gflops > 0 ? digits(gflops) : ""),
    cell(share(percentOfPeak, percentOfPeak >= percentOfCopy)),
    cell(gbs > 0 ? digits(gbs) : ""),
    cell(share(percentOfCopy, percentOfCopy > percentOfPeak)),
  );
}

/** Rows under the name of their family. */
export function speedRows(rows: readonly bench.Row[]): HTMLTableRowElement[] {
  return rows.flatMap((row, i) =>
    row.family === rows[i - 1]?.family
      ? [speedRow(row)]
      : [family(row.family, COLUMNS), speedRow(row)],
  );
}

const size = (x: number | null): string => (x === null ? "" : x === 0 ? "0" : x.toExponential(1));

/** One golden case: its worst output, or those that fail. */
function exactRows(id: string, rows: readonly parity.Row[]): HTMLTableRowElement[] {
  const failed = rows.filter(({ pass }) => !pass);
  const ratio = ({ ratio }: parity.Row) => ratio ?? -1;
  const worst = rows.reduce<parity.Row | null>(
    (a, b) => (a === null || ratio(b) > ratio(a) ? b : a),
    null,
  );
  const told = failed.length > 0 ? failed : worst ? [worst] : [];
  return told.map((row, i) =>
    h(
      "tr",
      row.pass ? {} : { class: "failed" },
      heading(i === 0 ? id : ""),
      h(
        "td",
        { class: row.pass ? "right" : "wrong" },
        row.pass ? "✓ " : "✗ ",
        h("small", {}, i > 0 ? "" : `${rows.length - failed.length} of ${rows.length}`),
      ),
      h(
        "td",
        {},
        row.pass && row.ratio === null
          ? "equal, bit for bit"
          : `${row.output}${row.note ? `: ${row.note}` : ""}`,
      ),
      cell(size(row.relL2)),
      cell(size(row.jaxRelL2)),
      cell(row.ratio === null ? "" : row.ratio.toFixed(2)),
    ),
  );
}

/** Rows of cases that were judged one after another, under their categories. */
export function exactTable(
  judged: readonly { readonly case: string; readonly rows: readonly parity.Row[] }[],
): HTMLTableRowElement[] {
  let last = "";
  return judged.flatMap(({ case: id, rows }) => {
    const category = rows[0]?.category ?? last;
    const own = exactRows(id, rows);
    if (own.length === 0 || category === last) return own;
    last = category;
    return [family(category, 6), ...own];
  });
}
