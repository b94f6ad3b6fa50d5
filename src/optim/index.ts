// What `optim` exports: one line a file.
export type { Optimizer, Scalar } from "./arena.ts";
export { type Ema, type EmaOptions, ema } from "./ema.ts";
export { type Group, nfnetGroups, type Rules } from "./groups.ts";
export {
  type CosineOptions,
  constant,
  cosine,
  type Schedule,
  scaleByBatch,
  type WarmupCosineOptions,
  type WarmupExponentialOptions,
  warmupCosine,
  warmupExponential,
} from "./schedules.ts";
export { type SgdAgcOptions, type SgdOptions, type SgdState, sgd, sgdAgc } from "./sgdAgc.ts";
