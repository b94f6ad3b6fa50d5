// Batch normalization with its own and with given statistics.

import { type Gpu, ops, ShapeError } from "../../src/index.ts";
import { type Case, opCase, rand, throws, uniform, values } from "../harness.ts";
import { type F64, f64 } from "../oracle.ts";

const { batchNorm, batchNormEval } = ops;

const column = (x: F64, c: number): Float64Array => {
  const cols = x.shape.at(-1)!;
  return Float64Array.from({ length: x.data.length / cols }, (_, r) => x.data[r * cols + c]!);
};
const averageOf = (v: Float64Array): number => v.reduce((s, a) => s + a, 0) / v.length;

interface Columns extends Record<string, F64> {
  readonly mean: F64;
  readonly variance: F64;
}
function statisticsF64(x: F64): Columns {
  const cols = x.shape.at(-1)!;
  const kept = x.shape.map((_, i) => (i === x.shape.length - 1 ? cols : 1));
  const [mean, variance] = [f64(kept), f64(kept)];
  for (let c = 0; c < cols; c++) {
    const m = averageOf(column(x, c));
    mean.data[c] = m;
    variance.data[c] = averageOf(column(x, c).map((v) => (v - m) ** 2));
  }
  return { mean, variance };
}
function normalizeF64(
  x: F64,
  { mean, variance }: Columns,
  { scale, offset, eps = 1e-5 }: { scale?: F64; offset?: F64; eps?: number },
): F64 {
  const cols = x.shape.at(-1)!;
  const y = f64(x.shape);
  for (let i = 0; i < x.data.length; i++) {
    const c = i % cols;
    const inv = (scale?.data[c] ?? 1) / Math.sqrt(variance.data[c]! + eps);
    y.data[i] = (x.data[i]! - mean.data[c]!) * inv + (offset?.data[c] ?? 0);
  }
  return y;
}
function batchNormF64(x: F64, given: Parameters<typeof normalizeF64>[2]) {
  const { mean, variance } = statisticsF64(x);
  return { y: normalizeF64(x, { mean, variance }, given), mean, variance };
}

const shapes: readonly (readonly number[])[] = [
  [2, 5, 7, 3],
  [3, 4, 4, 16],
  [1, 1],
  [9, 1],
  [2, 1, 1, 5],
  [4, 36],
  [1, 13, 11, 68],
  [3, 700, 4],
  [2, 2, 2, 260],
];
const own = shapes.map((shape) =>
  opCase({
    name: `batchNorm [${shape}]`,
    inputs: {
      x: rand(shape, undefined, 1.5),
      scale: uniform([shape.at(-1)!], 0.5, 1.5),
      offset: rand([shape.at(-1)!]),
    },
    apply: ({ x, scale, offset }) => batchNorm(x, scale, offset),
    oracle: ({ x, scale, offset }) => batchNormF64(x, { scale, offset }),
    grads: ["x", "scale", "offset"],
    tolerance: 5e-7,
    // Long columns are cut into chunks, which take a second dispatch for each of the statistics.
    dispatches: { forward: shape[1] === 700 ? 5 : 3, backward: 3 },
  }),
);
const alone = opCase({
  name: "batchNorm's y alone, with a great eps and axes",
  inputs: { x: rand([3, 5, 6]), scale: rand([1, 1, 6]), offset: rand([1, 1, 6]) },
  apply: ({ x, scale, offset }) => batchNorm(x, scale, offset, { axes: [-2, 0], eps: 3 }).y,
  oracle: ({ x, scale, offset }) => batchNormF64(x, { scale, offset, eps: 3 }).y,
  grads: ["x", "scale", "offset"],
  tolerance: 5e-7,
});
const bare = opCase({
  name: "batchNorm without scale and offset",
  inputs: { x: rand([7, 9, 8]) },
  apply: ({ x }) => batchNorm(x),
  oracle: ({ x }) => batchNormF64(x, {}),
  grads: ["x"],
  tolerance: 5e-7,
});
const offsetOnly = opCase({
  name: "batchNorm with an offset only",
  inputs: { x: rand([17, 3]), offset: rand([3]) },
  apply: ({ x, offset }) => batchNorm(x, null, offset),
  oracle: ({ x, offset }) => batchNormF64(x, { offset }),
  grads: ["x", "offset"],
  tolerance: 5e-7,
});
const statistics = opCase({
  name: "batchNorm's mean and variance have gradients of their own",
  inputs: { x: rand([6, 5, 7]) },
  apply: ({ x }) => {
    const { mean, variance } = batchNorm(x);
    return { mean, variance };
  },
  oracle: ({ x }) => statisticsF64(x),
  grads: ["x"],
  tolerance: 5e-7,
});
const far = opCase({
  name: "batchNorm of 40,000 rows far from 0 keeps its digits",
  inputs: { x: uniform([40_000, 5], 20, 21), scale: rand([5]), offset: rand([5]) },
  apply: ({ x, scale, offset }) => batchNorm(x, scale, offset),
  oracle: ({ x, scale, offset }) => batchNormF64(x, { scale, offset }),
  grads: ["scale"],
  tolerance: 4e-6, // the mean, a number of f32, is up to 1e-6 off; the deviation is 0.29
});
const flat = opCase({
  name: "batchNorm of equal values is the offset",
  inputs: { x: values(Array(12).fill(0.1), [6, 2]), offset: values([0.25, -3]) },
  apply: ({ x, offset }) => batchNorm(x, null, offset).y,
  oracle: ({ x, offset }) => batchNormF64(x, { offset }).y,
  grads: ["x"],
  tolerance: 0,
});
const nan = opCase({
  name: "batchNorm keeps NaN in its column",
  inputs: { x: values([1, Number.NaN, -1, 2, 1, 0], [3, 2]) },
  apply: ({ x }) => batchNorm(x).y,
  oracle: ({ x }) => batchNormF64(x, {}).y,
});

