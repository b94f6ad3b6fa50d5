// nfgrad/parity: is our arithmetic JAX's? Runs golden cases through the public API and judges every output.

export { compare, type Errors } from "./compare.ts";
export {
  type Case,
  type Expected,
  type Goldens,
  type Input,
  openGoldens,
  readCase,
} from "./goldens.ts";
export type { Actual, Judgement } from "./judge.ts";
export {
  type Report,
  type Row,
  type Summary,
  summaryText,
  table,
  toJson,
} from "./report.ts";
export { type Progress, type RunOptions, run } from "./run.ts";
