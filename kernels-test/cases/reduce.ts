// Sums, means, extrema and variances over every kind of axis set, with ties, NaN, gradients and dispatches.
import width4 from "../../shaders/lib/width4.wgsl";
import source from "../../shaders/reduce.wgsl";
import { defineKernel, type Gpu, ShapeError, type Tensor, vjp } from "../../src/index.ts";
import { max, mean, min, type ReduceAttrs, sum, variance } from "../../src/ops/reduce.ts";
import { type Case, equalBits, near, opCase, throws, uniform, values } from "../harness.ts";
import { type Numbers, reduce, sumOf } from "../oracle.ts";

const NaN_ = Number.NaN;
const INF = Number.POSITIVE_INFINITY;
const meanOf = (v: Numbers): number => sumOf(v) / v.length;
const varianceOf = (v: Numbers): number => {
  const m = meanOf(v);
  return meanOf(Array.from(v, (x) => (x - m) ** 2));
};
const greatest = (v: Numbers): number => Array.from(v).reduce((a, b) => Math.max(a, b));
const least = (v: Numbers): number => Array.from(v).reduce((a, b) => Math.min(a, b));

interface Reducer {
  readonly name: string;
  readonly op: (x: Tensor, attrs?: ReduceAttrs) => Tensor;
  readonly f: (v: Numbers) => number;
  readonly tolerance: number;
}
const all = {
  sum: { name: "sum", op: sum, f: sumOf, tolerance: 3e-7 },
  mean: { name: "mean", op: mean, f: meanOf, tolerance: 3e-7 },
  max: { name: "max", op: max, f: greatest, tolerance: 0 },
  min: { name: "min", op: min, f: least, tolerance: 0 },
  variance: { name: "variance", op: variance, f: varianceOf, tolerance: 3e-7 },
} as const satisfies Record<string, Reducer>;

const words = (axis: ReduceAttrs["axis"]): string =>
  axis === undefined ? "all" : `axis ${JSON.stringify(axis)}`;
function over(
  { name, op, f, tolerance }: Reducer,
  shape: readonly number[],
  axis: ReduceAttrs["axis"],
  more: { keepDims?: boolean; forward?: number; backward?: number; grads?: boolean } = {},
) {
  const { keepDims = false, forward, backward, grads = true } = more;
  const axes = axis === undefined ? null : typeof axis === "number" ? [axis] : axis;
  const attrs = { ...(axis === undefined ? {} : { axis }), ...(keepDims ? { keepDims } : {}) };
  return opCase({
    name: `${name} of [${shape}], ${words(axis)}${keepDims ? ", dimensions kept" : ""}`,
    inputs: { x: uniform(shape, -0.5, 1.5) },
    apply: ({ x }) => op(x, attrs),
    oracle: ({ x }) => reduce(x, axes, f, keepDims),
    ...(grads ? { grads: ["x"] as const } : {}),
    tolerance,
    dispatches: {
      ...(forward === undefined ? {} : { forward }),
      ...(backward === undefined ? {} : { backward }),
    },
  });
}

// Every kind of axis set, with the sum; the others share the kernels.
const axisSets = [
  over(all.sum, [], undefined, { forward: 1, backward: 1 }),
  over(all.sum, [1], 0),
  over(all.sum, [1, 5, 1], [0, 2]), // nothing to add
  over(all.sum, [3], undefined),
  over(all.sum, [5, 7, 3], undefined, { forward: 1 }),
  over(all.sum, [5, 7, 3], undefined, { keepDims: true }),
  over(all.sum, [5, 7, 3], []), // no axis
  over(all.sum, [5, 7, 3], 0, { forward: 1 }), // columns, one by one
  over(all.sum, [5, 7, 4], 0, { forward: 1 }), // columns in fours
  over(all.sum, [5, 7, 3], 1, { keepDims: true }),
  over(all.sum, [5, 7, 4], -2),
  over(all.sum, [5, 7, 3], 2, { forward: 1, backward: 1 }),
  over(all.sum, [5, 7, 3], [-1, 1]),
  over(all.sum, [5, 7, 3], [0, 1]),
  over(all.sum, [5, 7, 3], [0, 2], { forward: 2 }), // kept between reduced: moved first
  over(all.sum, [2, 3, 2, 5, 2, 3], [1, 3, 5]),
  over(all.sum, [2, 3, 2, 5, 2, 3], [0, -2], { keepDims: true }),
];
// Rows of every length around the kernel's own sizes, none of which begins on a multiple of four.
const rowLengths = [2, 5, 9, 31, 33, 63, 65, 130, 511, 513].map((n) =>
  over(all.sum, [7, n], 1, { grads: false, forward: 1 }),
);
const shapes = [
  over(all.mean, [2, 6, 5, 8], [1, 2], { forward: 1, backward: 1 }), // NHWC: over H and W
  over(all.mean, [2, 6, 5, 7], [1, 2], { forward: 1 }),
  over(all.mean, [40, 12], 0),
  over(all.mean, [3, 40], -1, { keepDims: true }),
  over(all.mean, [300], undefined),
  over(all.variance, [2, 6, 5, 8], [1, 2]),
  over(all.variance, [40, 12], 0, { keepDims: true }),
  over(all.variance, [7, 33], -1, { forward: 2, backward: 1 }),
  over(all.variance, [3, 3, 5, 4], [0, 1, 2]), // a weight's fan-in
  over(all.variance, [5, 7, 3], [0, 2]),
  over(all.variance, [9], undefined),
  over(all.max, [2, 6, 5, 8], [1, 2], { forward: 1 }),
  over(all.max, [7, 33], -1),
  over(all.max, [5, 7, 3], [0, 2]),
  over(all.min, [40, 7], 0),
  over(all.min, [301], undefined),
];
// Enough to be cut into chunks: two dispatches.
const large = [
  over(all.sum, [100_003], undefined, { forward: 2, backward: 1 }),
  over(all.sum, [3, 50_001], 1, { forward: 2, grads: false }),
  over(all.sum, [20_001, 8], 0, { forward: 2 }),
  over(all.sum, [20_001, 3], 0, { forward: 2, grads: false }),
  over(all.sum, [2, 9001, 5], 1, { forward: 2, grads: false }),
  over(all.max, [70_001], undefined, { forward: 2, grads: false }),
  over(all.variance, [50_001], undefined, { forward: 4 }),
];
const many: Case = {
  name: "sum: more than 65,535 workgroups, one for each row or column",
  run: async (gpu: Gpu) => {
    const [outer, rows, cols] = [70_001, 2, 4];
    const host = uniform([outer, rows, cols], -1, 1, 3);
    const x = gpu.tensor(host);
    const params = { outer, splits: 1, count: 1, start: 0 };
    const byRow = defineKernel(source, { entry: "rows", knobs: { LANES: 64 }, uses: [width4] });
    const byColumn = defineKernel(source, { entry: "columns", knobs: { CX: 1 }, uses: [width4] });
    const [y, ys] = [gpu.zeros([outer]), gpu.zeros([outer, cols])];
    const all = { ...params, rows: rows * cols, cols: 1, chunk: rows * cols };
    gpu.dispatch(byRow, { x, stat: x, y }, all, [outer * 64]);
    gpu.dispatch(byColumn, { x, stats: x, ys }, { ...params, rows, cols: 1, chunk: rows }, [
      outer * 64,
    ]);
    const at = (o: number, i: number) => host.data[o * rows * cols + i]!;
    const sums = Array.from({ length: outer * cols }, (_, i) => {
      const [o, c] = [Math.floor(i / cols), i % cols];
      return at(o, c) + at(o, c + cols);
    });
    const totals = Array.from({ length: outer }, (_, o) =>
      sumOf(sums.slice(o * cols, (o + 1) * cols)),
    );
    near("rows", await y.data(), totals, { tolerance: 2e-7 });
    near("columns", await ys.data(), sums, { tolerance: 1e-7 });
    for (const t of [x, y, ys]) t.dispose();
  },
};
const offset = opCase({
  name: "variance keeps its digits far from 0",
  inputs: { x: uniform([4, 1000], 1000, 1001) },
  apply: ({ x }) => variance(x, { axis: 1 }),
  oracle: ({ x }) => reduce(x, [1], varianceOf),
  grads: ["x"],
  tolerance: 1e-6,
  gradTolerance: 1e-3,
});

