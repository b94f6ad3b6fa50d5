// A run as text: columns for terminals, Markdown for documents, JSON for later comparison. Measures nothing.
import { kernelText } from "./kernels.ts";
import type { Peak } from "./roofline.ts";
import { adapterOf, type Compiling, type FirstCall, type Report, type Row } from "./row.ts";

export const digits = (x: number): string =>
  x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);
export const ms = (seconds: number): string => digits(seconds * 1000);
const mib = (bytes: number): string => (bytes > 0 ? digits(bytes / 2 ** 20) : "");

interface Column {
  readonly head: string;
  /** Text on the left, numbers on the right. */
  readonly left?: true;
  readonly cell: (row: Row) => string;
}

const timed = (show: (time: NonNullable<Row["time"]>) => string) => (row: Row) =>
  row.time ? show(row.time) : "";

const COLUMNS: readonly Column[] = [
  { head: "case", left: true, cell: ({ name, family }) => inFamily(name, family) },
  { head: "median ms", cell: timed(({ median }) => ms(median)) },
  { head: "min", cell: timed(({ min }) => ms(min)) },
  {
    head: "spread",
    cell: timed(({ spread, median }) => `${((100 * spread) / median).toFixed(0)}%`),
  },
  { head: "GFLOP/s", cell: timed(({ gflops }) => (gflops > 0 ? digits(gflops) : "")) },
  { head: "of peak", cell: timed(({ percentOfPeak: part }) => percent(part)) },
  { head: "GB/s", cell: timed(({ gbs }) => (gbs > 0 ? digits(gbs) : "")) },
  { head: "of copy", cell: timed(({ percentOfCopy: part }) => percent(part)) },
  {
    head: "vs plain",
    cell: ({ reference }) => (reference ? `x${digits(reference.ratio)}` : ""),
  },
  { head: "MiB", cell: ({ deviceBytes }) => mib(deviceBytes) },
  { head: "disp.", cell: timed(({ dispatches }) => String(dispatches)) },
  { head: "kernel", left: true, cell: ({ kernels }) => kernelText(kernels) },
];

const percent = (part: number): string => (part > 0 ? `${part.toFixed(0)}%` : "");

/** A case's name without its family, which stands above it. */
const inFamily = (name: string, family: string): string =>
  name.startsWith(`${family} `) ? name.slice(family.length + 1) : name;

/** By family, in the order of the first of each. */
export function families<T extends { readonly family: string }>(
  rows: readonly T[],
): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) groups.set(row.family, [...(groups.get(row.family) ?? []), row]);
  return groups;
}

/** The columns that have something to say in at least one row. */
const columnsOf = (rows: readonly Row[]): readonly Column[] =>
  COLUMNS.filter(({ cell }, i) => i === 0 || rows.some((row) => cell(row) !== ""));

/** Lines of cells as text; the first and the marked columns on the left. */
export function aligned(
  head: readonly string[],
  lines: readonly (readonly string[])[],
  left: readonly boolean[],
): string[] {
  const width = head.map((_, i) => Math.max(...[head, ...lines].map((l) => l[i]?.length ?? 0)));
  return [head, ...lines].map((cells) =>
    cells
      .map((cell, i) => (left[i] ? cell.padEnd(width[i]!) : cell.padStart(width[i]!)))
      .join("  ")
      .trimEnd(),
  );
}

/** Without it a line would be wider than a terminal: a column that JSON has, too. */
const SPARE = ["MiB", "min", "GB/s", "disp."];
const LEAST_KERNEL = 12;

/**
 * Columns for a terminal, a block a family; what failed says why. `width`: at most so many characters a line, at the
 * cost of the kernels' names, then of columns.
 */
export function table(
  rows: readonly Row[],
  { width = Number.POSITIVE_INFINITY }: { readonly width?: number | undefined } = {},
): string {
  for (let spared = 0; ; spared++) {
    const text = tableOf(rows, SPARE.slice(0, spared));
    const lines = text.split("\n");
    const kernel = lines[0]!.lastIndexOf("kernel");
    const needed = kernel < 0 ? Math.max(...lines.map((l) => l.length)) : kernel + LEAST_KERNEL;
    if (needed <= width || spared === SPARE.length)
      return lines.map((l) => cut(l, width)).join("\n");
  }
}

const cut = (text: string, width: number): string =>
  text.length <= width || text.includes("FAILED")
    ? text
    : `${text.slice(0, Math.max(1, width - 1))}…`;

