// The normalizer-free residual block, in the generality that NFNet, NF-RegNet and NF-ResNet need.
// Not for users: each family's file gives it the reference's arguments.

import type { Initializer, ParamSpec, Params } from "../core/init.ts";
import type { Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import type { ActivationKind } from "../ops/index.ts";

import * as ops from "../ops/index.ts";
import { convFlops } from "./flops.ts";
import { type Layer, param } from "./layer.ts";
import { keysFor, type Mode, meanVariance, squeezeExcite, wsConv2d } from "./layers.ts";
import { standardized } from "./standardized.ts";

export type { ActivationKind };
export type ConvSpec = {
  readonly w: ParamSpec;
  readonly gain: ParamSpec;
  readonly bias: ParamSpec;
};
export type LinearSpec = { readonly w: ParamSpec; readonly b: ParamSpec };
/** In the order in which Haiku creates them; NF-RegNet's squeezeExcite comes before conv2. */
export type BlockSpec = {
  readonly convShortcut?: ConvSpec;
  readonly conv0: ConvSpec;
  readonly conv1: ConvSpec;
  readonly conv1b?: ConvSpec;
  readonly squeezeExcite?: { readonly linear: LinearSpec; readonly linear1: LinearSpec };
  readonly conv2: ConvSpec;
  readonly skipGain: ParamSpec;
};

export type BlockParams = Params<BlockSpec>;

/** What the three blocks have in common. */
export interface BlockOptions {
  readonly inCh: number;
  readonly outCh: number;
  readonly stride?: number;
  /** 1 / the expected standard deviation of the input. */
  readonly beta?: number;
  /** The residual branch's share: the expected variance grows by alpha^2. */
  readonly alpha?: number;
  readonly activation?: ActivationKind;
  /** Probability that a sample's residual branch is dropped; none if not in (0, 1). */
  readonly stochdepthRate?: number | null;
}

/** What a block came to. */
export interface BlockConfig {
  readonly inCh: number;
  readonly outCh: number;
  /** Channels between conv0 and conv2. */
  readonly width: number;
  readonly groups: number;
  readonly stride: number;
  readonly useProjection: boolean;
  readonly useTwoConvs: boolean;
  readonly beta: number;
  readonly alpha: number;
  /** Hidden channels of squeeze-and-excite; null without it. */
  readonly seHidden: number | null;
  readonly stochdepthRate: number;
}

export interface BlockOutputs {
  readonly out: Tensor;
  /** The mean over channels of the residual branch's variance, a scalar: a metric. */
  readonly resAvgVar: Tensor;
}

export interface BlockMode extends Mode {
  /** The weights are standardized already (`standardized`); default: the block does its own, all at once. */
  readonly standardized?: boolean;
}

/** `(params, x, mode)`: `[n, h, w, inCh]` -> `[n, ceil(h/stride), ceil(w/stride), outCh]`. */
export type Block<S = BlockSpec, C = BlockConfig> = Layer<
  S,
  [x: Tensor, mode: BlockMode],
  Tensor
> & {
  readonly config: C;
  /** Keys that one training application draws: 0 or 1. */
  readonly draws: number;
  /** The result with the reference's second one. */
  readonly outputs: (params: Params<S>, x: Tensor, mode: BlockMode) => BlockOutputs;
  /** The reference's count for an input of h by w. */
  readonly countFlops: (h: number, w: number) => number;
};

export interface BlockPlan extends Required<BlockOptions> {
  readonly name: string;
  readonly width: number;
  readonly groups: number;
  readonly kernel: number;
  readonly twoConvs: boolean;
  /** NF-ResNet strides the shortcut's convolution, the others pool in front of it. */
  readonly shortcut: "pool" | "stride";
  readonly excite: { readonly after: "conv1" | "conv2"; readonly ratio: number } | null;
  readonly skipInit: Initializer;
}

/** Channels that an activation leaves: `glu` halves them. */
export const channelsAfter = (kind: ActivationKind, ch: number): number =>
  kind === "glu" ? ch / 2 : ch;

/** A width rounded down to whole groups. @throws ShapeError where not even one is left. */
export function grouped(name: string, width: number, groupSize: number) {
  const groups = Math.floor(width / groupSize);
  if (groups >= 1) return { width: groups * groupSize, groups };
  throw new ShapeError(
    `${name}: a width of ${width} channels is below the group size ${groupSize}`,
  );
}

/** A block from its plan. */
export function block(plan: BlockPlan): Block {
  const { name, inCh, outCh, width, groups, kernel, stride, beta, alpha, activation, excite } =
    plan;
  const useProjection = stride > 1 || inCh !== outCh;
  const rate = plan.stochdepthRate ?? 0;
  const draws = drawsOf(rate);
  const from = channelsAfter(activation, inCh);
  const inside = channelsAfter(activation, width);

  const shortcutStride = plan.shortcut === "stride" ? stride : 1;
  const convShortcut = wsConv2d({ inCh: from, outCh, kernelShape: 1, stride: shortcutStride });
  const conv0 = wsConv2d({ inCh: from, outCh: width, kernelShape: 1 });
  const grid = { inCh: inside, outCh: width, kernelShape: kernel, groups };
  const conv1 = wsConv2d({ ...grid, stride });
  const conv1b = wsConv2d(grid);
  const conv2 = wsConv2d({ inCh: inside, outCh, kernelShape: 1 });
  const seCh = excite?.after === "conv1" ? width : outCh;
  const se = excite && squeezeExcite({ inCh: seCh, outCh: seCh, seRatio: excite.ratio });

  const spec: BlockSpec = {
    ...(useProjection && { convShortcut: convShortcut.spec }),
    conv0: conv0.spec,
    conv1: conv1.spec,
    ...(plan.twoConvs && { conv1b: conv1b.spec }),
    ...(se && excite?.after === "conv1" && { squeezeExcite: se.spec }),
    conv2: conv2.spec,
    ...(se && excite?.after === "conv2" && { squeezeExcite: se.spec }),
    skipGain: param([], plan.skipInit, { draws }),
  };

  const act = (x: Tensor, scale = 1) => ops.scaledActivation(x, { kind: activation, scale });
  function compute(params: BlockParams, x: Tensor, mode: BlockMode) {
    const p = mode.standardized ? params : standardized(params);
    const start = act(x, beta);
    let shortcut = x;
    if (p.convShortcut) {
      const pooled = stride > 1 && plan.shortcut === "pool";
      const to = pooled ? ops.avgPool(start, { window: 2, stride: 2, padding: "SAME" }) : start;
      shortcut = convShortcut.ready(p.convShortcut, to);
    }
    const excited = (h: Tensor, after: "conv1" | "conv2") =>
      se && p.squeezeExcite && excite?.after === after
        ? se.excite(p.squeezeExcite, h, { scale: 2 })
        : h;
    let h = conv1.ready(p.conv1, act(conv0.ready(p.conv0, start)));
    if (p.conv1b) h = conv1b.ready(p.conv1b, act(h));
    h = excited(h, "conv1");
    const branch = excited(conv2.ready(p.conv2, act(h)), "conv2");
    const kept = dropped(name, branch, mode, rate);
    return { branch, out: ops.residual(kept, shortcut, p.skipGain, { alpha }) };
  }

  const config: BlockConfig = {
    inCh,
    outCh,
    width,
    groups,
    stride,
    useProjection,
    useTwoConvs: plan.twoConvs,
    beta,
    alpha,
    seHidden: se ? se.hidden : null,
    stochdepthRate: rate,
  };
  return residualBlock(spec, {
    config,
    draws,
    compute,
    countFlops: (h, w) => {
      const n = convsFlops({ ...config, kernel, shortcutStride }, h, w);
      // As in the reference, which takes the inner width for squeeze-and-excite's input.
      return n + (se ? se.hidden * ((plan.shortcut === "stride" ? width : seCh) + seCh) : 0);
    },
  });
}

/** Keys that stochastic depth of that rate draws in training: none if it is not in (0, 1). */
export const drawsOf = (rate: number): number => (rate > 0 && rate < 1 ? 1 : 0);

/** The branch with stochastic depth, in training. */
export function dropped(name: string, branch: Tensor, mode: Mode, rate: number): Tensor {
  if (!mode.train || drawsOf(rate) === 0) return branch;
  return ops.stochDepth(branch, keysFor(name, mode, 1), { at: mode.at ?? 0, rate });
}

/** A block of any family, from what it computes: the residual branch before stochastic depth, and the result. */
export function residualBlock<S, C>(
  spec: S,
  {
    compute,
    ...rest
  }: Pick<Block<S, C>, "config" | "draws" | "countFlops"> & {
    readonly compute: (p: Params<S>, x: Tensor, mode: BlockMode) => { branch: Tensor; out: Tensor };
  },
): Block<S, C> {
  const apply = (p: Params<S>, x: Tensor, mode: BlockMode): Tensor =>
    x.gpu.scope(() => compute(p, x, mode).out);
  const outputs = (p: Params<S>, x: Tensor, mode: BlockMode): BlockOutputs =>
    x.gpu.scope(() => {
      const { branch, out } = compute(p, x, mode);
      return { out, resAvgVar: meanVariance(branch) };
    });
  return Object.assign(apply, { spec, outputs, ...rest });
}

interface BranchShape {
  readonly inCh: number;
  readonly outCh: number;
  readonly width: number;
  readonly groups: number;
  readonly kernel: number;
  readonly stride: number;
  readonly useProjection: boolean;
  readonly useTwoConvs: boolean;
  readonly shortcutStride: number;
}

/** The reference's count of a block's convolutions, which divides a strided shortcut twice. */
export function convsFlops(shape: BranchShape, h: number, w: number): number {
  const { inCh, outCh, width, groups, kernel, stride, shortcutStride } = shape;
  const [h2, w2] = [h / stride, w / stride];
  let n = convFlops({ inCh, outCh: width, kernel: 1 }, h, w);
  n += convFlops({ inCh: width, outCh: width, kernel, stride, groups }, h, w);
  if (shape.useTwoConvs) n += convFlops({ inCh: width, outCh: width, kernel, groups }, h2, w2);
  n += convFlops({ inCh: width, outCh, kernel: 1 }, h2, w2);
  if (!shape.useProjection) return n;
  return n + convFlops({ inCh, outCh, kernel: 1, stride: shortcutStride }, h2, w2);
}

/** The options that all blocks share, with the reference's defaults. */
export const common = (o: BlockOptions, activation: ActivationKind) => ({
  inCh: o.inCh,
  outCh: o.outCh,
  stride: o.stride ?? 1,
  beta: o.beta ?? 1,
  alpha: o.alpha ?? 0.2,
  activation: o.activation ?? activation,
  stochdepthRate: o.stochdepthRate ?? null,
});
