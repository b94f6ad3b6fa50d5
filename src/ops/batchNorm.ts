// Batch normalization, with the batch's own statistics or with given ones. Not the layer, which keeps moving averages of
// the statistics: that is `nn.batchNorm`.
import source from "../../shaders/batchNorm.wgsl";
import width1 from "../../shaders/lib/width1.wgsl";
import width4 from "../../shaders/lib/width4.wgsl";
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import type { Shape, Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { axesOf, wantDtype } from "./axes.ts";
import { kernelOf } from "./kernelOf.ts";
import { mapViews } from "./map.ts";
import { reduceInto } from "./reduce.ts";
import { stridesOf } from "./strided.ts";
import { loopThreads } from "./threads.ts";

export interface BatchNormAttrs {
  /** The axes that one mean and one variance are taken over; default: all but the last. */
  readonly axes?: number | readonly number[];
  /** Added to the variance. */
  readonly eps?: number;
}

const WG = 64;

/** x as [rows, cols], one mean and variance for each column. */
interface Layout {
  readonly axes: readonly number[];
  readonly rows: number;
  readonly cols: number;
  /** x's shape with 1 for each axis of `axes`. */
  readonly kept: Shape;
  /** The order of axes that makes x [rows, cols]; null if it already is. */
  readonly order: readonly number[] | null;
}

function layoutOf(op: string, x: Tensor, axes: BatchNormAttrs["axes"]): Layout {
  const own = axesOf(op, axes ?? x.shape.slice(0, -1).map((_, i) => i), x);
  const others = x.shape.flatMap((_, i) => (own.includes(i) ? [] : [i]));
  const kept = x.shape.map((d, i) => (own.includes(i) ? 1 : d));
  const rows = own.reduce((n, i) => n * x.shape[i]!, 1);
  const long = (list: readonly number[]) => list.filter((i) => x.shape[i]! > 1);
  const leading = Math.max(-1, ...long(own)) < Math.min(x.shape.length, ...long(others));
  return {
    axes: own,
    rows,
    cols: x.size / rows,
    kept,
    order: leading ? null : [...own, ...others],
  };
}

/** @throws ShapeError unless all is f32 and each of `columns` has the statistics' shape, apart from axes of size 1. */
function check(
  op: string,
  x: Tensor,
  columns: Readonly<Record<string, Tensor | null>>,
  { axes, eps = 1e-5 }: BatchNormAttrs,
): Layout {
  wantDtype(op, "x", x, "f32");
  if (x.shape.length === 0) throw new ShapeError(`${op}: x is a scalar, expected an axis at least`);
  const layout = layoutOf(op, x, axes);
  const bare = (shape: Shape) => `${shape.filter((d) => d > 1)}`;
  for (const [name, t] of Object.entries(columns)) {
    if (!t) continue;
    wantDtype(op, name, t, "f32");
    if (bare(t.shape) !== bare(layout.kept)) {
      throw new ShapeError(
        `${op}: ${name} is [${t.shape}], x [${x.shape}] over axes [${layout.axes}] expects [${layout.kept}]`,
      );
    }
  }
  if (!(eps >= 0)) throw new ShapeError(`${op}: eps ${eps} is not at least 0`);
  return layout;
}

/** x with its axes in the layout's order, in scratch memory. */
function moved(run: Run, x: Tensor, { order }: Layout): Tensor {
  if (!order) return x;
  const strides = stridesOf(x.shape);
  const to = run.scratch(order.map((i) => x.shape[i]!));
  const from = { tensor: x, first: 0, strides: order.map((i) => strides[i]!) };
  mapViews(run, "IDENTITY", to.shape, [from], {
    tensor: to,
    first: 0,
    strides: stridesOf(to.shape),
  });
  return to;
}
/** Has `write` write y; where axes are moved, into scratch memory, from where they are moved back. */
function movedBack(run: Run, y: Tensor, { order }: Layout, write: (y: Tensor) => void): void {
  if (!order) {
    write(y);
    return;
  }
  const strides = stridesOf(y.shape);
  const from = run.scratch(order.map((i) => y.shape[i]!));
  write(from);
  mapViews(
    run,
    "IDENTITY",
    from.shape,
    [{ tensor: from, first: 0, strides: stridesOf(from.shape) }],
    { tensor: y, first: 0, strides: order.map((i) => strides[i]!) },
  );
}

interface Statistics {
  readonly mean: Tensor;
  readonly variance: Tensor;
  readonly scale: Tensor | null;
}
type Knobs = Readonly<Record<string, number | boolean>>;

function calls({ rows, cols }: Layout, eps: number) {
  const wide = cols % 4 === 0;
  const columns = wide ? cols / 4 : cols;
  const n = rows * columns;
  const kernel = (entry: string, knobs: Knobs) =>
    kernelOf(source, entry, knobs, [wide ? width4 : width1]);
  const params = { n, rows, cols: columns, splits: 1, chunk: rows, eps };
  return { kernel, params, columns, n };
}

function normalize(
  run: Run,
  layout: Layout,
  { x, y, offset, ...s }: Statistics & { x: Tensor; y: Tensor; offset: Tensor | null },
  eps: number,
): void {
  const { kernel, params, n } = calls(layout, eps);
  const { mean, variance, scale } = s;
  const tensors = { x, mean, variance, scale: scale ?? mean, offset: offset ?? mean, y };
  const forward = kernel("forward", { SCALE: scale !== null, OFFSET: offset !== null });
  run(forward, tensors, params, [loopThreads(run, n)]);
}

/** What has one gradient a column; null where none is wanted. `given`: the gradients of given statistics. */
interface Gradients {
  readonly dscale: Tensor | null;
  readonly doffset: Tensor | null;
  readonly dx: Tensor | null;
  readonly given: { readonly dmean: Tensor | null; readonly dvariance: Tensor | null } | null;
}

function backward(
  run: Run,
  layout: Layout,
  { mean, variance, scale }: Statistics,
  { dmean, dvariance, ...t }: Readonly<Record<"x" | "dy" | "dmean" | "dvariance", Tensor>>,
  to: Gradients,
  eps: number,
): void {
  const { kernel, params, columns, n } = calls(layout, eps);
  const { rows, cols, kept } = layout;
  const given = to.given !== null;
  const knobs = { SCALE: scale !== null };
  const x = moved(run, t.x, layout);
  const dy = moved(run, t.dy, layout);
  const pull = run.scratch([3, cols]);

  if (!given || [to.dscale, to.doffset, to.given?.dmean, to.given?.dvariance].some((d) => d)) {
    // Enough workgroups to keep the adapter busy, each with work for all its threads.
    const side = [16, 4].find((c) => Math.ceil(columns / c) * c <= 1.4 * columns) ?? 1;
    const groups = Math.ceil(columns / side);
    const busy = run.adapter.kind === "software" ? 32 : 512;
    const turns = rows / (WG / side);
    const wanted = Math.max(1, Math.min(Math.ceil(busy / groups), Math.ceil(turns / 16)));
    const chunk = Math.ceil(rows / wanted);
    const splits = Math.ceil(rows / chunk);
    const split = { ...params, chunk, splits };
    const parts = run.scratch([splits, 2, cols]);
    run(kernel("sums", { CX: side }), { x, dy, mean, parts }, split, [groups * splits * WG]);

    const column = (wanted: Tensor | null) => wanted ?? run.scratch(kept);
    const own = { dscale: column(to.dscale), doffset: column(to.doffset) };
    const sums = { partsDone: parts, variance, scale: scale ?? variance, ...own };
    const others: Record<string, Tensor> = to.given
      ? { dmeanGiven: column(to.given.dmean), dvarianceGiven: column(to.given.dvariance) }
      : { dmean, dvariance, pull };
    run(kernel(given ? "finishGiven" : "finish", knobs), { ...sums, ...others }, split, [columns]);
  }
  if (!to.dx) return;
  const pulled = given ? {} : { x, mean, pullDone: pull };
  movedBack(run, to.dx, layout, (dx) => {
    const tensors = { dy, variance, scale: scale ?? variance, ...pulled, dx };
    run(kernel(given ? "spreadGiven" : "spread", knobs), tensors, params, [loopThreads(run, n)]);
  });
}

/**
 * Batch normalization (Ioffe & Szegedy 2015; `hk.BatchNorm` in training):
 * `y = (x - mean) * rsqrt(variance + eps) * scale + offset`, with mean and biased variance of x over
 * `axes`: `{ y, mean, variance }`. The variance is taken in two passes, so that nothing cancels.
 *
 * x f32 of any shape but a scalar's; mean and variance have x's shape with 1 for each of `axes`
 * (`[1, 1, 1, c]` for NHWC), and so have scale and offset, but that axes of size 1 may be left out
 * (`[c]`). Axes that do not lead are moved to the front and back, a copy each way. Gradients also
 * pass through mean and variance where they are used.
 *
 * @throws ShapeError
 */
export const batchNorm = /* @__PURE__ */ defineOp({
  name: "batchNorm",
  inputs: ["x", "scale?", "offset?"],
  outputs: ["y", "mean", "variance"],
  saves: ["x", "scale", "mean", "variance"],
  shape: ({ x, scale, offset }, attrs: BatchNormAttrs) => {
    const { kept } = check("batchNorm", x, { scale, offset }, attrs);
    return { y: x.shape, mean: kept, variance: kept };
  },
  forward: (run, { x, scale, offset, y, mean, variance }, { axes, eps = 1e-5 }) => {
    const layout = layoutOf("batchNorm", x, axes);
    const from = moved(run, x, layout);
    const [shape, count] = [[layout.rows, layout.cols], layout.rows];
    reduceInto(run, from, shape, [0], mean, { kind: "SUM", count });
    reduceInto(run, from, shape, [0], variance, {
      kind: "SUM",
      term: "CENTRED",
      stat: mean,
      count,
    });
    movedBack(run, y, layout, (to) =>
      normalize(run, layout, { x: from, y: to, mean, variance, scale, offset }, eps),
    );
  },
  backward: (run, t, { axes, eps = 1e-5 }) => {
    const { x, scale, mean, variance, dy, dmean, dvariance, dx, dscale, doffset } = t;
    const layout = layoutOf("batchNorm", x, axes);
    const to = { dx, dscale, doffset, given: null };
    const from = { x, dy, dmean, dvariance };
    backward(run, layout, { mean, variance, scale }, from, to, eps);
  },
});

/**
 * Batch normalization with given statistics (`hk.BatchNorm` in evaluation):
 * `(x - mean) * rsqrt(variance + eps) * scale + offset`, all but x shaped as `batchNorm` says.
 *
 * @throws ShapeError
 */
export const batchNormEval = /* @__PURE__ */ defineOp({
  name: "batchNormEval",
  inputs: ["x", "mean", "variance", "scale?", "offset?"],
  saves: ["x", "mean", "variance", "scale"],
  shape: ({ x, mean, variance, scale, offset }, attrs: BatchNormAttrs) => {
    check("batchNormEval", x, { mean, variance, scale, offset }, attrs);
    return x.shape;
  },
  forward: (run, { x, mean, variance, scale, offset, y }, { axes, eps = 1e-5 }) => {
    const layout = layoutOf("batchNormEval", x, axes);
    const from = moved(run, x, layout);
    movedBack(run, y, layout, (to) =>
      normalize(run, layout, { x: from, y: to, mean, variance, scale, offset }, eps),
    );
  },
  backward: (run, t, { axes, eps = 1e-5 }) => {
    const { x, mean, variance, scale, dy, dx, dmean, dvariance, dscale, doffset } = t;
    const layout = layoutOf("batchNormEval", x, axes);
    const to = { dx, dscale, doffset, given: { dmean, dvariance } };
    const from = { x, dy, dmean: mean, dvariance: variance };
    backward(run, layout, { mean, variance, scale }, from, to, eps);
  },
});
