// NF-RegNet and its block (nf_regnet.py; Brock, De, Smith 2021, "Characterizing signal propagation to
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
import { zeros } from "./init.ts";
import { linear, wsConv2d } from "./layers.ts";
import { type Model, model, stack, variantOf } from "./model.ts";
import { type NFRegnetVariant, nfRegnetVariants } from "./variants.ts";

export interface NFRegnetBlockOptions extends BlockOptions {
  /** Width inside as a multiple of the input's; default 2.25. */
  readonly expansion?: number;
  readonly seRatio?: number;
  readonly kernelSize?: number;
  readonly groupSize?: number;
}

/** `nf_regnet.py: NFBlock`. @throws ShapeError for a width below the group size. */
export function nfRegnetBlock(options: NFRegnetBlockOptions): Block {
  const { expansion = 2.25, seRatio = 0.5, kernelSize = 3, groupSize = 8 } = options;
  return block({
    name: "nfRegnetBlock",
    ...common(options, "silu"),
    ...grouped("nfRegnetBlock", Math.trunc(options.inCh * expansion), groupSize),
    kernel: kernelSize,
    twoConvs: false,
    shortcut: "pool",
    excite: { after: "conv1", ratio: seRatio },
    skipInit: zeros,
  });
}

export type NFRegnetSpec = {
  readonly initialConv: ConvSpec;
  readonly blocks: readonly BlockSpec[];
  readonly finalConv: ConvSpec;
  readonly linear: LinearSpec;
};

export interface NFRegnetOptions {
  readonly numClasses: number;
  /** `"B0"` to `"B8"`, or your own. */
  readonly variant?: string | NFRegnetVariant;
  /** Multiplies all widths; default 0.75. */
  readonly width?: number;
  /** Width inside each block but the first, as a multiple of its input's. */
  readonly expansion?: number;
  readonly groupSize?: number;
  readonly seRatio?: number;
  readonly alpha?: number;
  readonly stochdepthRate?: number;
  /** Dropout before the classifier; null: the variant's. */
  readonly dropRate?: number | null;
  /** Default silu: the reference's `swish` is its other name, which its own table lacks. */
  readonly activation?: ActivationKind;
  /** The classifier's weight; default zeros. */
  readonly fcInit?: Initializer;
}

export type NFRegnet = Model<NFRegnetSpec> & {
  readonly trainImsize: number;
  readonly testImsize: number;
};

/**
 * An NF-RegNet: `(params, x, { train, keys? })`, images `[n, h, w, 3]` -> logits `[n, numClasses]`.
 * @throws OptionError for a variant that is unknown or inconsistent, ShapeError for a block whose
 * width is below the group size.
 */
export function nfRegnet(options: NFRegnetOptions): NFRegnet {
  const { numClasses, variant = "B0", width = 0.75, expansion = 2.25, groupSize = 8 } = options;
  const { seRatio = 0.5, alpha = 0.2, stochdepthRate = 0.1, activation = "silu" } = options;
  const sizes = variantOf("nfRegnet", nfRegnetVariants, variant);
  const dropRate = options.dropRate ?? sizes.dropRate;
  const scaled = sizes.width.map((w) => Math.trunc(w * width));
  if (scaled.length === 0 || sizes.depth.length !== scaled.length)
    throw new OptionError(
      `nfRegnet: variant.depth has ${sizes.depth.length} entries for ${scaled.length} stages`,
    );

  const first = { inCh: 3, outCh: scaled[0]!, kernel: 3, stride: 2 };
  const initialConv = wsConv2d({ ...first, kernelShape: 3 });
  const blocks = stack(
    "nfRegnet",
    scaled.map((w, i) => ({ width: w, depth: sizes.depth[i]!, stride: 2 })),
    { inCh: first.outCh, alpha, stochdepthRate },
    (shared, _, index) =>
      // No expansion in the first block, as in EfficientNets.
      nfRegnetBlock({
        ...shared,
        activation,
        expansion: index === 0 ? 1 : expansion,
        groupSize,
        seRatio,
      }),
  );
  const bodyCh = blocks.at(-1)!.config.outCh;
  const last = { inCh: bodyCh, outCh: Math.floor((1280 * bodyCh) / 440), kernel: 1 };
  const finalConv = wsConv2d({ ...last, kernelShape: 1 });
  const fc = linear({
    inCh: channelsAfter(activation, last.outCh),
    outCh: numClasses,
    wInit: options.fcInit ?? zeros,
    draws: dropRate > 0 ? 1 : 0,
  });

  const net = model<NFRegnetSpec, Params<NFRegnetSpec>>({
    name: "nfRegnet",
    module: "NF_RegNet",
    blockModule: "nf_block",
    spec: {
      initialConv: initialConv.spec,
      blocks: blocks.map((b) => b.spec),
      finalConv: finalConv.spec,
      linear: fc.spec,
    },
    blocks,
    numClasses,
    dropRate,
    stem: (p, x, ready) => initialConv.ready(ready(p.initialConv), x),
    blockParams: (p) => p.blocks,
    last: (p, x, ready) => {
      const h = finalConv.ready(ready(p.finalConv), x);
      return ops.scaledActivation(h, { kind: activation });
    },
    classify: (p, pool) => fc(p.linear, pool),
    stemConvs: [first],
    lastConv: last,
    poolCh: last.outCh,
  });
  return Object.assign(net, { trainImsize: sizes.trainImsize, testImsize: sizes.testImsize });
}
