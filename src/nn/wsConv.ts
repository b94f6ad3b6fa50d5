// The convolutions that base.py does not have, weight-standardized by its rule: in one dimension, and transposed.
// Their weights keep the outputs last, as all weights here, so that AGC's units and `standardize` are the paper's.
import type { Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import * as ops from "../ops/index.ts";
import { ones, varianceScaling, zeros } from "./init.ts";
import { type Layer, layer, param } from "./layer.ts";
import type { ConvOptions } from "./layers.ts";

export interface Conv1dOptions {
  readonly inCh: number;
  readonly outCh: number;
  readonly kernelShape: number;
  readonly stride?: number;
  readonly padding?: "SAME" | "VALID" | readonly [before: number, after: number];
  readonly dilation?: number;
  readonly groups?: number;
}

type WsSpec = ReturnType<typeof wsSpec>;
type WsLayer = Layer<WsSpec, [x: Tensor, options?: { readonly eps?: number }], Tensor>;

function wsSpec(
  name: string,
  [kh, kw]: readonly [number, number],
  { inCh, outCh, groups = 1 }: { inCh: number; outCh: number; groups?: number },
) {
  if (inCh % groups !== 0 || outCh % groups !== 0)
    throw new ShapeError(`${name}: ${groups} groups do not divide ${inCh} to ${outCh} channels`);
  return {
    w: param([kh, kw, inCh / groups, outCh], varianceScaling(1, "fan_in", "normal")),
    gain: param([outCh], ones),
    bias: param([outCh], zeros),
  };
}

/**
 * Weight-standardized convolution of sequences: `(params, x, { eps = 1e-4 }?)`, `[n, l, inCh]` -> `[n, l', outCh]`.
 * The weight is `[1, kernelShape, inCh / groups, outCh]`: with its axis of 1, AGC takes a unit to be one output's
 * weights, where `optim.py: unitwise_norm` would norm three axes over the first alone.
 *
 * @throws ShapeError for channels that `groups` does not divide, or an x that is not `[n, l, inCh]`.
 */
export function wsConv1d(options: Conv1dOptions): WsLayer {
  const { kernelShape, stride = 1, padding = "SAME", dilation = 1, groups = 1 } = options;
  const pads = typeof padding === "string" ? padding : ([[0, 0], padding] as const);
  return layer(wsSpec("wsConv1d", [1, kernelShape], options), (p, x, { eps = 1e-4 } = {}) => {
    if (x.shape.length !== 3)
      throw new ShapeError(
        `wsConv1d: x [${x.shape}] has rank ${x.shape.length}, expected [n, l, c]`,
      );
    const [n, l, c] = x.shape as [number, number, number];
    const attrs = { stride: [1, stride], padding: pads, dilation: [1, dilation], groups } as const;
    const wide = ops.reshape(x, { shape: [n, 1, l, c] });
    const y = ops.conv2d(wide, ops.standardize(p.w, p.gain, { eps }), p.bias, attrs);
    return ops.reshape(y, { shape: [n, y.shape[2]!, options.outCh] });
  });
}

export interface ConvTransposeOptions extends Omit<ConvOptions, "padding"> {
  readonly padding?: ops.Padding;
}

/**
 * Weight-standardized transposed convolution (`ops.convTranspose2d`): `(params, x, { eps = 1e-4 }?)`,
 * `[n, h, w, inCh]` -> `[n, h', w', outCh]`. A unit is what one output channel is made of, as for `wsConv2d`, so the
 * weight is `[kh, kw, inCh / groups, outCh]` and `fan_in` is `kh * kw * inCh / groups`.
 *
 * @throws ShapeError for channels that `groups` does not divide.
 */
export function wsConvTranspose2d(options: ConvTransposeOptions): WsLayer {
  const { kernelShape, stride = 1, padding = "SAME", dilation = 1, groups = 1 } = options;
  const size =
    typeof kernelShape === "number" ? ([kernelShape, kernelShape] as const) : kernelShape;
  return layer(wsSpec("wsConvTranspose2d", size, options), (p, x, { eps = 1e-4 } = {}) => {
    const w = ops.standardize(p.w, p.gain, { eps });
    return ops.convTranspose2d(x, w, p.bias, { stride, padding, dilation, groups });
  });
}
