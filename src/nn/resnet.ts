// The ResNets with batch normalization that normalizer-free networks are compared with (resnet.py; He et al. 2016).
// Options are the reference's constructor arguments.
import type { Initializer, Params } from "../core/init.ts";
import type { Tensor } from "../core/tensor.ts";
import { OptionError } from "../errors.ts";
import * as ops from "../ops/index.ts";
import { type PlainActivation, plainActivation } from "./activations.ts";
import {
  type BatchNormOptions,
  type BatchNormSpec,
  type BatchNormState,
  type BatchNormStateSpec,
  batchNorm,
  type NormMode,
} from "./batchNorm.ts";
import type { LinearSpec } from "./block.ts";
import { zeros } from "./init.ts";
import { conv2d, linear, type Mode, meanVariance, type PlainConvSpec } from "./layers.ts";
import {
  type Described,
  drawsOfAll,
  forwardPass,
  type ModelOutputs,
  type OutputsMode,
  type Pass,
  stack,
  variantOf,
} from "./model.ts";
import { haikuNames } from "./names.ts";
import {
  type Common,
  type ResBlockConfig,
  type ResBlockSpec,
  type ResBlockStateSpec,
  resBlock,
} from "./resBlock.ts";
import { type NFResnetVariant, nfResnetVariants } from "./variants.ts";

export type ResnetSpec = {
  readonly initialConv: PlainConvSpec;
  readonly initialBn?: BatchNormSpec;
  readonly blocks: readonly ResBlockSpec[];
  readonly finalBn?: BatchNormSpec;
  readonly linear: LinearSpec;
};
export type ResnetStateSpec = {
  readonly initialBn?: BatchNormStateSpec;
  readonly blocks: readonly ResBlockStateSpec[];
  readonly finalBn?: BatchNormStateSpec;
};
export type ResnetState = Params<ResnetStateSpec>;

export interface ResnetOptions {
  readonly numClasses: number;
  /** The stem has 16, the stages 64, 128, 256 and 512 times this many channels: 4 is the usual ResNet. */
  readonly width: number;
  /** `"ResNet50"`, 101, 152, 200, 288 or 600, or your own. */
  readonly variant?: string | NFResnetVariant;
  /** Default: the reference's experiment's, scale and offset and a decay of 0.9. */
  readonly normKwargs?: Partial<Omit<BatchNormOptions, "ch" | "rank">> | null;
  readonly activation?: PlainActivation;
  /** Dropout before the classifier; default none. */
  readonly dropRate?: number;
  /** The classifier's weight; default zeros. */
  readonly fcInit?: Initializer;
  /** Of all convolutions: `rate` is their dilation. */
  readonly convKwargs?: { readonly wInit?: Initializer; readonly rate?: number } | null;
  /** Normalization and activation before each convolution (V2, the default) or after it (V1). */
  readonly preactivation?: boolean;
  readonly useSe?: boolean;
  readonly seRatio?: number;
}

/** How the model is called: as a layer, with the running statistics. */
export interface ResnetMode extends Mode, NormMode<ResnetState> {}
export interface ResnetOutputs extends ModelOutputs {
  /** The next running statistics; in evaluation those that were given. */
  readonly state: ResnetState;
}

export type Resnet = ((
  params: Params<ResnetSpec>,
  x: Tensor,
  mode: ResnetMode,
) => { readonly logits: Tensor; readonly state: ResnetState }) &
  Described<ResnetSpec, ResBlockConfig> & {
    /** The running statistics: `gpu.init(model.stateSpec)`. */
    readonly stateSpec: ResnetStateSpec;
    /** From tree path to Haiku's name, for the running statistics. */
    readonly stateNames: Readonly<Record<string, string>>;
    readonly outputs: (
      params: Params<ResnetSpec>,
      x: Tensor,
      mode: ResnetMode & OutputsMode,
    ) => ResnetOutputs;
  };

