// Transposed 2-d convolution: the passes of conv2d.ts the other way round. How it is computed is gemm.ts.
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import type { Shape, Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import {
  type Conv2dAttrs,
  checkPadding,
  checkTensors,
  convolve,
  geometry,
  pairOf,
  show,
} from "./conv2d.ts";
import { copy } from "./rearrange.ts";
import { sumRows } from "./reduce.ts";
import { stridesOf, type View } from "./strided.ts";
import type { Geometry } from "./variants.ts";

const NAME = "convTranspose2d";

/** The convolution from the result's shape back to x's: all sizes, checked. */
function sizes(x: Shape, w: Shape, attrs: Conv2dAttrs): Geometry {
  const { padding = "SAME", groups = 1 } = attrs;
  const stride = pairOf(NAME, "stride", attrs.stride);
  const dilation = pairOf(NAME, "dilation", attrs.dilation);
  checkPadding(NAME, padding);
  if (x.length !== 4)
    throw new ShapeError(`${NAME}: x [${x}] has rank ${x.length}, expected [n, h, w, c]`);
  if (w.length !== 4) {
    throw new ShapeError(
      `${NAME}: weight [${w}] has rank ${w.length}, expected [kh, kw, in / groups, out]`,
    );
  }
  const [batch, h, width, c] = x as readonly [number, number, number, number];
  const [kh, kw, ci, k] = w as readonly [number, number, number, number];
  if (!Number.isInteger(groups) || groups < 1)
    throw new ShapeError(`${NAME}: groups is ${show(groups)}, expected a whole number from 1`);
  if (c !== ci * groups) {
    throw new ShapeError(
      `${NAME}: weight [${w}] expects ${ci}·groups input channels, x is [${x}] (groups=${groups})`,
    );
  }
  if (k % groups !== 0) {
    throw new ShapeError(
      `${NAME}: weight [${w}] has ${k} output channels, not divisible by groups=${groups}`,
    );
  }
  const [oh, ow] = ([0, 1] as const).map((axis) => {
    const [size, taps] = axis === 0 ? [h, kh] : [width, kw];
    const reach = (taps - 1) * dilation[axis] + 1;
    if (padding === "SAME") return size * stride[axis];
    if (padding === "VALID") return size * stride[axis] + Math.max(reach - stride[axis], 0);
    const [low, high] = padding[axis];
    return (size - 1) * stride[axis] + reach - low - high;
  }) as [number, number];
  if (oh < 1 || ow < 1) {
    throw new ShapeError(
      `${NAME}: padding ${show(padding)} leaves nothing of x [${x}] with weight [${w}]: ` +
        `the output would be ${oh} x ${ow}`,
    );
  }
  return geometry([batch, oh, ow, k], [kh, kw, k / groups, c], { ...attrs, padding });
}

/**
 * `w` as the weight of the convolution that is transposed, `[kh, kw, out / groups, in]`: taps in reverse, channels
 * swapped within each group. A view of w, and the shape that it is walked by.
 */
function turned(w: Tensor, g: Geometry): { view: View; shape: Shape } {
  const [kh, kw] = g.kernel;
  const [down, right, inner] = stridesOf(w.shape) as [number, number, number];
  return {
    shape: [kh, kw, g.ci, g.slices, g.co],
    view: {
      tensor: w,
      first: (kh - 1) * down + (kw - 1) * right,
      strides: [-down, -right, 1, g.ci, inner],
    },
  };
}

function turn(run: Run, w: Tensor, g: Geometry): Tensor {
  const { view, shape } = turned(w, g);
  const target = run.scratch([...g.kernel, g.ci, g.yPixel]);
  copy(run, shape, view, { tensor: target, first: 0, strides: stridesOf(shape) });
  return target;
}

/**
 * `convTranspose2d(x, w, bias?, attrs?)`: the convolution of x, spread out by `stride` with zeros between its pixels,
 * as `lax.conv_transpose` (its `use_consistent_padding` form where padding is given in numbers).
 * x `[n, h, w, c]`, w `[kh, kw, c / groups, out]`, bias `[out]`. The result is `[n, h * stride, w * stride, out]` for
 * "SAME" (the default), longer by `max(reach - stride, 0)` for "VALID", where `reach = (kh - 1) * dilation + 1`, and
 * `(h - 1) * stride + reach - low - high` where padding says what is cut off at each side. All f32.
 *
 * @throws ShapeError for ranks, dtypes, channels, groups, strides, dilations or paddings that do not fit.
 */
export const convTranspose2d = /* @__PURE__ */ defineOp({
  name: NAME,
  inputs: ["x", "w", "bias?"],
  saves: ["x", "w"],
  shape: ({ x, w, bias }, attrs: Conv2dAttrs) => {
    const g = sizes(x.shape, w.shape, attrs);
    checkTensors(NAME, x, w, bias);
    return [g.batch, g.h, g.w, g.xPixel];
  },
  forward: (run, { x, w, bias, y }, attrs) => {
    const g = sizes(x.shape, w.shape, attrs);
    convolve(run, g, "data", { a: x, b: turn(run, w, g), bias, c: y });
  },
  backward: (run, { x, w, dy, dx, dw, dbias }, attrs) => {
    const g = sizes(x.shape, w.shape, attrs);
    if (dx) convolve(run, g, "forward", { a: dy, b: turn(run, w, g), c: dx });
    if (dw) {
      const grad = run.scratch([...g.kernel, g.ci, g.yPixel]);
      convolve(run, g, "weight", { a: dy, b: x, c: grad });
      const { view, shape } = turned(dw, g);
      copy(run, shape, { tensor: grad, first: 0, strides: stridesOf(shape) }, view);
    }
    if (dbias) sumRows(run, dy, dbias);
  },
});
