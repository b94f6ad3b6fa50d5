// Cross-entropies against their definitions in f64: hard and soft labels, smoothing, reductions,
// labels out of range.

import { type Gpu, ShapeError, vjp } from "../../src/index.ts";
import {
  plainSigmoidCrossEntropy,
  plainSoftmaxCrossEntropy,
  type Reduction,
  sigmoidCrossEntropy,
  softmaxCrossEntropy,
} from "../../src/ops/crossEntropy.ts";
import {
  type Case,
  equal,
  ints,
  opCase,
  rand,
  throws,
  uints,
  uniform,
  values,
} from "../harness.ts";
import { type F64, f64, sumOf } from "../oracle.ts";

function reduceF64(each: F64, reduction: Reduction): F64 {
  if (reduction === "none") return each;
  const total = sumOf(each.data);
  return f64([], [reduction === "mean" ? total / each.data.length : total]);
}
function softmaxF64(x: F64, labels: F64, smoothing: number, reduction: Reduction): F64 {
  const c = x.shape.at(-1)!;
  const hard = labels.shape.length < x.shape.length;
  const each = f64(x.shape.slice(0, -1));
  each.data.forEach((_, r) => {
    const row = x.data.subarray(r * c, r * c + c);
    const top = row.reduce((a, b) => Math.max(a, b));
    const log = Math.log(row.reduce((s, v) => s + Math.exp(v - top), 0));
    if (hard && !(labels.data[r]! < c)) each.data[r] = Number.NaN;
    else
      row.forEach((v, i) => {
        const label = hard ? Number(labels.data[r] === i) : labels.data[r * c + i]!;
        each.data[r]! -= ((1 - smoothing) * label + smoothing / c) * (v - top - log);
      });
  });
  return reduceF64(each, reduction);
}
function sigmoidF64(x: F64, t: F64, reduction: Reduction): F64 {
  const plus = (v: number) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));
  const loss = (v: number, i: number) => t.data[i]! * plus(-v) + (1 - t.data[i]!) * plus(v);
  return reduceF64({ data: x.data.map(loss), shape: x.shape }, reduction);
}

const tolerance = 5e-7;
const shapes: readonly (readonly number[])[] = [[5, 10], [1, 1], [3, 1000], [7, 3], [2, 3, 9], [4]];
const hard = shapes.flatMap((shape) =>
  ([0, 0.1] as const).map((smoothing) =>
    opCase({
      name: `softmaxCrossEntropy [${shape}], smoothing ${smoothing}`,
      inputs: { x: rand(shape, undefined, 2), labels: ints(shape.slice(0, -1), shape.at(-1)!) },
      apply: ({ x, labels }) => softmaxCrossEntropy(x, labels, { smoothing }),
      reference: ({ x, labels }) => plainSoftmaxCrossEntropy(x, labels, smoothing, "mean"),
      oracle: ({ x, labels }) => softmaxF64(x, labels, smoothing, "mean"),
      grads: ["x"],
      tolerance,
      dispatches: { forward: shape[0] === 1 || shape.length === 1 ? 1 : 2, backward: 1 },
    }),
  ),
);
const reductions = (["sum", "none"] as const).map((reduction) =>
  opCase({
    name: `softmaxCrossEntropy, reduction ${reduction}`,
    inputs: { x: rand([6, 11], undefined, 3), labels: ints([6], 11) },
    apply: ({ x, labels }) => softmaxCrossEntropy(x, labels, { smoothing: 0.2, reduction }),
    oracle: ({ x, labels }) => softmaxF64(x, labels, 0.2, reduction),
    grads: ["x"],
    tolerance,
  }),
);
const soft = (["mean", "none"] as const).map((reduction) =>
  opCase({
    name: `softmaxCrossEntropy of soft labels, reduction ${reduction}`,
    inputs: { x: rand([5, 12], undefined, 2), labels: uniform([5, 12]) }, // they do not add up to 1
    apply: ({ x, labels }) => softmaxCrossEntropy(x, labels, { smoothing: 0.1, reduction }),
    reference: ({ x, labels }) => plainSoftmaxCrossEntropy(x, labels, 0.1, reduction),
    oracle: ({ x, labels }) => softmaxF64(x, labels, 0.1, reduction),
    grads: ["x", "labels"],
    tolerance,
    dispatches: { forward: reduction === "none" ? 1 : 2, backward: 2 },
  }),
);
const great = opCase({
  name: "softmaxCrossEntropy of logits in the hundreds",
  inputs: { x: rand([9, 6], undefined, 300), labels: ints([9], 6) },
  apply: ({ x, labels }) => softmaxCrossEntropy(x, labels, { reduction: "none" }),
  oracle: ({ x, labels }) => softmaxF64(x, labels, 0, "none"),
  tolerance,
});
const many = opCase({
  name: "softmaxCrossEntropy of 66,000 rows",
  inputs: { x: rand([66_000, 2]), labels: ints([66_000], 2) },
  apply: ({ x, labels }) => softmaxCrossEntropy(x, labels),
  oracle: ({ x, labels }) => softmaxF64(x, labels, 0, "mean"),
  tolerance,
});