const given = shapes.map((shape) => {
  const columns = [shape.at(-1)!];
  return opCase({
    name: `batchNormEval [${shape}]`,
    inputs: {
      x: rand(shape, undefined, 1.5),
      mean: rand(columns),
      variance: uniform(columns, 0.1, 2),
      scale: uniform(columns, 0.5, 1.5),
      offset: rand(columns),
    },
    apply: ({ x, mean, variance, scale, offset }) =>
      batchNormEval(x, mean, variance, scale, offset),
    oracle: ({ x, mean, variance, scale, offset }) =>
      normalizeF64(x, { mean, variance }, { scale, offset }),
    grads: ["x", "mean", "variance", "scale", "offset"],
    tolerance: 5e-7,
    dispatches: { forward: 1, backward: 3 },
  });
});
const givenBare = opCase({
  name: "batchNormEval without scale and offset costs one dispatch each way",
  inputs: { x: rand([7, 9, 8]), mean: rand([1, 1, 8]), variance: uniform([1, 1, 8], 0.1, 2) },
  apply: ({ x, mean, variance }) => batchNormEval(x, mean, variance, { eps: 0.1 }),
  oracle: ({ x, mean, variance }) => normalizeF64(x, { mean, variance }, { eps: 0.1 }),
  grads: ["x"],
  tolerance: 5e-7,
  dispatches: { forward: 1, backward: 1 },
});

