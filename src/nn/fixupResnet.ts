// Fixup ResNet (fixup_resnet.py; Zhang, Dauphin, Ma 2019, "Fixup initialization: residual learning without
// normalization"): scalar biases around plain convolutions, a scale, and initial values that make up
// for the depth. Options are the reference's arguments.
import type { ParamSpec, Params } from "../core/init.ts";
import type { Tensor } from "../core/tensor.ts";
import * as ops from "../ops/index.ts";
import { plainActivation } from "./activations.ts";
import { type Block, dropped, type LinearSpec, residualBlock } from "./block.ts";
import { normal, ones, zeros } from "./init.ts";
import { param } from "./layer.ts";
import { conv2d, linear, type Mode, type PlainConvSpec } from "./layers.ts";
import { type Model, model, plainStages, stack, variantOf } from "./model.ts";
import {
  type PlainBlockConfig,
  type PlainBlockOptions,
  type PlainResnetOptions,
  plainBottleneck,
} from "./skipinitResnet.ts";
import { nfResnetVariants } from "./variants.ts";

/** In the order in which Haiku creates them. */
export type FixupBlockSpec = {
  readonly bias1a: ParamSpec;
  readonly bias1b: ParamSpec;
  readonly bias2a: ParamSpec;
  readonly bias2b: ParamSpec;
  readonly bias3a: ParamSpec;
  readonly bias3b: ParamSpec;
  readonly scale: ParamSpec;
  readonly convShortcut?: PlainConvSpec;
  readonly conv0: PlainConvSpec;
  readonly conv1: PlainConvSpec;
  readonly conv2: PlainConvSpec;
};

type BlockOptions = PlainBlockOptions & {
  readonly act: (x: Tensor) => Tensor;
  readonly numBlocks: number;
  /** Keys that the block before draws once its parameters are there. */
  readonly drawsBefore: number;
};

/** `fixup_resnet.py: ResBlock`. */
function fixupBlock(options: BlockOptions): Block<FixupBlockSpec, PlainBlockConfig> {
  const { act, numBlocks, drawsBefore } = options;
  const { config, draws, countFlops } = plainBottleneck(options);
  const { inCh, outCh, width, stride, stochdepthRate: rate } = config;
  const conv = (from: number, to: number, kernelShape: number, by: number, std: number) => {
    const wInit = std > 0 ? normal(std) : zeros;
    return conv2d({ inCh: from, outCh: to, kernelShape, stride: by, withBias: false, wInit });
  };
  const shrink = numBlocks ** -0.25;
  const convShortcut = conv(inCh, outCh, 1, stride, Math.sqrt(2 / outCh));
  const conv0 = conv(inCh, width, 1, 1, Math.sqrt(2 / width) * shrink);
  const conv1 = conv(width, width, 3, stride, Math.sqrt(2 / (width * 9)) * shrink);
  const conv2 = conv(width, outCh, 1, 1, 0);
  const bias = () => param([], zeros);
  const spec: FixupBlockSpec = {
    bias1a: param([], zeros, { draws: drawsBefore }),
    bias1b: bias(),
    bias2a: bias(),
    bias2b: bias(),
    bias3a: bias(),
    bias3b: bias(),
    scale: param([], ones),
    ...(config.useProjection && { convShortcut: convShortcut.spec }),
    conv0: conv0.spec,
    conv1: conv1.spec,
    conv2: conv2.spec,
  };
  const compute = (p: Params<FixupBlockSpec>, x: Tensor, mode: Mode) => {
    const start = ops.add(x, p.bias1a);
    const shortcut = p.convShortcut ? convShortcut(p.convShortcut, start) : start;
    let h = act(ops.add(conv0(p.conv0, start), p.bias1b));
    h = act(ops.add(conv1(p.conv1, ops.add(h, p.bias2a)), p.bias2b));
    h = conv2(p.conv2, ops.add(h, p.bias3a));
    const branch = ops.add(ops.mul(h, p.scale), p.bias3b);
    const kept = dropped("fixupResnet", branch, mode, rate);
    return { branch, out: act(ops.residual(kept, shortcut)) };
  };
  return residualBlock(spec, { config, draws, countFlops, compute });
}

export type FixupResnetSpec = {
  readonly initialConv: PlainConvSpec;
  /** Beside each other, as in Haiku's tree, though bias2 is created last. */
  readonly bias1: ParamSpec;
  readonly bias2: ParamSpec;
  readonly blocks: readonly FixupBlockSpec[];
  readonly linear: LinearSpec;
};

export type FixupResnet = Model<FixupResnetSpec, PlainBlockConfig>;

/**
 * A Fixup ResNet: `(params, x, { train, keys? })`, images `[n, h, w, 3]` -> logits
 * `[n, numClasses]`.
 * @throws OptionError for an unknown variant or activation, or a width that is not whole.
 */
export function fixupResnet(options: PlainResnetOptions): FixupResnet {
  const { numClasses, variant = "ResNet50", width = 4, stochdepthRate = 0.1 } = options;
  const act = plainActivation("fixupResnet", options.activation ?? "relu");
  const sizes = variantOf("fixupResnet", nfResnetVariants, variant);
  const dropRate = options.dropRate ?? sizes.dropRate ?? 0;
  const { first, stages, numBlocks } = plainStages("fixupResnet", sizes.depth, width);
  const initialConv = conv2d({ ...first, kernelShape: first.kernel, withBias: false });
  let drawsBefore = 0;
  const blocks = stack(
    "fixupResnet",
    stages,
    { inCh: first.outCh, alpha: 0, stochdepthRate },
    (shared) => {
      const made = fixupBlock({ ...shared, act, numBlocks, drawsBefore });
      drawsBefore = made.draws;
      return made;
    },
  );
  const poolCh = blocks.at(-1)!.config.outCh;
  const fc = linear({
    inCh: poolCh,
    outCh: numClasses,
    wInit: options.fcInit ?? zeros,
    draws: drawsBefore + (dropRate > 0 ? 1 : 0),
  });
  const spec: FixupResnetSpec = {
    initialConv: initialConv.spec,
    bias1: param([], zeros),
    bias2: param([], zeros),
    blocks: blocks.map((b) => b.spec),
    linear: fc.spec,
  };
  return model<FixupResnetSpec, Params<FixupResnetSpec>, FixupBlockSpec, PlainBlockConfig>({
    name: "fixupResnet",
    module: "FixUp_ResNet",
    blockModule: "res_block",
    spec,
    blocks,
    numClasses,
    dropRate,
    stem: (p, x) => {
      const h = act(ops.add(initialConv(p.initialConv, x), p.bias1));
      return ops.maxPool(h, { window: 3, stride: 2, padding: "SAME" });
    },
    blockParams: (p) => p.blocks,
    last: (_, x) => x,
    classify: (p, pool) => fc(p.linear, ops.add(pool, p.bias2)),
    stemConvs: [first],
    lastConv: null,
    poolCh,
  });
}
