// 2-d convolution and its gradients: shapes, padding, checks. How it is computed is gemm.ts.
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import type { Shape, Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { depthwise, isDepthwise } from "./depthwise.ts";
import { gemm, type Operands } from "./gemm.ts";
import { sumRows } from "./reduce.ts";
import type { Geometry, Pass } from "./variants.ts";

type Pair = readonly [number, number];
/** `[[top, bottom], [left, right]]` pixels of zeros, or one of TensorFlow's two rules. */
export type Padding = "SAME" | "VALID" | readonly [Pair, Pair];
export interface Conv2dAttrs {
  /** Pixels from one output to the next: a number, or `[h, w]`. Default 1. */
  readonly stride?: number | Pair;
  /** Default "SAME": the output has `ceil(size / stride)` pixels; of an odd total the larger half is below and right. */
  readonly padding?: Padding;
  /** Pixels from one tap of the kernel to the next: a number, or `[h, w]`. Default 1. */
  readonly dilation?: number | Pair;
  /** Channels are cut into so many groups, each convolved with its own part of w. Default 1. */
  readonly groups?: number;
}

export function pairOf(op: string, name: string, value: number | Pair | undefined): Pair {
  const pair = typeof value === "object" ? value : ([value ?? 1, value ?? 1] as const);
  if (pair.length === 2 && pair.every((v) => Number.isInteger(v) && v >= 1)) return pair;
  throw new ShapeError(
    `${op}: ${name} is ${show(value)}, expected a whole number from 1, or [h, w]`,
  );
}
export const show = (value: unknown): string => JSON.stringify(value) ?? String(value);

/** Zeros before and after one axis. SAME is TensorFlow's. */
function padOf(padding: Padding, axis: 0 | 1, size: number, stride: number, reach: number): Pair {
  if (padding === "VALID") return [0, 0];
  if (padding === "SAME") {
    const total = Math.max((Math.ceil(size / stride) - 1) * stride + reach - size, 0);
    return [Math.floor(total / 2), Math.ceil(total / 2)];
  }
  return padding[axis];
}

export function checkPadding(op: string, padding: Padding): void {
  if (padding === "SAME" || padding === "VALID") return;
  const good =
    Array.isArray(padding) &&
    padding.length === 2 &&
    padding.every(
      (p) => Array.isArray(p) && p.length === 2 && p.every((v) => Number.isInteger(v) && v >= 0),
    );
  if (good) return;
  throw new ShapeError(
    `${op}: padding is ${show(padding)}, expected "SAME", "VALID" or [[top, bottom], [left, right]] of whole numbers from 0`,
  );
}

/** All sizes of a convolution, checked. */
export function geometry(x: Shape, w: Shape, attrs: Conv2dAttrs): Geometry {
  const { padding = "SAME", groups = 1 } = attrs;
  const stride = pairOf("conv2d", "stride", attrs.stride);
  const dilation = pairOf("conv2d", "dilation", attrs.dilation);
  checkPadding("conv2d", padding);
  if (x.length !== 4)
    throw new ShapeError(`conv2d: x [${x}] has rank ${x.length}, expected [n, h, w, c]`);
  if (w.length !== 4) {
    throw new ShapeError(
      `conv2d: weight [${w}] has rank ${w.length}, expected [kh, kw, in / groups, out]`,
    );
  }
  const [batch, h, width, c] = x as readonly [number, number, number, number];
  const [kh, kw, ci, k] = w as readonly [number, number, number, number];
  if (!Number.isInteger(groups) || groups < 1) {
    throw new ShapeError(`conv2d: groups is ${show(groups)}, expected a whole number from 1`);
  }
  if (c !== ci * groups) {
    throw new ShapeError(
      `conv2d: weight [${w}] expects ${ci}·groups input channels, x is [${x}] (groups=${groups})`,
    );
  }
  if (k % groups !== 0) {
    throw new ShapeError(
      `conv2d: weight [${w}] has ${k} output channels, not divisible by groups=${groups}`,
    );
  }
  const axes = ([0, 1] as const).map((axis) => {
    const size = axis === 0 ? h : width;
    const reach = ((axis === 0 ? kh : kw) - 1) * dilation[axis] + 1;
    const [low, high] = padOf(padding, axis, size, stride[axis], reach);
    return { low, out: Math.floor((size + low + high - reach) / stride[axis]) + 1 };
  });
  const [vertical, horizontal] = axes as [
    { low: number; out: number },
    { low: number; out: number },
  ];
  if (vertical.out < 1 || horizontal.out < 1) {
    throw new ShapeError(
      `conv2d: weight [${w}] with dilation [${dilation}] is larger than x [${x}] with padding ${show(padding)}: ` +
        `the output would be ${vertical.out} x ${horizontal.out}`,
    );
  }
  const co = k / groups;
  return {
    ...{ batch, h, w: width, oh: vertical.out, ow: horizontal.out },
    ...{ kernel: [kh, kw], stride, dilation, pad: [vertical.low, horizontal.low] },
    ...{
      slices: groups,
      ci,
      co,
      xPixel: c,
      yPixel: k,
      wRow: k,
      xSlice: ci,
      ySlice: co,
      wSlice: co,
    },
  };
}

export function checkTensors(op: string, x: Tensor, w: Tensor, bias: Tensor | null): void {
  for (const [name, t] of [
    ["x", x],
    ["weight", w],
    ["bias", bias],
  ] as const) {
    if (t && t.dtype !== "f32") throw new ShapeError(`${op}: ${name} is ${t.dtype}, expected f32`);
  }
  const k = w.shape[3];
  if (bias && (bias.shape.length !== 1 || bias.shape[0] !== k)) {
    throw new ShapeError(
      `${op}: bias is [${bias.shape}], expected [${k}], the weight's output channels`,
    );
  }
}

/** One pass, by the kernel that fits. */
export const convolve = (run: Run, g: Geometry, pass: Pass, operands: Operands): void =>
  (isDepthwise(g) ? depthwise : gemm)(run, g, pass, operands);

/**
 * `conv2d(x, w, bias?, attrs?)`: cross-correlation as in TensorFlow and `lax.conv_general_dilated`.
 * x `[n, h, w, c]`, w `[kh, kw, c / groups, out]`, bias `[out]`; the result is `[n, oh, ow, out]`, all f32.
 *
 * @throws ShapeError for ranks, dtypes, channels, groups, strides, dilations or paddings that do not fit.
 */
export const conv2d = /* @__PURE__ */ defineOp({
  name: "conv2d",
  inputs: ["x", "w", "bias?"],
  saves: ["x", "w"],
  shape: ({ x, w, bias }, attrs: Conv2dAttrs) => {
    const g = geometry(x.shape, w.shape, attrs);
    checkTensors("conv2d", x, w, bias);
    return [g.batch, g.oh, g.ow, g.yPixel];
  },
  forward: (run, { x, w, bias, y }, attrs) =>
    convolve(run, geometry(x.shape, w.shape, attrs), "forward", { a: x, b: w, bias, c: y }),
  backward: (run, { x, w, dy, dx, dw, dbias }, attrs) => {
    const g = geometry(x.shape, w.shape, attrs);
    if (dx) convolve(run, g, "data", { a: dy, b: w, c: dx });
    if (dw) convolve(run, g, "weight", { a: x, b: dy, c: dw });
    if (dbias) sumRows(run, dy, dbias);
  },
});