/** Over any axes: the case's x with its axes in another order is [rows, cols]. */
const anyAxes = [
  { shape: [3, 4, 5], axes: [0] },
  { shape: [3, 4, 5], axes: [1] },
  { shape: [3, 4, 5], axes: [-1] },
  { shape: [2, 3, 4, 8], axes: [1, 2] },
  { shape: [2, 3, 4, 6], axes: [0, 2] },
  { shape: [2, 3, 4], axes: [0, 1, 2] },
  { shape: [3, 1, 4], axes: [0, 2] },
].flatMap(({ shape, axes }) => {
  const own = axes.map((a) => (a + shape.length) % shape.length);
  const kept = shape.map((d, i) => (own.includes(i) ? 1 : d));
  const strides = (s: readonly number[]) =>
    s.map((_, i) => s.slice(i + 1).reduce((n, d) => n * d, 1));
  const [xs, ks] = [strides(shape), strides(kept)];
  const columnOf = (i: number) =>
    kept.reduce((at, d, a) => at + (d > 1 ? (Math.floor(i / xs[a]!) % d) * ks[a]! : 0), 0);
  const cols = kept.reduce((n, d) => n * d, 1);
  const rows = shape.reduce((n, d) => n * d, 1) / cols;
  const statisticsOf = (x: F64): Columns => {
    const [mean, variance] = [f64(kept), f64(kept)];
    x.data.forEach((v, i) => {
      mean.data[columnOf(i)]! += v / rows;
    });
    x.data.forEach((v, i) => {
      variance.data[columnOf(i)]! += (v - mean.data[columnOf(i)]!) ** 2 / rows;
    });
    return { mean, variance };
  };
  const normalized = (x: F64, s: Columns, scale: F64, offset: F64) =>
    f64(
      x.shape,
      x.data.map((v, i) => {
        const c = columnOf(i);
        const inv = scale.data[c]! / Math.sqrt(s.variance.data[c]! + 1e-5);
        return (v - s.mean.data[c]!) * inv + offset.data[c]!;
      }),
    );
  const inputs = { x: rand(shape), scale: uniform(kept, 0.5, 1.5), offset: rand(kept) };
  return [
    opCase({
      name: `batchNorm [${shape}] over axes [${axes}]`,
      inputs,
      apply: ({ x, scale, offset }) => batchNorm(x, scale, offset, { axes }),
      oracle: ({ x, scale, offset }) => {
        const s = statisticsOf(x);
        return { y: normalized(x, s, scale, offset), mean: s.mean, variance: s.variance };
      },
      grads: ["x", "scale", "offset"],
      tolerance: 5e-7,
    }),
    opCase({
      name: `batchNormEval [${shape}] over axes [${axes}]`,
      inputs: { ...inputs, mean: rand(kept), variance: uniform(kept, 0.1, 2) },
      apply: ({ x, mean, variance, scale, offset }) =>
        batchNormEval(x, mean, variance, scale, offset, { axes }),
      oracle: ({ x, mean, variance, scale, offset }) =>
        normalized(x, { mean, variance }, scale, offset),
      grads: ["x", "mean", "variance", "scale", "offset"],
      tolerance: 5e-7,
    }),
  ];
});

const errors: Case = {
  name: "batchNorm refuses what it cannot take",
  run: async (gpu: Gpu) => {
    const [x, vector, three] = [gpu.zeros([2, 3, 4]), gpu.zeros([4]), gpu.zeros([3])];
    const [ids, one] = [gpu.zeros([2, 4], "u32"), gpu.zeros([])];
    await throws("rank", () => batchNorm(one), ShapeError, /batchNorm: x is a scalar/);
    await throws(
      "scale",
      () => batchNorm(x, three),
      ShapeError,
      /scale is \[3\].*\[2,3,4\].*\[1,1,4\]/,
    );
    await throws("offset", () => batchNorm(x, vector, three), ShapeError, /offset is \[3\]/);
    await throws("dtype", () => batchNorm(ids), ShapeError, /batchNorm: x is u32/);
    await throws("axes", () => batchNorm(x, { axes: [3] }), ShapeError, /axis 3/);
    await throws("an axis twice", () => batchNorm(x, { axes: [0, -3] }), ShapeError, /twice/);
    await throws("eps", () => batchNorm(x, { eps: -1 }), ShapeError, /eps -1/);
    await throws("mean", () => batchNormEval(x, three, vector), ShapeError, /mean is \[3\]/);
    for (const t of [x, vector, three, ids, one]) t.dispose();
  },
};

export const cases: readonly Case[] = [
  ...own,
  alone,
  bare,
  offsetOnly,
  statistics,
  far,
  flat,
  nan,
  ...given,
  givenBare,
  ...anyAxes,
  errors,
];
