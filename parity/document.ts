// The results of a run as a section of a Markdown document, between two marks; the rest of the document stays.
import { FormatError } from "../src/index.ts";
import { KINK, type Report, type Row, summarise } from "./report.ts";

const BEGIN = "<!-- results: begin -->";
const END = "<!-- results: end -->";

/**
 * The document with this report between its marks.
 * @throws FormatError if the marks are not there.
 */
export function withReport(document: string, report: Report): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin < 0 || end < begin) {
    throw new FormatError(`the document has no lines ${BEGIN} and ${END}`);
  }
  return `${document.slice(0, begin)}${BEGIN}\n\n${markdown(report)}\n${document.slice(end)}`;
}

/** Summary, a table of categories, and for each category a table of its cases. */
export function markdown(report: Report): string {
  const { summary: s, adapter, rows } = report;
  const categories = groupBy(rows, (row) => row.category);
  const sections = [...categories].flatMap(([category, own]) => [
    "",
    `#### ${category}`,
    "",
    ...grid(
      "case",
      groupBy(own, (row) => row.case),
    ),
  ]);
  return [
    `${s.outputs} outputs of ${s.cases} cases: ${s.outputs - s.failed} pass, ${s.failed} fail, ${s.kinks} of the`,
    `passing say \`kink\`. Error over JAX's own: median ${ratio(s.medianRatio)}, worst ${ratio(s.worstRatio)}.`,
    `Adapter and driver: ${adapter}.`,
    "",
    ...grid("category", categories),
    ...sections,
    "",
  ].join("\n");
}

/** A row for each group of outputs. */
function grid(name: string, groups: ReadonlyMap<string, readonly Row[]>): string[] {
  const lines = [...groups].map(([key, rows]) => {
    const { outputs, failed, kinks, medianRatio, worstRatio } = summarise(rows, 0);
    const errors = rows.flatMap(({ relL2 }) => (relL2 === null ? [] : [relL2]));
    const worst = rows.find((row) => row.ratio !== null && Object.is(row.ratio, worstRatio));
    return [
      key,
      String(outputs),
      failed ? `${failed} fail` : kinks ? `pass, ${kinks} ${KINK}` : "pass",
      ratio(medianRatio),
      ratio(worstRatio),
      errors.length ? Math.max(...errors).toExponential(1) : "",
      worst?.output ?? "",
    ];
  });
  const head = [name, "outputs", "", "median ratio", "worst ratio", "worst error", "of"];
  return [head, head.map(() => "---"), ...lines].map(
    (cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`,
  );
}

const ratio = (value: number | null) => (value === null ? "" : value.toFixed(2));

function groupBy(rows: readonly Row[], key: (row: Row) => string): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const known = groups.get(key(row));
    if (known) known.push(row);
    else groups.set(key(row), [row]);
  }
  return groups;
}
