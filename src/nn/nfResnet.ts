// NF-ResNet and its block (nf_resnet.py; Brock, De, Smith 2021, "Characterizing signal propagation to
// close the performance gap in unnormalized ResNets"). Options are the reference's arguments.
import type { Initializer, Params } from "../core/init.ts";
import { OptionError } from "../errors.ts";
import * as ops from "../ops/index.ts";
import {
  type ActivationKind,
  type Block,
  type BlockOptions,
  type BlockSpec,
  block,
  type ConvSpec,
  channelsAfter,
  common,
  grouped,
  type LinearSpec,
} from "./block.ts";
import { normal, zeros } from "./init.ts";
import { linear, wsConv2d } from "./layers.ts";
import { type Model, model, stack, variantOf } from "./model.ts";
import { type NFResnetVariant, nfResnetVariants } from "./variants.ts";

export interface NFResBlockOptions extends BlockOptions {
  /** Width inside as a part of the output's; default 0.25. */
  readonly bottleneckRatio?: number;
  readonly kernelSize?: number;
  readonly skipinitGain?: Initializer;
  readonly useSe?: boolean;
  readonly seRatio?: number;
}

/** `nf_resnet.py: NFResBlock`. @throws ShapeError for an output too narrow for the bottleneck. */
export function nfResBlock(options: NFResBlockOptions): Block {
  const { bottleneckRatio = 0.25, kernelSize = 3, useSe = false, seRatio = 0.25 } = options;
  return block({
    name: "nfResBlock",
    ...common(options, "relu"),
    width: grouped("nfResBlock", Math.trunc(options.outCh * bottleneckRatio), 1).width,
    groups: 1,
    kernel: kernelSize,
    twoConvs: false,
    shortcut: "stride",
    excite: useSe ? { after: "conv2", ratio: seRatio } : null,
    skipInit: options.skipinitGain ?? zeros,
  });
}

export type NFResnetSpec = {
  readonly initialConv: ConvSpec;
  readonly blocks: readonly BlockSpec[];
  readonly linear: LinearSpec;
};

export interface NFResnetOptions {
  readonly numClasses: number;
  /** `"ResNet50"`, 101, 152, 200, 288 or 600, or your own. */
  readonly variant?: string | NFResnetVariant;
  /** The stem has 16, the stages 64, 128, 256 and 512 times this many channels; default 4. */
  readonly width?: number;
  readonly alpha?: number;
  readonly stochdepthRate?: number;
  /** Dropout before the classifier; null: the variant's, or none. */
  readonly dropRate?: number | null;
  readonly activation?: ActivationKind;
  /** The classifier's weight; null: normal with standard deviation 0.01. */
  readonly fcInit?: Initializer | null;
  readonly skipinitGain?: Initializer;
  readonly useSe?: boolean;
  readonly seRatio?: number;
}

export type NFResnet = Model<NFResnetSpec>;

/**
 * An NF-ResNet: `(params, x, { train, keys? })`, images `[n, h, w, 3]` -> logits `[n, numClasses]`.
 * @throws OptionError for a variant that is unknown or has not four stages.
 */
export function nfResnet(options: NFResnetOptions): NFResnet {
  const { numClasses, variant = "ResNet50", width = 4, alpha = 0.2, useSe = false } = options;
  const { stochdepthRate = 0.1, activation = "relu", skipinitGain = zeros } = options;
  const { seRatio = 0.25 } = options;
  const { depth, ...sizes } = variantOf("nfResnet", nfResnetVariants, variant);
  if (depth.length !== 4)
    throw new OptionError(`nfResnet: variant.depth has ${depth.length} entries, expected 4`);
  const dropRate = options.dropRate ?? sizes.dropRate ?? 0;

  const first = { inCh: 3, outCh: Math.trunc(16 * width), kernel: 7, stride: 2 };
  const initialConv = wsConv2d({ ...first, kernelShape: 7 });
  const blocks = stack(
    "nfResnet",
    depth.map((blocks, i) => ({
      width: Math.trunc(64 * 2 ** i * width),
      depth: blocks,
      stride: i === 0 ? 1 : 2,
    })),
    { inCh: first.outCh, alpha, stochdepthRate },
    (shared) => nfResBlock({ ...shared, activation, skipinitGain, useSe, seRatio }),
  );
  const bodyCh = blocks.at(-1)!.config.outCh;
  const fc = linear({
    inCh: channelsAfter(activation, bodyCh),
    outCh: numClasses,
    wInit: options.fcInit ?? normal(0.01),
    draws: dropRate > 0 ? 1 : 0,
  });

  return model<NFResnetSpec, Params<NFResnetSpec>>({
    name: "nfResnet",
    module: "NF_ResNet",
    blockModule: "nf_res_block",
    spec: { initialConv: initialConv.spec, blocks: blocks.map((b) => b.spec), linear: fc.spec },
    blocks,
    numClasses,
    dropRate,
    stem: (p, x, ready) => {
      const h = initialConv.ready(ready(p.initialConv), x);
      return ops.maxPool(h, { window: 3, stride: 2, padding: "SAME" });
    },
    blockParams: (p) => p.blocks,
    last: (_, x) => ops.scaledActivation(x, { kind: activation }),
    classify: (p, pool) => fc(p.linear, pool),
    stemConvs: [first], // the reference's count forgets that the pool halves sizes too
    lastConv: null,
    poolCh: bodyCh,
  });
}
