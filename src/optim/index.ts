// What `optim` exports: one line a file.
export { type AdamOptions, type AdamState, adam, adamw } from "./adam.ts";
export {
  type AgcOptions,
  type AnyOptimizer,
  adaptiveGradClip,
  agc,
  type Clipper,
  unitwiseNorm,
} from "./agc.ts";
export type { Optimizer, Scalar } from "./arena.ts";
export { type Ema, type EmaOptions, ema } from "./ema.ts";
export { type FromageOptions, fromage } from "./fromage.ts";
export { type Group, nfnetGroups, nfRegnetGroups, type Rules } from "./groups.ts";
export { type HybridGroup, type HybridOptions, hybrid } from "./hybrid.ts";
export { type RmspropOptions, type RmspropState, rmsprop } from "./rmsprop.ts";
export { type Sam, type SamOptions, sam } from "./sam.ts";
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