const [nan, inf] = [Number.NaN, Number.POSITIVE_INFINITY];
const special = opCase({
  name: "softmaxCrossEntropy keeps NaN and infinities in their rows, and gives NaN for no class",
  inputs: {
    x: values([1, 2, 3, nan, 0, 0, inf, 0, 0, 0, 0, 0, 0, 0, 0], [5, 3]),
    labels: uints([0, 1, 1, 3, 2]),
  },
  apply: ({ x, labels }) => softmaxCrossEntropy(x, labels, { reduction: "none" }),
  oracle: ({ x, labels }) => softmaxF64(x, labels, 0, "none"),
  tolerance,
});
const outOfRange: Case = {
  name: "softmaxCrossEntropy: a label that is no class spoils its row's gradient alone",
  run: async (gpu: Gpu) => {
    const x = gpu.tensor(new Float32Array(4), [2, 2]);
    const labels = gpu.tensor(Uint32Array.of(1, 0xffffffff));
    const dy = gpu.tensor([2], []);
    const pull = vjp((p: { x: typeof x }) => softmaxCrossEntropy(p.x, labels));
    equal("dx", [...(await pull({ x }, dy).grads.x.data())], [0.5, -0.5, nan, nan]);
    for (const t of [x, labels, dy]) t.dispose();
  },
};

const sigmoid = (["mean", "sum", "none"] as const).map((reduction) =>
  opCase({
    name: `sigmoidCrossEntropy, reduction ${reduction}`,
    inputs: { x: rand([7, 13], undefined, 4), t: uniform([7, 13]) },
    apply: ({ x, t }) => sigmoidCrossEntropy(x, t, { reduction }),
    reference: ({ x, t }) => plainSigmoidCrossEntropy(x, t, reduction),
    oracle: ({ x, t }) => sigmoidF64(x, t, reduction),
    grads: ["x", "t"],
    tolerance,
    dispatches: { forward: reduction === "none" ? 1 : 2, backward: 1 },
  }),
);
const sigmoidSizes = [[], [1], [20_001]].map((shape) =>
  opCase({
    name: `sigmoidCrossEntropy [${shape}]`,
    inputs: { x: rand(shape), t: uniform(shape) },
    apply: ({ x, t }) => sigmoidCrossEntropy(x, t),
    oracle: ({ x, t }) => sigmoidF64(x, t, "mean"),
    grads: ["x"],
    tolerance,
  }),
);

const errors: Case = {
  name: "cross-entropies refuse what they cannot take",
  run: async (gpu: Gpu) => {
    const [x, flat, scalar] = [gpu.zeros([4, 3]), gpu.zeros([4]), gpu.zeros([])];
    const [ids, few] = [gpu.zeros([4], "u32"), gpu.zeros([3], "u32")];
    const loss = softmaxCrossEntropy;
    const reduction = "max" as "sum";
    await throws("few", () => loss(x, few), ShapeError, /u32 \[3\].*\[4,3\].*u32 \[4\]/);
    await throws("f32", () => loss(x, flat), ShapeError, /labels are f32 \[4\]/);
    await throws("logits", () => loss(ids, ids), ShapeError, /logits are u32/);
    await throws("scalar", () => loss(scalar, scalar), ShapeError, /scalar/);
    await throws("smoothing", () => loss(x, ids, { smoothing: 2 }), ShapeError, /smoothing 2/);
    await throws("reduction", () => loss(x, ids, { reduction }), ShapeError, /'max'/);
    await throws("sigmoid", () => sigmoidCrossEntropy(x, flat), ShapeError, /\[4\].*\[4,3\]/);
    for (const t of [x, flat, scalar, ids, few]) t.dispose();
  },
};

export const cases: readonly Case[] = [
  ...hard,
  ...reductions,
  ...soft,
  great,
  many,
  special,
  outOfRange,
  ...sigmoid,
  ...sigmoidSizes,
  errors,
];
