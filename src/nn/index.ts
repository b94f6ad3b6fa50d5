// Layers and models: what `nn` exports, and nothing else.
export type { PlainActivation } from "./activations.ts";
export {
  type AverageSpec,
  type BatchNormOptions,
  type BatchNormSpec,
  type BatchNormState,
  type BatchNormStateSpec,
  batchNorm,
  type Normalized,
  type NormMode,
} from "./batchNorm.ts";
export type {
  Block,
  BlockConfig,
  BlockOptions,
  BlockOutputs,
  BlockSpec,
  ConvSpec,
  LinearSpec,
} from "./block.ts";
export {
  type FixupBlockSpec,
  type FixupResnet,
  type FixupResnetSpec,
  fixupResnet,
} from "./fixupResnet.ts";
export type { Flops } from "./flops.ts";
export * as init from "./init.ts";
export { type Layer, layer, param } from "./layer.ts";
export {
  type ConvOptions,
  conv2d,
  type LinearOptions,
  linear,
  type Mode,
  type PlainConvOptions,
  type PlainConvSpec,
  type SqueezeExciteOptions,
  type StochDepthOptions,
  signalMetrics,
  squeezeExcite,
  stochDepth,
  wsConv2d,
} from "./layers.ts";
export type { Metrics, Model, ModelOutputs, OutputsMode } from "./model.ts";
export { haikuNames } from "./names.ts";
export {
  type NFBlockOptions,
  type NFNet,
  type NFNetOptions,
  type NFNetSpec,
  nfBlock,
  nfnet,
} from "./nfnet.ts";
export {
  type NFRegnet,
  type NFRegnetBlockOptions,
  type NFRegnetOptions,
  type NFRegnetSpec,
  nfRegnet,
  nfRegnetBlock,
} from "./nfRegnet.ts";
export {
  type NFResBlockOptions,
  type NFResnet,
  type NFResnetOptions,
  type NFResnetSpec,
  nfResBlock,
  nfResnet,
} from "./nfResnet.ts";
export type { ResBlockConfig, ResBlockSpec, ResBlockStateSpec } from "./resBlock.ts";
export {
  type Resnet,
  type ResnetMode,
  type ResnetOptions,
  type ResnetOutputs,
  type ResnetSpec,
  type ResnetState,
  type ResnetStateSpec,
  resnet,
} from "./resnet.ts";
export {
  type PlainBlockConfig,
  type PlainResnetOptions,
  type SkipInitBlockSpec,
  type SkipInitResnet,
  type SkipInitResnetSpec,
  skipinitResnet,
} from "./skipinitResnet.ts";
export { type StandardizedOptions, standardized } from "./standardized.ts";
export {
  type NFNetVariant,
  type NFRegnetVariant,
  type NFResnetVariant,
  nfnetVariants,
  nfRegnetVariants,
  nfResnetVariants,
} from "./variants.ts";
export {
  type WeightStandardized,
  type WeightStandardizedOptions,
  weightStandardized,
} from "./weightStandardized.ts";
export {
  type Conv1dOptions,
  type ConvTransposeOptions,
  wsConv1d,
  wsConvTranspose2d,
} from "./wsConv.ts";
