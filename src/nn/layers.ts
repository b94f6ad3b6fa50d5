// The reference's modules (base.py) and Haiku's Linear, as layers. Options are the constructors'
// arguments in camelCase; convolutions call theirs as `ops.conv2d` does.

import type { Initializer, ParamSpec, Params } from "../core/init.ts";
import type { Tensor } from "../core/tensor.ts";
import { OptionError, ShapeError } from "../errors.ts";
import * as ops from "../ops/index.ts";
import { ones, truncatedNormal, varianceScaling, zeros } from "./init.ts";
import { layer, param } from "./layer.ts";

/** How a layer that draws random masks is called. */
export interface Mode {
  /** Training draws masks; otherwise nothing is dropped. */
  readonly train: boolean;
  /** u32 `[n, 2]`, from `random.keys`; needed in training by what draws. */
  readonly keys?: Tensor | undefined;
  /** The row of `keys` of the first draw; default 0. */
  readonly at?: number | undefined;
}

/** The row of `keys` for a draw. @throws ShapeError where the caller gave no keys, or too few. */
export function keysFor(user: string, { keys, at = 0 }: Mode, draws: number): Tensor {
  const rows = keys?.shape[0] ?? 0;
  if (keys && rows >= at + draws) return keys;
  const given = keys ? `keys is [${keys.shape}]` : "no keys were given";
  throw new ShapeError(
    `${user}: training draws ${draws} masks from row ${at} of keys on, ${given}; ` +
      "pass random.keys([seed, step], model.draws)",
  );
}

export interface ConvOptions {
  readonly inCh: number;
  readonly outCh: number;
  readonly kernelShape: number | readonly [number, number];
  readonly stride?: number | readonly [number, number];
  readonly padding?: "SAME" | "VALID";
  readonly dilation?: number | readonly [number, number];
  readonly groups?: number;
}

/** A convolution without weight standardization; `b` is missing where it has no bias. */
export type PlainConvSpec = { readonly w: ParamSpec; readonly b?: ParamSpec };

const pair = (n: number | readonly [number, number]) => (typeof n === "number" ? [n, n] : n);

/**
 * `base.py: WSConv2D`: convolution with scaled weight standardization, a gain, and always a bias.
 * `(params, x, { eps = 1e-4 }?)`: `[n, h, w, inCh]` -> `[n, h', w', outCh]`. Its `ready(params, x)`
 * takes a weight that is standardized already (`standardized`, which does all of a tree at once).
 * @throws ShapeError for channels that `groups` does not divide.
 */
export function wsConv2d({ inCh, outCh, kernelShape, groups = 1, ...rest }: ConvOptions) {
  if (inCh % groups !== 0 || outCh % groups !== 0)
    throw new ShapeError(`wsConv2d: ${groups} groups do not divide ${inCh} to ${outCh} channels`);
  const { stride = 1, padding = "SAME", dilation = 1 } = rest;
  const spec = {
    w: param([...pair(kernelShape), inCh / groups, outCh], varianceScaling(1, "fan_in", "normal")),
    gain: param([outCh], ones),
    bias: param([outCh], zeros),
  };
  const ready = layer(spec, (p, x: Tensor): Tensor => {
    return ops.conv2d(x, p.w, p.bias, { stride, padding, dilation, groups });
  });
  const own = layer(
    spec,
    (p, x: Tensor, { eps = 1e-4 }: { readonly eps?: number } = {}): Tensor =>
      ready({ ...p, w: ops.standardize(p.w, p.gain, { eps }) }, x),
  );
  return Object.assign(own, { ready });
}

export interface PlainConvOptions extends ConvOptions {
  /** Default true. */
  readonly withBias?: boolean;
  /** Default: Haiku's, truncated normal with std 1/sqrt(fan-in). */
  readonly wInit?: Initializer;
  readonly bInit?: Initializer;
}

/**
 * `hk.Conv2D`: `[n, h, w, inCh]` -> `[n, h', w', outCh]`. Its parameters are `w` and, but for
 * `withBias: false`, `b`.
 * @throws ShapeError for channels that `groups` does not divide.
 */
export function conv2d(options: PlainConvOptions) {
  const { inCh, outCh, kernelShape, groups = 1, withBias = true, bInit = zeros } = options;
  if (inCh % groups !== 0 || outCh % groups !== 0)
    throw new ShapeError(`conv2d: ${groups} groups do not divide ${inCh} to ${outCh} channels`);
  const { stride = 1, padding = "SAME", dilation = 1 } = options;
  const shape = [...pair(kernelShape), inCh / groups, outCh];
  const fanIn = shape.slice(0, -1).reduce((n, d) => n * d, 1);
  const spec: PlainConvSpec = {
    w: param(shape, options.wInit ?? truncatedNormal(1 / Math.sqrt(fanIn))),
    ...(withBias && { b: param([outCh], bInit) }),
  };
  return layer(
    spec,
    (p: Params<PlainConvSpec>, x: Tensor): Tensor =>
      ops.conv2d(x, p.w, p.b ?? null, { stride, padding, dilation, groups }),
  );
}

