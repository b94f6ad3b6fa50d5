// NFNet and its block (nfnet.py; Brock, De, Smith, Simonyan 2021, "High-performance large-scale image
// recognition without normalization"). Options are the reference's constructor arguments.

import type { Initializer, Params } from "../core/init.ts";
import type { Tensor } from "../core/tensor.ts";
import { OptionError } from "../errors.ts";
import type { ActivationKind } from "../ops/index.ts";
import * as ops from "../ops/index.ts";
import {
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
import type { ConvShape } from "./flops.ts";
import { normal, zeros } from "./init.ts";
import { linear, wsConv2d } from "./layers.ts";
import { type Model, model, stack, variantOf } from "./model.ts";
import { type NFNetVariant, nfnetVariants } from "./variants.ts";

export interface NFBlockOptions extends BlockOptions {
  /** Width inside as a part of the output's (`bigWidth`) or of the input's; default 0.5. */
  readonly expansion?: number;
  readonly seRatio?: number;
  readonly kernelShape?: number;
  readonly groupSize?: number;
  readonly bigWidth?: boolean;
  readonly useTwoConvs?: boolean;
}

/** `nfnet.py: NFBlock`. @throws ShapeError for a width below the group size. */
export function nfBlock(options: NFBlockOptions): Block {
  const { expansion = 0.5, seRatio = 0.5, kernelShape = 3, groupSize = 128 } = options;
  const { bigWidth = true, useTwoConvs = true } = options;
  const width = Math.trunc((bigWidth ? options.outCh : options.inCh) * expansion);
  return block({
    name: "nfBlock",
    ...common(options, "gelu"),
    ...grouped("nfBlock", width, groupSize),
    kernel: kernelShape,
    twoConvs: useTwoConvs,
    shortcut: "pool",
    excite: { after: "conv2", ratio: seRatio },
    skipInit: zeros,
  });
}

export type NFNetSpec = {
  readonly stem: {
    readonly conv0: ConvSpec;
    readonly conv1: ConvSpec;
    readonly conv2: ConvSpec;
    readonly conv3: ConvSpec;
  };
  readonly blocks: readonly BlockSpec[];
  readonly finalConv: ConvSpec;
  readonly linear: LinearSpec;
};

export interface NFNetOptions {
  readonly numClasses: number;
  /** A published size, `"F0"` to `"F7"` and `"F0+"` to `"F7+"`, or your own. */
  readonly variant?: string | NFNetVariant;
  /** Multiplies the widths of all stages, but not the stem's. */
  readonly width?: number;
  readonly seRatio?: number;
  readonly alpha?: number;
  /** Stochastic depth of an imagined block after the last; block i of n has i/n of it. */
  readonly stochdepthRate?: number;
  /** Dropout before the classifier; null: the variant's. */
  readonly dropRate?: number | null;
  readonly activation?: ActivationKind;
  /** The classifier's weight; null: normal with standard deviation 0.01. */
  readonly fcInit?: Initializer | null;
  /** Channels of the last convolution: this times the last stage's, or with null `finalConvCh`. */
  readonly finalConvMult?: number | null;
  readonly finalConvCh?: number | null;
  readonly useTwoConvs?: boolean;
}

export type NFNet = Model<NFNetSpec> & {
  /** Sizes of images in training and in testing, in pixels. */
  readonly trainImsize: number;
  readonly testImsize: number;
};

/** One entry a stage. @throws OptionError for lists of different lengths. */
function stages(v: NFNetVariant, width: number) {
  const n = v.width.length;
  const { expansion = [0.5, 0.5, 0.5, 0.5], groupWidth = [128, 128, 128, 128] } = v;
  const { bigWidth = [true, true, true, true] } = v;
  if (n < 1 || n > 4)
    throw new OptionError(`nfnet: variant.width has ${n} stages, expected 1 to 4`);
  // The defaults have four entries, whatever the number of stages.
  for (const [name, list] of Object.entries({ depth: v.depth, expansion, groupWidth, bigWidth }))
    if (list.length !== n && !(list.length > n && name !== "depth"))
      throw new OptionError(`nfnet: variant.${name} has ${list.length} entries for ${n} stages`);
  return v.width.map((w, i) => ({
    width: Math.trunc(w * width),
    depth: v.depth[i]!,
    stride: i === 0 ? 1 : 2,
    expansion: expansion[i]!,
    groupSize: groupWidth[i]!,
    bigWidth: bigWidth[i]!,
  }));
}

/**
 * An NFNet: `(params, x, { train, keys? })`, images `[n, h, w, 3]` -> logits `[n, numClasses]`.
 * @throws OptionError for a variant that is unknown or inconsistent, ShapeError for a stage whose
 * width is below its group size.
 */
export function nfnet(options: NFNetOptions): NFNet {
  const { numClasses, variant = "F0", width = 1, seRatio = 0.5, alpha = 0.2 } = options;
  const { stochdepthRate = 0.1, activation = "gelu", useTwoConvs = true } = options;
  const { finalConvMult = 2, finalConvCh = null } = options;
  const sizes = variantOf("nfnet", nfnetVariants, variant);
  const dropRate = options.dropRate ?? sizes.dropRate;

  const stemCh = [3, 16, 32, 64, Math.floor(sizes.width[0]! / 2)];
  const stem: readonly ConvShape[] = [2, 1, 1, 2].map((stride, i) => {
    return { inCh: stemCh[i]!, outCh: stemCh[i + 1]!, kernel: 3, stride };
  });
  const stemConv = (i: number) => {
    const { inCh, outCh, kernel, stride = 1 } = stem[i]!;
    const given = i === 0 ? inCh : channelsAfter(activation, inCh);
    return wsConv2d({ inCh: given, outCh, kernelShape: kernel, stride });
  };
  const conv0 = stemConv(0);
  const conv1 = stemConv(1);
  const conv2 = stemConv(2);
  const conv3 = stemConv(3);

  const blocks = stack(
    "nfnet",
    stages(sizes, width),
    { inCh: stemCh[4]!, alpha, stochdepthRate },
    (shared, { expansion, groupSize, bigWidth }) =>
      nfBlock({ ...shared, activation, expansion, groupSize, bigWidth, seRatio, useTwoConvs }),
  );

  const bodyCh = blocks.at(-1)!.config.outCh;
  const finalCh = finalConvMult === null ? finalConvCh : Math.trunc(finalConvMult * bodyCh);
  if (finalCh === null)
    throw new OptionError("nfnet: one of finalConvMult and finalConvCh is needed");
  const finalConv = wsConv2d({ inCh: bodyCh, outCh: finalCh, kernelShape: 1 });
  const fc = linear({
    inCh: channelsAfter(activation, finalCh),
    outCh: numClasses,
    wInit: options.fcInit ?? normal(0.01),
    draws: dropRate > 0 ? 1 : 0,
  });

  const spec: NFNetSpec = {
    stem: { conv0: conv0.spec, conv1: conv1.spec, conv2: conv2.spec, conv3: conv3.spec },
    blocks: blocks.map((b) => b.spec),
    finalConv: finalConv.spec,
    linear: fc.spec,
  };
  const act = (x: Tensor) => ops.scaledActivation(x, { kind: activation });
  const net = model<NFNetSpec, Params<NFNetSpec>>({
    name: "nfnet",
    module: "NFNet",
    blockModule: "nf_block",
    spec,
    blocks,
    numClasses,
    dropRate,
    stem: ({ stem }, x, ready) => {
      const p = ready(stem);
      const h = act(conv1.ready(p.conv1, act(conv0.ready(p.conv0, x))));
      return conv3.ready(p.conv3, act(conv2.ready(p.conv2, h)));
    },
    blockParams: (p) => p.blocks,
    last: (p, x, ready) => act(finalConv.ready(ready(p.finalConv), x)),
    classify: (p, pool) => fc(p.linear, pool),
    stemConvs: stem,
    lastConv: { inCh: bodyCh, outCh: finalCh, kernel: 1 },
    poolCh: finalCh,
  });
  return Object.assign(net, { trainImsize: sizes.trainImsize, testImsize: sizes.testImsize });
}