// ---- edges ----
const special = opCase({
  name: "max and min take NaN over everything, and infinities",
  inputs: {
    x: values(
      [1, NaN_, 3, 5, -INF, 2, 7, 8, -INF, -INF, -INF, -INF, INF, 1, INF, -INF, -1, -2, -3, -4],
      [5, 4],
    ),
  },
  apply: ({ x }) => [max(x, { axis: 1 }), min(x, { axis: 1 }), max(x, { axis: 0 }), min(x)],
  oracle: ({ x }) => [
    reduce(x, [1], greatest),
    reduce(x, [1], least),
    reduce(x, [0], greatest),
    reduce(x, null, least),
  ],
  tolerance: 0,
});
const through = opCase({
  name: "sum, mean and variance pass NaN and infinities",
  inputs: { x: values([1, NaN_, 3, INF, 2, 1, INF, -INF, 0, 1, 2, 3], [4, 3]) },
  apply: ({ x }) => [sum(x, { axis: 1 }), mean(x, { axis: 1 }), variance(x, { axis: 1 })],
  oracle: ({ x }) => [reduce(x, [1], sumOf), reduce(x, [1], meanOf), reduce(x, [1], varianceOf)],
});
const ties: Case = {
  name: "max and min share the gradient evenly among ties; a NaN result gives NaN",
  run: async (gpu: Gpu) => {
    const x = gpu.tensor([1, 3, 3, 0, 2, 2, 2, 2, NaN_, 1, 0, 5], [3, 4]);
    const dy = gpu.tensor([6, 8, 1]);
    const pull = (op: typeof max) =>
      vjp((p: { x: Tensor }) => op(p.x, { axis: 1 }))({ x }, dy).grads.x.data();
    const nan = [NaN_, NaN_, NaN_, NaN_];
    equalBits("max", await pull(max), [0, 3, 3, 0, 2, 2, 2, 2, ...nan]);
    equalBits("min", await pull(min), [0, 0, 0, 6, 2, 2, 2, 2, ...nan]);
    x.dispose();
    dy.dispose();
  },
};
const errors: Case = {
  name: "reductions refuse what they cannot take",
  run: async (gpu: Gpu) => {
    const [x, ids] = [gpu.zeros([2, 3]), gpu.zeros([2, 3], "u32")];
    await throws("axis", () => sum(x, { axis: 2 }), ShapeError, /sum: axis 2.*\[2,3\]/);
    await throws("axis", () => mean(x, { axis: -3 }), ShapeError, /mean: axis -3/);
    await throws("axis", () => max(x, { axis: 0.5 }), ShapeError, /max: axis 0.5/);
    await throws("twice", () => variance(x, { axis: [1, -1] }), ShapeError, /variance.*twice/);
    await throws("dtype", () => sum(ids), ShapeError, /sum: x is u32.*cast/);
    x.dispose();
    ids.dispose();
  },
};

export const cases: readonly Case[] = [
  ...axisSets,
  ...rowLengths,
  ...shapes,
  ...large,
  many,
  offset,
  special,
  through,
  ties,
  errors,
];