export interface LinearOptions {
  readonly inCh: number;
  readonly outCh: number;
  /** Default: Haiku's, truncated normal with std 1/sqrt(inCh). */
  readonly wInit?: Initializer;
  readonly bInit?: Initializer;
  /** Keys that a training pass draws before the layer: a dropout in front of it. */
  readonly draws?: number;
}

/** `hk.Linear`: `[..., inCh]` -> `[..., outCh]`, with a bias. */
export function linear({ inCh, outCh, wInit, bInit = zeros, draws = 0 }: LinearOptions) {
  const spec = {
    w: param([inCh, outCh], wInit ?? truncatedNormal(1 / Math.sqrt(inCh)), { draws }),
    b: param([outCh], bInit),
  };
  return layer(spec, (p, x: Tensor): Tensor => ops.linear(x, p.w, p.b));
}

export interface SqueezeExciteOptions {
  readonly inCh: number;
  readonly outCh: number;
  /** Hidden channels are `max(1, int(inCh * seRatio))`; null: `hiddenCh` says. */
  readonly seRatio?: number | null;
  readonly hiddenCh?: number | null;
}

/**
 * `base.py: SqueezeExcite`: mean over H and W, linear, relu, linear, sigmoid; `[n, h, w, inCh]` ->
 * `[n, 1, 1, outCh]`. Its `logits` stop before the sigmoid, as `[n, outCh]`: `ops.scaleChannels`
 * applies sigmoid and scale in one kernel. `excite(params, x, { scale = 1 }?)`, for as many channels out as in, is
 * x * scale * gate: `ops.squeezeExcite`. `hidden` is the number of hidden channels.
 * @throws OptionError with neither `seRatio` nor `hiddenCh`.
 */
export function squeezeExcite(options: SqueezeExciteOptions) {
  const { inCh, outCh, seRatio = 0.5, hiddenCh = null } = options;
  const hidden = seRatio === null ? hiddenCh : Math.max(1, Math.trunc(inCh * seRatio));
  if (hidden === null)
    throw new OptionError("squeezeExcite: one of seRatio and hiddenCh is needed");
  const fc0 = linear({ inCh, outCh: hidden });
  const fc1 = linear({ inCh: hidden, outCh });
  const logits = layer({ linear: fc0.spec, linear1: fc1.spec }, (p, x: Tensor): Tensor => {
    const h = ops.relu(fc0(p.linear, ops.mean(x, { axis: [1, 2] })));
    return fc1(p.linear1, h);
  });
  const gate = layer(logits.spec, (p, x: Tensor): Tensor => {
    const h = ops.sigmoid(logits(p, x));
    return ops.reshape(h, { shape: [h.shape[0]!, 1, 1, outCh] });
  });
  const excite = layer(logits.spec, (p, x: Tensor, attrs: ops.SqueezeExciteAttrs = {}): Tensor => {
    const { linear: first, linear1: second } = p;
    return ops.squeezeExcite(x, first.w, first.b, second.w, second.b, attrs);
  });
  return Object.assign(gate, { logits, excite, hidden });
}

export interface StochDepthOptions {
  readonly dropRate: number;
  /** Divides what is kept by its probability; the reference's models do not. */
  readonly scaleByKeep?: boolean;
}

/** `base.py: StochDepth`: in training each sample of x is zeroed with probability `dropRate`. */
export function stochDepth({ dropRate, scaleByKeep = false }: StochDepthOptions) {
  return layer({}, (_, x: Tensor, mode: Mode): Tensor => {
    if (!mode.train) return x;
    const keys = keysFor("stochDepth", mode, 1);
    return ops.stochDepth(x, keys, { at: mode.at ?? 0, rate: dropRate, scaleByKeep });
  });
}

/** Scalars that tell whether signals keep their size (`base.py: signal_metrics`), of x `[n, h, w, c]`. */
export function signalMetrics(x: Tensor): { avgSqMean: Tensor; avgVar: Tensor } {
  return {
    avgSqMean: ops.mean(ops.square(ops.mean(x, { axis: [0, 1, 2] }))),
    avgVar: meanVariance(x),
  };
}

/** The mean over channels of their variances over n, h and w: a scalar. */
export const meanVariance = (x: Tensor): Tensor => ops.mean(ops.variance(x, { axis: [0, 1, 2] }));
