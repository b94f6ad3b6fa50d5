// Squeeze-and-excite as one op: both ways of computing it against f64, and their dispatches.

import { type Gpu, ShapeError } from "../../src/index.ts";
import { plainSqueezeExcite, squeezeExcite } from "../../src/ops/squeezeExcite.ts";
import { type Case, opCase, rand, throws, uniform } from "../harness.ts";
import { type F64, map } from "../oracle.ts";

function linearF64(x: number[], w: F64, b: F64): number[] {
  const out = b.data.length;
  return Array.from(b.data, (bias, j) =>
    x.reduce((sum, v, i) => sum + v * w.data[i * out + j]!, bias),
  );
}
function squeezeExciteF64(x: F64, w0: F64, b0: F64, w1: F64, b1: F64, scale: number): F64 {
  const c = x.shape.at(-1)!;
  const image = x.data.length / x.shape[0]!;
  const factors = Array.from({ length: x.shape[0]! }, (_, n) => {
    const mean = Array.from({ length: c }, (_, k) => {
      let sum = 0;
      for (let i = k; i < image; i += c) sum += x.data[n * image + i]!;
      return (sum * c) / image;
    });
    const hidden = linearF64(mean, w0, b0).map((v) => Math.max(v, 0));
    return linearF64(hidden, w1, b1).map((v) => scale / (1 + Math.exp(-v)));
  });
  return map(x, (v, i) => v * factors[Math.floor(i / image)]![i % c]!);
}

// Shape of x, hidden channels, and the dispatches of each way: one workgroup an image, or products (odd channels here,
// large weights in the last).
const few = { forward: 2, backward: 3 };
const shapes: readonly (readonly [readonly number[], number, typeof few | null])[] = [
  [[2, 5, 7, 16], 8, few],
  [[1, 1, 1, 4], 4, few],
  [[3, 33, 72], 36, few],
  [[1, 24, 24, 132], 64, few],
  [[5, 3, 2, 2, 260], 68, few],
  [[2, 5, 7, 6], 3, null],
  [[3, 2, 2, 20], 5, null],
  [[2, 3, 3, 644], 322, null],
];
const whole = shapes.map(([shape, h, dispatches]) => {
  const c = shape.at(-1)!;
  const [a, b] = [2 / Math.sqrt(c), 3 / Math.sqrt(h)];
  return opCase({
    name: `squeezeExcite [${shape}] over ${h}`,
    inputs: {
      x: rand(shape, undefined, 2),
      w0: uniform([c, h], -a, a),
      b0: uniform([h], -0.2, 1), // most hidden channels live
      w1: uniform([h, c], -b, b),
      b1: rand([c]),
    },
    apply: ({ x, w0, b0, w1, b1 }) => squeezeExcite(x, w0, b0, w1, b1, { scale: 2 }),
    reference: ({ x, w0, b0, w1, b1 }) => plainSqueezeExcite(x, [w0, b0, w1, b1], 2),
    oracle: ({ x, w0, b0, w1, b1 }) => squeezeExciteF64(x, w0, b0, w1, b1, 2),
    grads: ["x", "w0", "b0", "w1", "b1"],
    tolerance: 3e-7,
    ...(dispatches && { dispatches }),
  });
});
const alone = opCase({
  name: "squeezeExcite, the gradient of x alone",
  inputs: {
    x: rand([2, 9, 5, 8]),
    w0: uniform([8, 4], -1, 1),
    b0: uniform([4], 0, 1),
    w1: uniform([4, 8], -1, 1),
    b1: rand([8]),
  },
  apply: ({ x, w0, b0, w1, b1 }) => squeezeExcite(x, w0, b0, w1, b1),
  oracle: ({ x, w0, b0, w1, b1 }) => squeezeExciteF64(x, w0, b0, w1, b1, 1),
  grads: ["x"],
  tolerance: 3e-7,
  dispatches: { forward: 2, backward: 2 },
});

const errors: Case = {
  name: "squeezeExcite refuses what does not fit",
  run: async (gpu: Gpu) => {
    const x = gpu.zeros([2, 3, 3, 8]);
    const flat = gpu.zeros([2, 8]);
    const ids = gpu.zeros([2, 3, 3, 8], "u32");
    const [w0, b0, w1, b1] = [gpu.zeros([8, 4]), gpu.zeros([4]), gpu.zeros([4, 8]), gpu.zeros([8])];
    const bad = (f: () => unknown, message: RegExp) => throws("fit", f, ShapeError, message);
    await bad(() => squeezeExcite(flat, w0, b0, w1, b1), /x \[2,8\].*3 dimensions/);
    await bad(() => squeezeExcite(ids, w0, b0, w1, b1), /x is u32/);
    await bad(() => squeezeExcite(x, w1, b0, w1, b1), /w0 is \[4,8\].*\[8,8\]/);
    await bad(() => squeezeExcite(x, w0, b1, w1, b1), /b0 is \[8\].*\[4\]/);
    await bad(() => squeezeExcite(x, w0, b0, w0, b1), /w1 is \[8,4\].*\[4,8\]/);
    for (const t of [x, flat, ids, w0, b0, w1, b1]) t.dispose();
  },
};

export const cases: readonly Case[] = [...whole, alone, errors];
