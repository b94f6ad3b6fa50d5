// Sums, means, extrema and variances over any set of axes, and their gradients. Trees of a fixed order: the same device
// gives the same bits. argmax is in argmax.ts.
import width1 from "../../shaders/lib/width1.wgsl";
import width4 from "../../shaders/lib/width4.wgsl";
import source from "../../shaders/reduce.wgsl";
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import { type Shape, sizeOf, type Tensor } from "../core/tensor.ts";
import { axesOf, wantDtype } from "./axes.ts";
import { kernelOf } from "./kernelOf.ts";
import { mapInto, mapViews } from "./map.ts";
import { stridesOf } from "./strided.ts";

export interface ReduceAttrs {
  /** One axis or several, from the end if negative; all axes if left out. */
  readonly axis?: number | readonly number[];
  /** Keeps reduced axes with size 1. */
  readonly keepDims?: boolean;
}

type Kind = "SUM" | "MAX" | "MIN";
interface Reduction {
  readonly kind: Kind;
  /** What is combined: x, (x - stat)^2, or 1 where x equals stat; stat has y's elements. */
  readonly term?: "PLAIN" | "CENTRED" | "EQUALS";
  readonly stat?: Tensor;
  /** What the result is divided by. */
  readonly count?: number;
}
/** x as [outer, rows, cols], reduced over rows. */
interface Extent {
  readonly outer: number;
  readonly rows: number;
  readonly cols: number;
}
const START = { SUM: 0, MAX: Number.NEGATIVE_INFINITY, MIN: Number.POSITIVE_INFINITY };
const WG = 64;

/** How many workgroups keep the adapter busy. */
const busy = (run: Run): number => (run.adapter.kind === "software" ? 64 : 1024);

/** y[outer, cols] from x[outer, rows, cols]: one dispatch, or two where the outputs alone are too few to share out. */
function reduceExtent(run: Run, x: Tensor, extent: Extent, y: Tensor, how: Reduction): void {
  const { kind, term = "PLAIN", stat = x, count = 1 } = how;
  const { outer, rows } = extent;
  const trailing = extent.cols === 1;
  const wide = trailing || extent.cols % 4 === 0;
  const cols = wide && !trailing ? extent.cols / 4 : extent.cols;
  // Neighbours: the threads that share a row, or the columns side by side in a workgroup (few of them idle). Then how
  // many workgroups that makes, and the turns of one thread.
  const [vectors, outputs] = [rows / 4, outer * cols];
  const software = run.adapter.kind === "software";
  const alone = software && trailing && outer >= 256; // neighbours help its memory nothing
  // A CPU's subgroup of 8 lanes wants to walk memory of its own: a piece of a row, or 8 columns row by row.
  const size = software && !alone ? 8 : WG;
  const lanes = alone || vectors <= 8 ? 1 : vectors <= 128 ? 8 : size;
  const sides = [64, 16, 8, 4].filter((n) => n <= size && (n !== 8 || software));
  const side = sides.find((n) => Math.ceil(outputs / n) * n <= 1.4 * outputs) ?? 1;
  const groups = trailing ? (outer * lanes) / size : Math.ceil(outputs / side);
  const turns = trailing ? vectors / lanes : rows / (size / side);
  const few = (software ? 8 : 4) * groups < busy(run);
  const worth = 1024 / size; // turns that are worth a second dispatch
  const wanted = few ? Math.min(Math.ceil(busy(run) / groups), Math.ceil(turns / worth)) : 1;
  const chunk = Math.ceil(rows / wanted);
  const splits = Math.ceil(rows / chunk);

  const to = splits > 1 ? run.scratch([outer, splits, extent.cols]) : y;
  const last = splits > 1 ? 1 : count;
  const params = { outer, rows, cols, splits, chunk, count: last, start: START[kind] };
  const uses = [wide ? width4 : width1];
  if (trailing) {
    const knobs = { OP: kind, TERM: term, LANES: lanes, WG: size };
    const kernel = kernelOf(source, "rows", knobs, uses);
    run(kernel, { x, stat, y: to }, params, [Math.ceil((outer * splits * lanes) / size) * size]);
  } else {
    const knobs = { OP: kind, TERM: term, CX: side, WG: size };
    const kernel = kernelOf(source, "columns", knobs, uses);
    run(kernel, { x, stats: stat, ys: to }, params, [groups * splits * size]);
  }
  if (splits > 1) reduceExtent(run, to, { ...extent, rows: splits }, y, { kind, count });
}

/** Reduces `axes` of x, read as `shape`, into y. */
export function reduceInto(
  run: Run,
  x: Tensor,
  shape: Shape,
  axes: readonly number[],
  y: Tensor,
  how: Reduction,
): void {
  // Neighbouring axes of one kind are one; axes of size 1 are of any kind.
  const groups: { size: number; reduced: boolean }[] = [];
  shape.forEach((size, i) => {
    const [reduced, top] = [axes.includes(i), groups.at(-1)];
    if (size === 1) return;
    if (top?.reduced === reduced) top.size *= size;
    else groups.push({ size, reduced });
  });
  if (groups[0]?.reduced !== false) groups.unshift({ size: 1, reduced: false });
  const [outer, rows, cols, ...more] = groups.map((g) => g.size) as [number, ...number[]];
  if (more.length === 0) {
    reduceExtent(run, x, { outer, rows: rows ?? 1, cols: cols ?? 1 }, y, how);
    return;
  }
  // Several reduced groups with kept ones between: move them to the end first.
  const kept = shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const order = [...kept, ...axes];
  const strides = stridesOf(shape);
  const moved = order.map((i) => shape[i]!);
  const rowMajor = run.scratch(moved);
  const from = { tensor: x, first: 0, strides: order.map((i) => strides[i]!) };
  mapViews(run, "IDENTITY", moved, [from], {
    tensor: rowMajor,
    first: 0,
    strides: stridesOf(moved),
  });
  const inner = axes.reduce((n, i) => n * shape[i]!, 1);
  reduceExtent(run, rowMajor, { outer: sizeOf(shape) / inner, rows: inner, cols: 1 }, y, how);
}