function tableOf(rows: readonly Row[], spared: readonly string[]): string {
  const columns = columnsOf(rows).filter(({ head }) => !spared.includes(head));
  const groups = [...families(rows)];
  const lines = groups.flatMap(([, own]) => own.map((row) => columns.map(({ cell }) => cell(row))));
  const left = columns.map((column) => column.left ?? false);
  const indented = lines.map(([name, ...rest]) => [`  ${name}`, ...rest]);
  const [head, ...texts] = aligned(
    columns.map((column) => column.head),
    indented,
    left,
  );
  let at = 0;
  const blocks = groups.map(([family, own]) =>
    [
      family,
      ...own.map(({ name, failed }) => {
        const text = texts[at++]!;
        return failed === undefined ? text : `  ${inFamily(name, family)}  FAILED: ${failed}`;
      }),
    ].join("\n"),
  );
  return [head, ...blocks].join("\n");
}

export const peakLine = ({ gflops, copyGBs, form, copyForm }: Peak): string =>
  `${digits(gflops)} GFLOP/s (${form}), copy ${digits(copyGBs)} GB/s (${copyForm})`;

/** Who measured what, and how: `[name, text]` lines. */
export function heading(report: Report): (readonly [string, string])[] {
  const { peak, versions, date, rows, method } = report;
  const { adapter, driver } = adapterOf(report.adapter);
  const known = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const host = rows.some(({ time }) => time?.clock === "host");
  const clock = host ? "the host's clock" : "the device's timestamps";
  return [
    ["adapter", `${adapter} (${report.adapter.kind})`],
    ["driver", driver || "not told by the platform"],
    ...(known.length ? [["versions", known.join(", ")] as const] : []),
    ["date", `${date.slice(0, 16).replace("T", " ")} UTC`],
    ["peak", `${peakLine(peak)}: the best of several loops, before, between and after the cases`],
    [
      "method",
      `values checked against f64, then timed by ${clock}: medians of up to ${method.rounds} rounds of ` +
        `${(1000 * method.target).toFixed(0)} ms or one call, ${method.together} cases in turns` +
        `${method.quick ? " (quick)" : ""}; ${Math.round(method.seconds)} s in all`,
    ],
  ];
}

/** What the numbers amount to: how many cases, the most memory, and what failed. */
export function closing({ rows }: Pick<Report, "rows">): string[] {
  const failed = rows.filter((row) => row.failed !== undefined);
  const most = rows.reduce<Row | null>(
    (a, b) => (b.deviceBytes > (a?.deviceBytes ?? 0) ? b : a),
    null,
  );
  return [
    `${rows.length - failed.length} of ${rows.length} cases verified and timed`,
    ...(most ? [`memory at peak: ${mib(most.deviceBytes)} MiB, in ${most.name}`] : []),
    ...failed.map(({ name, failed }) => `FAILED: ${name}: ${failed}`),
  ];
}

/** What compiling costs the first call of a case, in columns. */
export function compilingTable(compiling: readonly Compiling[]): string {
  return aligned(COMPILING_HEAD, compiling.map(compilingCells), [true]).join("\n");
}
const COMPILING_HEAD = ["first call of", "pipelines", "cold s", "warm s"];
const compilingCells = ({ name, pipelines, cold, warm }: Compiling): string[] => [
  name,
  String(pipelines),
  cold === null ? "unknown" : digits(cold),
  digits(warm),
];

/** First calls of this process alone. */
export function firstCallTable(calls: readonly FirstCall[]): string {
  const cells = calls.map(({ name, pipelines, seconds }) => [
    name,
    String(pipelines),
    digits(seconds),
  ]);
  return aligned(["first call of", "pipelines", "s"], cells, [true]).join("\n");
}

const line = (cells: readonly string[]) =>
  `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;

/** A Markdown table; the first and the marked columns on the left. */
export function grid(
  head: readonly string[],
  lines: readonly (readonly string[])[],
  left: readonly boolean[] = [true],
): string[] {
  return [line(head), line(head.map((_, i) => (left[i] ? "---" : "--:"))), ...lines.map(line)];
}

/** The whole report for a document: who measured what and how, a table a family, compile times. */
export function markdown(report: Report): string {
  const { rows, compiling } = report;
  const columns = columnsOf(rows);
  const left = columns.map((column) => column.left ?? false);
  const tables = [...families(rows)].flatMap(([family, own]) => [
    "",
    `#### ${family}`,
    "",
    ...grid(
      columns.map((column) => column.head),
      own.map((row) =>
        columns.map(({ cell }, i) => (i === 1 && row.failed ? `FAILED: ${row.failed}` : cell(row))),
      ),
      left,
    ),
  ]);
  return [
    ...heading(report).map(([name, text]) => `- ${name}: ${text}`),
    ...closing(report).map((text) => `- ${text}`),
    ...tables,
    ...(compiling?.length
      ? ["", "#### compiling", "", ...grid(COMPILING_HEAD, compiling.map(compilingCells))]
      : []),
    "",
  ].join("\n");
}

export const toJson = (report: Report): string => `${JSON.stringify(report, null, 2)}\n`;
