// What `ops` exports: one function an op, in files of their families.
export { argmax } from "./argmax.ts";
export { type BatchNormAttrs, batchNorm, batchNormEval } from "./batchNorm.ts";
export { cast, equal, greater, less, where } from "./compare.ts";
export { type Conv2dAttrs, conv2d, type Padding } from "./conv2d.ts";
export { convTranspose2d } from "./convTranspose2d.ts";
export {
  type Reduction,
  type SoftmaxCrossEntropyAttrs,
  sigmoidCrossEntropy,
  softmaxCrossEntropy,
} from "./crossEntropy.ts";
export type { DrawAttrs } from "./draw.ts";
export { dropout } from "./dropout.ts";
export {
  abs,
  add,
  type ClipAttrs,
  clip,
  div,
  exp,
  log,
  maximum,
  minimum,
  mul,
  neg,
  pow,
  rsqrt,
  type Scalar,
  sqrt,
  square,
  sub,
} from "./elementwise.ts";
export { linear, type MatmulAttrs, matmul } from "./matmul.ts";
export { movingAverage } from "./movingAverage.ts";
export { oneHot } from "./oneHot.ts";
export { avgPool, maxPool, type PoolAttrs } from "./pool.ts";
export { broadcastTo, concat, flip, pad, reshape, slice, transpose } from "./rearrange.ts";
export { max, mean, min, type ReduceAttrs, sum, variance } from "./reduce.ts";
export { residual } from "./residual.ts";
export { type ScaleChannelsAttrs, scaleChannels } from "./scaleChannels.ts";
export {
  type ActivationKind,
  celu,
  elu,
  gelu,
  glu,
  leakyRelu,
  logSigmoid,
  relu,
  relu6,
  scaledActivation,
  selu,
  sigmoid,
  silu,
  softplus,
  softSign,
  tanh,
} from "./scaledActivation.ts";
export { logSoftmax, type SoftmaxAttrs, softmax } from "./softmax.ts";
export { type SqueezeExciteAttrs, squeezeExcite } from "./squeezeExcite.ts";
export { standardize, standardizeAll } from "./standardize.ts";
export { type StochDepthAttrs, stochDepth } from "./stochDepth.ts";
export { topK } from "./topK.ts";
export { topKAccuracy } from "./topKAccuracy.ts";