/** A part's result, in training with its next statistics. */
interface Part {
  readonly out: Tensor;
  readonly state?: BatchNormState;
}
interface BlockPart {
  readonly out: Tensor;
  readonly state?: Params<ResBlockStateSpec>;
}
const named = (spec: Parameters<typeof haikuNames>[0], blockModule: string) =>
  haikuNames(spec, "ResNet", ([first, index, ...rest]) => {
    if (first !== "blocks") return index === undefined ? [first!] : [first!, index, ...rest];
    const module = index === "0" ? blockModule : `${blockModule}_${index}`;
    // Haiku makes this one when the block is called, and its name then has no `~`.
    return rest[0] === "shortcutBn"
      ? [`${module}/shortcut_bn`, ...rest.slice(1)]
      : [module, ...rest];
  });

/**
 * A ResNet with batch normalization: `(params, x, { train, state, keys?, testLocalStats? })` ->
 * `{ logits, state }`, images `[n, h, w, 3]` -> logits `[n, numClasses]`. In training `state` is
 * the next running statistics: `gpu.assign(state, next)`.
 * @throws OptionError for a variant, a width, normKwargs or an activation that it cannot be made of.
 */
export function resnet(options: ResnetOptions): Resnet {
  const { numClasses, width, variant = "ResNet50", activation = "relu", dropRate = 0 } = options;
  const { preactivation = true, useSe = false, seRatio = 0.25 } = options;
  const { wInit, rate = 1 } = options.convKwargs ?? {};
  const { depth } = variantOf("resnet", nfResnetVariants, variant);
  if (depth.length !== 4)
    throw new OptionError(`resnet: variant.depth [${depth}] expects 4 stages`);
  if (!(Number.isInteger(16 * width) && width > 0))
    throw new OptionError(`resnet: width ${width} expects whole numbers of channels`);
  if (activation === "glu" && !preactivation)
    throw new OptionError("resnet: glu halves the channels of a shortcut without preactivation");
  const norms = { createScale: true, createOffset: true, decayRate: 0.9, ...options.normKwargs };
  const common: Common = {
    act: plainActivation("resnet", activation),
    after: (ch) => (activation === "glu" ? ch / 2 : ch),
    norm: (ch) => batchNorm({ ...norms, ch }),
    conv: (inCh, outCh, kernelShape, stride = 1) =>
      conv2d({
        inCh,
        outCh,
        kernelShape,
        stride,
        dilation: rate,
        withBias: false,
        ...(wInit && { wInit }),
      }),
    preactivation,
    seRatio: useSe ? seRatio : null,
  };
  const { act, after } = common;

  const stemCh = 16 * width;
  const initialConv = common.conv(3, stemCh, 7, 2);
  const initialBn = common.norm(stemCh);
  const blocks = stack(
    "resnet",
    depth.map((n, i) => ({ width: 64 * 2 ** i * width, depth: n, stride: i === 0 ? 1 : 2 })),
    { inCh: stemCh, alpha: 0, stochdepthRate: 0 },
    ({ inCh, outCh, stride }) => resBlock({ inCh, outCh, stride }, common),
  );
  const bodyCh = blocks.at(-1)!.config.outCh;
  const finalBn = common.norm(bodyCh);
  const fc = linear({
    inCh: preactivation ? after(bodyCh) : bodyCh,
    outCh: numClasses,
    wInit: options.fcInit ?? zeros,
    draws: dropRate > 0 ? 1 : 0,
  });

  const spec: ResnetSpec = {
    initialConv: initialConv.spec,
    ...(!preactivation && { initialBn: initialBn.spec }),
    blocks: blocks.map((b) => b.spec),
    ...(preactivation && { finalBn: finalBn.spec }),
    linear: fc.spec,
  };
  const stateSpec: ResnetStateSpec = {
    ...(!preactivation && { initialBn: initialBn.stateSpec }),
    blocks: blocks.map((b) => b.stateSpec),
    ...(preactivation && { finalBn: finalBn.stateSpec }),
  };
  const draws = drawsOfAll([], dropRate);

  function compute(
    p: Params<ResnetSpec>,
    x: Tensor,
    mode: ResnetMode & OutputsMode,
  ): ResnetOutputs {
    const { train, state, testLocalStats = false } = mode;
    if (!state)
      throw new OptionError("resnet: no state was given; gpu.init(model.stateSpec) makes it");
    const norm = { train, testLocalStats };
    const next: { initialBn?: BatchNormState; finalBn?: BatchNormState } = {};
    const nextBlocks: Params<ResBlockStateSpec>[] = [];
    /** What a part returns outlives its scope: in training its next statistics, too. */
    const part = <N>(out: Tensor, state: N) => (train ? { out, state } : { out });

    const stem = (image: Tensor): Part => {
      const h = initialConv(p.initialConv, image);
      const pooled = (y: Tensor) => ops.maxPool(y, { window: 3, stride: 2, padding: "SAME" });
      if (!p.initialBn || !state.initialBn) return { out: pooled(h) };
      const n = initialBn(p.initialBn, h, { ...norm, state: state.initialBn });
      return part(pooled(act(n.y)), n.state);
    };
    const pool = (h: Tensor): Part => {
      if (!p.finalBn || !state.finalBn) return { out: ops.mean(h, { axis: [1, 2] }) };
      const n = finalBn(p.finalBn, h, { ...norm, state: state.finalBn });
      return part(ops.mean(act(n.y), { axis: [1, 2] }), n.state);
    };
    const pass: Pass = {
      stem: (h) => {
        const made = h.gpu.scope(() => stem(h));
        if (made.state) next.initialBn = made.state;
        return made.out;
      },
      blocks: blocks.map((block, i) => {
        const run = (h: Tensor) =>
          block.compute(p.blocks[i]!, h, { ...norm, state: state.blocks[i]! });
        return {
          draws: 0,
          out: (h) => {
            const made = h.gpu.scope((): BlockPart => {
              const { out, state: after } = run(h);
              return part(out, after);
            });
            if (made.state) nextBlocks.push(made.state);
            return made.out;
          },
          outputs: (h) => {
            const made = h.gpu.scope((): BlockPart & { resAvgVar: Tensor } => {
              const { out, branch, state: after } = run(h);
              return { ...part(out, after), resAvgVar: meanVariance(branch) };
            });
            if (made.state) nextBlocks.push(made.state);
            return { out: made.out, resAvgVar: made.resAvgVar };
          },
        };
      }),
      pool: (h) => {
        const made = h.gpu.scope(() => pool(h));
        if (made.state) next.finalBn = made.state;
        return made.out;
      },
      classify: (h) => fc(p.linear, h),
    };
    const out = forwardPass({ name: "resnet", draws, dropRate }, pass, x, mode);
    const { initialBn: first, finalBn: last } = next;
    const after = {
      ...(first && { initialBn: first }),
      blocks: nextBlocks,
      ...(last && { finalBn: last }),
    };
    return { ...out, state: train ? after : state };
  }

  const apply = (p: Params<ResnetSpec>, x: Tensor, mode: ResnetMode) =>
    x.gpu.scope((): ReturnType<Resnet> => {
      const { logits, state } = compute(p, x, mode);
      return { logits, state };
    });
  const blockModule = preactivation ? "res_block_v2" : "res_block_v1";
  return Object.assign(apply, {
    spec,
    stateSpec,
    names: named(spec, blockModule),
    stateNames: named(stateSpec, blockModule),
    blocks: blocks.map((b) => b.config),
    draws,
    numClasses,
    dropRate,
    outputs: (p: Params<ResnetSpec>, x: Tensor, mode: ResnetMode & OutputsMode) =>
      x.gpu.scope((): ResnetOutputs => compute(p, x, mode)),
  });
}
