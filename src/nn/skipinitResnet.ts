// SkipInit ResNet (skipinit_resnet.py; De, Smith 2020, "Batch normalization biases residual blocks towards
// the identity function in deep networks"): plain convolutions, and a residual branch whose scalar
// gain starts at 0. Options are the reference's arguments.
import type { Initializer, ParamSpec, Params } from "../core/init.ts";
import type { Tensor } from "../core/tensor.ts";
import * as ops from "../ops/index.ts";
import { type PlainActivation, plainActivation } from "./activations.ts";
import {
  type Block,
  convsFlops,
  drawsOf,
  dropped,
  type LinearSpec,
  residualBlock,
} from "./block.ts";
import { zeros } from "./init.ts";
import { param } from "./layer.ts";
import { conv2d, linear, type Mode, type PlainConvSpec } from "./layers.ts";
import { type Model, model, plainStages, stack, variantOf } from "./model.ts";
import { type NFResnetVariant, nfResnetVariants } from "./variants.ts";

/** In the order in which Haiku creates them. */
export type SkipInitBlockSpec = {
  readonly convShortcut?: PlainConvSpec;
  readonly conv0: PlainConvSpec;
  readonly conv1: PlainConvSpec;
  readonly conv2: PlainConvSpec;
  readonly skipGain: ParamSpec;
};

/** What a block of plain convolutions came to. */
export interface PlainBlockConfig {
  readonly inCh: number;
  readonly outCh: number;
  /** Channels between conv0 and conv2. */
  readonly width: number;
  readonly stride: number;
  readonly useProjection: boolean;
  readonly stochdepthRate: number;
}

/** What a stack gives a block of plain convolutions. */
export interface PlainBlockOptions {
  readonly inCh: number;
  readonly outCh: number;
  readonly stride: number;
  readonly stochdepthRate: number;
}

/** The configuration of a bottleneck of a quarter of the output's width, and its count. */
export function plainBottleneck({ inCh, outCh, stride, stochdepthRate }: PlainBlockOptions) {
  const width = Math.trunc(outCh * 0.25);
  const useProjection = stride > 1 || inCh !== outCh;
  const config: PlainBlockConfig = { inCh, outCh, width, stride, useProjection, stochdepthRate };
  const shape = { ...config, groups: 1, kernel: 3, useTwoConvs: false, shortcutStride: stride };
  const count = (h: number, w: number) => convsFlops(shape, h, w);
  return { config, draws: drawsOf(stochdepthRate), countFlops: count };
}

type BlockOptions = PlainBlockOptions & { readonly act: (x: Tensor) => Tensor };

/** `skipinit_resnet.py: NFResBlock`. */
function skipInitBlock({
  act,
  ...options
}: BlockOptions): Block<SkipInitBlockSpec, PlainBlockConfig> {
  const { config, draws, countFlops } = plainBottleneck(options);
  const { inCh, outCh, width, stride, stochdepthRate: rate } = config;
  const convShortcut = conv2d({ inCh, outCh, kernelShape: 1, stride });
  const conv0 = conv2d({ inCh, outCh: width, kernelShape: 1 });
  const conv1 = conv2d({ inCh: width, outCh: width, kernelShape: 3, stride });
  const conv2 = conv2d({ inCh: width, outCh, kernelShape: 1 });
  const spec: SkipInitBlockSpec = {
    ...(config.useProjection && { convShortcut: convShortcut.spec }),
    conv0: conv0.spec,
    conv1: conv1.spec,
    conv2: conv2.spec,
    skipGain: param([], zeros, { draws }),
  };
  const compute = (p: Params<SkipInitBlockSpec>, x: Tensor, mode: Mode) => {
    const start = act(x);
    const shortcut = p.convShortcut ? convShortcut(p.convShortcut, start) : x;
    const branch = conv2(p.conv2, act(conv1(p.conv1, act(conv0(p.conv0, start)))));
    const kept = dropped("skipinitResnet", branch, mode, rate);
    return { branch, out: ops.residual(kept, shortcut, p.skipGain) };
  };
  return residualBlock(spec, { config, draws, countFlops, compute });
}

export type SkipInitResnetSpec = {
  readonly initialConv: PlainConvSpec;
  readonly blocks: readonly SkipInitBlockSpec[];
  readonly linear: LinearSpec;
};

/** Of `skipinitResnet` and `fixupResnet`. */
export interface PlainResnetOptions {
  readonly numClasses: number;
  /** `"ResNet50"`, 101, 152, 200, 288 or 600, or your own. */
  readonly variant?: string | NFResnetVariant;
  /** The stem has 16, the stages 64, 128, 256 and 512 times this many channels; default 4. */
  readonly width?: number;
  readonly stochdepthRate?: number;
  /** Dropout before the classifier; null: the variant's, or none. */
  readonly dropRate?: number | null;
  /** Default relu; the reference knows `relu`, `swish` and `identity`. */
  readonly activation?: PlainActivation;
  /** The classifier's weight; default zeros. */
  readonly fcInit?: Initializer;
}

export type SkipInitResnet = Model<SkipInitResnetSpec, PlainBlockConfig>;

/**
 * A SkipInit ResNet: `(params, x, { train, keys? })`, images `[n, h, w, 3]` -> logits
 * `[n, numClasses]`.
 * @throws OptionError for an unknown variant or activation, or a width that is not whole.
 */
export function skipinitResnet(options: PlainResnetOptions): SkipInitResnet {
  const { numClasses, variant = "ResNet50", width = 4, stochdepthRate = 0.1 } = options;
  const act = plainActivation("skipinitResnet", options.activation ?? "relu");
  const sizes = variantOf("skipinitResnet", nfResnetVariants, variant);
  const dropRate = options.dropRate ?? sizes.dropRate ?? 0;
  const { first, stages } = plainStages("skipinitResnet", sizes.depth, width);
  const initialConv = conv2d({ ...first, kernelShape: first.kernel, withBias: false });
  const blocks = stack(
    "skipinitResnet",
    stages,
    { inCh: first.outCh, alpha: 0, stochdepthRate },
    (shared) => skipInitBlock({ ...shared, act }),
  );
  const poolCh = blocks.at(-1)!.config.outCh;
  const fc = linear({
    inCh: poolCh,
    outCh: numClasses,
    wInit: options.fcInit ?? zeros,
    draws: dropRate > 0 ? 1 : 0,
  });
  type P = Params<SkipInitResnetSpec>;
  return model<SkipInitResnetSpec, P, SkipInitBlockSpec, PlainBlockConfig>({
    name: "skipinitResnet",
    module: "SkipInit_ResNet",
    blockModule: "nf_res_block",
    spec: { initialConv: initialConv.spec, blocks: blocks.map((b) => b.spec), linear: fc.spec },
    blocks,
    numClasses,
    dropRate,
    stem: (p, x) =>
      ops.maxPool(initialConv(p.initialConv, x), { window: 3, stride: 2, padding: "SAME" }),
    blockParams: (p) => p.blocks,
    last: (_, x) => act(x),
    classify: (p, pool) => fc(p.linear, pool),
    stemConvs: [first],
    lastConv: null,
    poolCh,
  });
}
