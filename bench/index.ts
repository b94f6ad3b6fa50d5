// nfgrad/bench: how near the kernels are to what the adapter can do. Verifies, then times, through the public API.

export type { Case, Prepared } from "./case.ts";
export { type CaseFilter, cases } from "./cases.ts";
export type { Stats } from "./measure.ts";
export { markdown, peakLine, table, toJson } from "./report.ts";
export { type Peak, roofline } from "./roofline.ts";
export { type Report, type Row, type RunOptions, run, type Timed } from "./run.ts";
