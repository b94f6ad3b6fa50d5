// Pooling over windows of an image. Not the global mean: that is `mean(x, { axis: [1, 2] })`.
import source from "../../shaders/pool.wgsl";
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import type { Shape, Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { kernelOf } from "./kernelOf.ts";

export interface PoolAttrs {
  /** Height and width of the window, or one number for both. */
  readonly window?: number | readonly [number, number];
  /** Default: the window. */
  readonly stride?: number | readonly [number, number];
  /** SAME is TensorFlow's: the odd line of padding goes to the bottom and the right. */
  readonly padding?: "VALID" | "SAME";
}

interface Axis {
  readonly window: number;
  readonly stride: number;
  readonly out: number;
  readonly low: number;
}
interface Plan {
  readonly h: Axis;
  readonly w: Axis;
}

function pair(op: string, name: string, value: number | readonly [number, number]) {
  const two = typeof value === "number" ? [value, value] : value;
  if (two.length !== 2 || !two.every((v) => Number.isInteger(v) && v >= 1))
    throw new ShapeError(`${op}: ${name} is [${two}], expected one or two whole numbers from 1`);
  return two as readonly [number, number];
}

function plan(op: string, x: Tensor, attrs: PoolAttrs): Plan {
  const { window = 2, stride = window, padding = "VALID" } = attrs;
  if (x.dtype !== "f32") throw new ShapeError(`${op}: x is ${x.dtype}, expected f32`);
  if (x.shape.length !== 4) throw new ShapeError(`${op}: x is [${x.shape}], expected [n, h, w, c]`);
  if (padding !== "VALID" && padding !== "SAME")
    throw new ShapeError(`${op}: padding '${padding}' is none of VALID, SAME`);
  const [windows, strides] = [pair(op, "window", window), pair(op, "stride", stride)];
  const axis = (i: 0 | 1): Axis => {
    const [n, k, s] = [x.shape[i + 1]!, windows[i], strides[i]];
    if (padding === "SAME") {
      const out = Math.ceil(n / s);
      return { window: k, stride: s, out, low: Math.max((out - 1) * s + k - n, 0) >> 1 };
    }
    if (k > n)
      throw new ShapeError(`${op}: a window of ${windows.join(" x ")} in x [${x.shape}] (VALID)`);
    return { window: k, stride: s, out: Math.floor((n - k) / s) + 1, low: 0 };
  };
  return { h: axis(0), w: axis(1) };
}
function shapeOf(op: string, x: Tensor, attrs: PoolAttrs): Shape {
  const { h, w } = plan(op, x, attrs);
  return [x.shape[0]!, h.out, w.out, x.shape[3]!];
}

/** One dispatch over the rows of `over`, which is like y or like dx. */
function pool(
  run: Run,
  entry: string,
  tensors: Readonly<Record<string, Tensor>>,
  [n, height, width, channels]: Shape,
  over: Tensor,
  { h, w }: Plan,
): void {
  const wide = channels! % 4 === 0;
  // Unrolled loops for what networks use; a pipeline for each other window would be compiled longer
  // than it runs.
  const known = [h, w].every(
    ({ window, stride }) => (window === 2 || window === 3) && stride === 2,
  );
  const kernel = kernelOf(
    source,
    entry,
    {
      F: wide ? "vec4f" : "f32",
      U: wide ? "vec4u" : "u32",
      Bool: wide ? "vec4<bool>" : "bool",
      ...(known ? { KH: h.window, KW: w.window, SH: h.stride, SW: w.stride } : {}),
    },
    [],
  );
  const c = wide ? channels! / 4 : channels!;
  const rows = n! * over.shape[1]!;
  const across = over.shape[2]! * c;
  const params = {
    rows,
    h: height!,
    w: width!,
    c,
    oh: h.out,
    ow: w.out,
    kh: h.window,
    kw: w.window,
    sh: h.stride,
    sw: w.stride,
    top: h.low,
    left: w.low,
  };
  // A software adapter wants few workgroups, which then take more rows each.
  const wanted = run.adapter.kind === "software" ? 64 : 65_535;
  const groups = Math.ceil(across / kernel.workgroup[0]);
  run(kernel, tensors, params, [across, Math.min(rows, Math.max(1, Math.floor(wanted / groups)))]);
}

/**
 * The average over windows; padding is not counted (`hk.avg_pool`; `nfnet.py: NFBlock`, its strided
 * shortcut).
 *
 * x `[n, h, w, c]`, the result `[n, oh, ow, c]`.
 *
 * @throws ShapeError
 */
export const avgPool = /* @__PURE__ */ defineOp({
  name: "avgPool",
  inputs: ["x"],
  shape: ({ x }, attrs: PoolAttrs) => shapeOf("avgPool", x, attrs),
  forward: (run, { x, y }, attrs) =>
    pool(run, "avg", { x, y }, x.shape, y, plan("avgPool", x, attrs)),
  saves: [],
  backward: (run, { dy, dx }, attrs) =>
    pool(run, "avgBackward", { dy, dx }, dx.shape, dx, plan("avgPool", dx, attrs)),
});

/**
 * The maximum over windows (`hk.max_pool`). Of equal numbers the first in the window, row by row,
 * gets the gradient. NaN in a window is its maximum.
 *
 * x `[n, h, w, c]`, the result `[n, oh, ow, c]`.
 *
 * @throws ShapeError
 */
export const maxPool = /* @__PURE__ */ defineOp({
  name: "maxPool",
  inputs: ["x"],
  shape: ({ x }, attrs: PoolAttrs) => shapeOf("maxPool", x, attrs),
  forward: (run, { x, y }, attrs) =>
    pool(run, "max_", { x, y }, x.shape, y, plan("maxPool", x, attrs)),
  backward: (run, { x, dy, dx }, attrs) => {
    const at = plan("maxPool", x, attrs);
    const places = run.scratch(dy.shape, "u32");
    pool(run, "maxPlace", { x, place: places }, x.shape, dy, at);
    pool(run, "maxBackward", { placed: places, dy, dx }, x.shape, dx, at);
  },
});
