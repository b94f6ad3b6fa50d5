// Scaled weight standardization against the reference's formula in f64, on both sides of eps.

import { type Gpu, type Host, ShapeError, vjp } from "../../src/index.ts";
import { plainStandardize, standardize } from "../../src/ops/standardize.ts";
import { type Case, equal, opCase, rand, throws, uniform, values } from "../harness.ts";
import { type F64, f64 } from "../oracle.ts";

export function standardizeF64(w: F64, gain: F64 | null, eps = 1e-4): F64 {
  const cols = w.shape.at(-1)!;
  const rows = w.data.length / cols;
  const y = f64(w.shape);
  for (let c = 0; c < cols; c++) {
    const column = Float64Array.from({ length: rows }, (_, r) => w.data[r * cols + c]!);
    const mean = column.reduce((s, v) => s + v, 0) / rows;
    const variance = column.reduce((s, v) => s + (v - mean) ** 2, 0) / rows;
    const scale = (gain?.data[c] ?? 1) / Math.sqrt(Math.max(variance * rows, eps));
    for (let r = 0; r < rows; r++) y.data[r * cols + c] = column[r]! * scale - mean * scale;
  }
  return y;
}

const shapes: readonly (readonly number[])[] = [
  [3, 3, 4, 16],
  [3, 3, 3, 7],
  [1, 1, 8, 1],
  [1, 1, 2, 5],
  [5, 2],
  [1, 1, 65, 36],
  [3, 3, 37, 68],
];
const withGain = shapes.map((shape) =>
  opCase({
    name: `standardize [${shape}] with gain`,
    inputs: { w: rand(shape, undefined, 0.3), gain: uniform([shape.at(-1)!], 0.5, 1.5) },
    apply: ({ w, gain }) => standardize(w, gain),
    reference: ({ w, gain }) => plainStandardize(w, gain, 1e-4),
    oracle: ({ w, gain }) => standardizeF64(w, gain),
    grads: ["w", "gain"],
    tolerance: 5e-7,
    dispatches: { forward: 1, backward: 1 },
  }),
);
const withoutGain = [
  [3, 3, 4, 8],
  [2, 3, 5],
].map((shape) =>
  opCase({
    name: `standardize [${shape}] without gain`,
    inputs: { w: rand(shape) },
    apply: ({ w }) => standardize(w),
    oracle: ({ w }) => standardizeF64(w, null),
    grads: ["w"],
    tolerance: 5e-7,
    dispatches: { forward: 1, backward: 1 },
  }),
);
const long = opCase({
  name: "standardize 11,000 rows far from 0",
  inputs: { w: uniform([11_000, 3], 2, 3), gain: rand([3]) },
  apply: ({ w, gain }) => standardize(w, gain),
  oracle: ({ w, gain }) => standardizeF64(w, gain),
  grads: ["w", "gain"],
  tolerance: 1e-6,
});
// Below eps the scale is constant, and its gradient zero.
const flat = opCase({
  name: "standardize below eps",
  inputs: { w: uniform([3, 3, 2, 6], 0.1, 0.1004), gain: rand([6]) },
  apply: ({ w, gain }) => standardize(w, gain),
  oracle: ({ w, gain }) => standardizeF64(w, gain),
  grads: ["w", "gain"],
  tolerance: 1e-4, // numbers around 0.1 that differ by 1e-4 have lost three digits
});
const oneRow = opCase({
  name: "standardize one row is zero",
  inputs: { w: rand([1, 1, 1, 9]), gain: rand([9]) },
  apply: ({ w, gain }) => standardize(w, gain),
  oracle: ({ w, gain }) => standardizeF64(w, gain),
  tolerance: 0,
});
const ownEps = opCase({
  name: "standardize with a great eps",
  inputs: { w: rand([9, 4]) },
  apply: ({ w }) => standardize(w, { eps: 100 }),
  oracle: ({ w }) => standardizeF64(w, null, 100),
  grads: ["w"],
});
const nan = opCase({
  name: "standardize keeps NaN in its column",
  inputs: { w: values([1, Number.NaN, -1, 2, 1, 0], [3, 2]) },
  apply: ({ w }) => standardize(w),
  oracle: ({ w }) => standardizeF64(w, null),
});

const tie: Case = {
  name: "standardize at eps takes half of the variance's gradient, as jnp.maximum",
  run: async (gpu) => {
    // Squares add up to 2 exactly, and so does eps.
    const host: Host = values([1, -1], [2, 1]);
    const w = gpu.tensor(host);
    const dy = gpu.tensor(Float32Array.of(1, 0), [2, 1]);
    const slope = async (eps: number) =>
      (await vjp((p: { w: typeof w }) => standardize(p.w, { eps }))({ w }, dy).grads.w.data())[0]!;
    const [below, at, above] = [await slope(1.9), await slope(2), await slope(2.1)];
    equal("dw[0] above eps", Math.abs(below) < 1e-6, true);
    equal("dw[0] below eps", Math.abs(above - 0.5 / Math.sqrt(2.1)) < 1e-6, true);
    equal("dw[0] at eps", Math.abs(at - 0.25 / Math.SQRT2) < 1e-6, true);
    for (const t of [w, dy]) t.dispose();
  },
};
const errors: Case = {
  name: "standardize refuses what it cannot take",
  run: async (gpu: Gpu) => {
    const [w, vector] = [gpu.zeros([3, 3, 2, 4]), gpu.zeros([3])];
    const ids = gpu.zeros([2, 2], "u32");
    await throws("rank", () => standardize(vector), ShapeError, /standardize: w \[3\]/);
    await throws("gain", () => standardize(w, vector), ShapeError, /\[3\].*\[3,3,2,4\].*\[4\]/);
    await throws("dtype", () => standardize(ids), ShapeError, /standardize: w is u32/);
    await throws("eps", () => standardize(w, { eps: -1 }), ShapeError, /eps -1/);
    for (const t of [w, vector, ids]) t.dispose();
  },
};

export const cases: readonly Case[] = [
  ...withGain,
  ...withoutGain,
  long,
  flat,
  oneRow,
  ownEps,
  nan,
  tie,
  errors,
];
