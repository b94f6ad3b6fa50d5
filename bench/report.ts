// A run as text: a table for terminals, Markdown for documents, JSON for later comparison.
import type { Peak } from "./roofline.ts";
import type { Report, Row } from "./run.ts";

const digits = (x: number): string =>
  x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);
const ms = (seconds: number): string => digits(seconds * 1000);

const HEAD = [
  "case",
  "median ms",
  "min",
  "spread",
  "GFLOP/s",
  "% peak",
  "GB/s",
  "% copy",
  "dispatches",
];

function cells({ name, time, failed, flops }: Row): string[] {
  if (!time) return [name, `FAILED: ${failed}`];
  const { median, min, spread, gflops, percentOfPeak, gbs, percentOfCopy, dispatches } = time;
  const compute = flops > 0 ? [digits(gflops), percentOfPeak.toFixed(0)] : ["", ""];
  const memory = gbs > 0 ? [digits(gbs), percentOfCopy.toFixed(0)] : ["", ""];
  return [name, ms(median), ms(min), ms(spread), ...compute, ...memory, String(dispatches)];
}

/** Columns for a terminal. */
export function table(rows: readonly Row[]): string {
  const lines = [HEAD, ...rows.map(cells)];
  const whole = lines.filter(({ length }) => length === HEAD.length);
  const width = HEAD.map((_, i) => Math.max(...whole.map((line) => line[i]!.length)));
  const first = Math.max(...lines.map(([name]) => name!.length));
  return lines
    .map(([name, ...rest]) =>
      [name!.padEnd(first), ...rest.map((cell, i) => cell.padStart(width[i + 1]!))].join("  "),
    )
    .join("\n");
}

export const peakLine = ({ gflops, copyGBs, form }: Peak): string =>
  `peak: ${digits(gflops)} GFLOP/s (${form}), copy ${digits(copyGBs)} GB/s`;

/** The whole report for a document. */
export function markdown({ adapter, peak, rows }: Report): string {
  const line = (parts: readonly string[]) => `| ${parts.join(" | ")} |`;
  const name = adapter.description || adapter.device || adapter.vendor;
  const blank = (row: string[]) => [...row, ...HEAD.slice(row.length).map(() => "")];
  return [
    `Adapter: ${name} (${adapter.kind}); ${peakLine(peak)}`,
    "",
    line(HEAD),
    line(HEAD.map((_, i) => (i === 0 ? "---" : "--:"))),
    ...rows.map((row) => line(blank(cells(row)))),
    "",
  ].join("\n");
}

export const toJson = (report: Report): string => `${JSON.stringify(report, null, 2)}\n`;
