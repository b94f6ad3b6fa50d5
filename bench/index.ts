// nfgrad/bench: how near the kernels are to what the adapter can do. Verifies, then times, through the public API.

export type { Case, Prepared } from "./case.ts";
export { type CaseFilter, cases } from "./cases.ts";
export {
  type Change,
  type Comparison,
  compare,
  comparisonMarkdown,
  comparisonTable,
  readReport,
  type Verdict,
} from "./compare.ts";
export { firstCalls } from "./firstCalls.ts";
export type { Stats } from "./measure.ts";
export { rooflineSvg } from "./plot.ts";
export { markdown, table, toJson } from "./report.ts";
export { type Peak, roofline } from "./roofline.ts";
export type {
  Against,
  Compiling,
  FirstCall,
  KernelUse,
  Method,
  Report,
  Row,
  Timed,
} from "./row.ts";
export { type Progress, type RunOptions, report, run } from "./run.ts";
export { type Tried, type Tuned, type TuneOptions, tune } from "./tune.ts";