/** Sums x, seen as [rows, y.size], into y: the gradient of a bias. For the rules of other ops. */
export function sumRows(run: Run, x: Tensor, y: Tensor): void {
  reduceExtent(run, x, { outer: 1, rows: x.size / y.size, cols: y.size }, y, { kind: "SUM" });
}

/** Sums `g`, of `shape`, over the axes along which an operand of y's shape was repeated: the gradient of a broadcast. */
export function sumTo(run: Run, g: Tensor, shape: Shape, y: Tensor): void {
  const missing = shape.length - y.shape.length;
  const axes = shape.flatMap((d, i) =>
    i < missing || (y.shape[i - missing] === 1 && d > 1) ? [i] : [],
  );
  reduceInto(run, g, shape, axes, y, { kind: "SUM" });
}

const outShape = (op: string, x: Tensor, { axis, keepDims = false }: ReduceAttrs): number[] => {
  wantDtype(op, "x", x, "f32");
  const axes = axesOf(op, axis, x);
  return x.shape.flatMap((d, i) => (axes.includes(i) ? (keepDims ? [1] : []) : [d]));
};
/** x's shape with 1 for each reduced axis: how an output is spread over x again. */
const keptShape = (x: Tensor, axes: readonly number[]): number[] =>
  x.shape.map((d, i) => (axes.includes(i) ? 1 : d));
const countOf = (x: Tensor, axes: readonly number[]): number =>
  axes.reduce((n, i) => n * x.shape[i]!, 1);

const total = (name: string, averaged: boolean) =>
  defineOp({
    name,
    inputs: ["x"],
    saves: [],
    shape: ({ x }, attrs: ReduceAttrs) => outShape(name, x, attrs),
    forward: (run, { x, y }, { axis }) => {
      const axes = axesOf(name, axis, x);
      reduceInto(run, x, x.shape, axes, y, { kind: "SUM", count: averaged ? countOf(x, axes) : 1 });
    },
    backward: (run, { dy, dx }, { axis }) => {
      const axes = axesOf(name, axis, dx);
      const spreadDy = { tensor: dy, shape: keptShape(dx, axes) };
      const s = averaged ? countOf(dx, axes) : 1;
      mapInto(run, "DIV", [spreadDy], dx, { numbers: "LAST", s });
    },
  });
/** Sum over `axis`. */
export const sum = /* @__PURE__ */ total("sum", false);
/** Mean over `axis`. */
export const mean = /* @__PURE__ */ total("mean", true);

const extremum = (name: string, kind: "MAX" | "MIN") =>
  defineOp({
    name,
    inputs: ["x"],
    saves: ["x", "y"],
    shape: ({ x }, attrs: ReduceAttrs) => outShape(name, x, attrs),
    forward: (run, { x, y }, { axis }) =>
      reduceInto(run, x, x.shape, axesOf(name, axis, x), y, { kind }),
    backward: (run, { x, y, dy, dx }, { axis }) => {
      const axes = axesOf(name, axis, x);
      const shape = keptShape(x, axes);
      const ties = run.scratch(y.shape);
      const each = run.scratch(y.shape);
      countEqual(run, x, axes, y, ties);
      mapInto(run, "DIV", [dy, ties], each);
      mapInto(run, "MATCH", [x, { tensor: y, shape }, { tensor: each, shape }], dx);
    },
  });
function countEqual(run: Run, x: Tensor, axes: readonly number[], y: Tensor, ties: Tensor): void {
  reduceInto(run, x, x.shape, axes, ties, { kind: "SUM", term: "EQUALS", stat: y });
}
/** Greatest value over `axis`; NaN if there is one. The gradient is shared evenly among equal greatest values. */
export const max = /* @__PURE__ */ extremum("max", "MAX");
/** Smallest value over `axis`; NaN if there is one. The gradient is shared evenly among equal smallest values. */
export const min = /* @__PURE__ */ extremum("min", "MIN");

const varianceOp = /* @__PURE__ */ defineOp({
  name: "variance",
  inputs: ["x"],
  outputs: ["y", "mean"],
  saves: ["x", "mean"],
  shape: ({ x }, attrs: ReduceAttrs) => {
    const shape = outShape("variance", x, attrs);
    return { y: shape, mean: shape };
  },
  forward: (run, { x, y, mean }, { axis }) => {
    const axes = axesOf("variance", axis, x);
    const count = countOf(x, axes);
    reduceInto(run, x, x.shape, axes, mean, { kind: "SUM", count });
    reduceInto(run, x, x.shape, axes, y, { kind: "SUM", term: "CENTRED", stat: mean, count });
  },
  backward: (run, { x, mean, dy, dx }, { axis }) => {
    const axes = axesOf("variance", axis, x);
    const shape = keptShape(x, axes);
    const inputs = [{ tensor: dy, shape }, x, { tensor: mean, shape }];
    mapInto(run, "VARIANCE_GRAD", inputs, dx, { s: 2 / countOf(x, axes) });
  },
});
/** Biased variance over `axis`, in two passes: the mean first, then the mean square of the differences. */
export const variance = (x: Tensor, attrs: ReduceAttrs = {}): Tensor => varianceOp(x, attrs).y;
