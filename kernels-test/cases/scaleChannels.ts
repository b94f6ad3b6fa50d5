// Channels scaled by their own factors, as at the end of a squeeze-and-excite block.

import { type Gpu, ShapeError } from "../../src/index.ts";
import { plainScaleChannels, scaleChannels } from "../../src/ops/scaleChannels.ts";
import { type Case, opCase, rand, throws, values } from "../harness.ts";
import { type F64, map } from "../oracle.ts";

const logistic = (v: number): number => 1 / (1 + Math.exp(-v));
function scaleChannelsF64(x: F64, h: F64, scale: number, gate: (v: number) => number): F64 {
  const c = x.shape.at(-1)!;
  const image = x.data.length / x.shape[0]!;
  return map(x, (v, i) => v * scale * gate(h.data[Math.floor(i / image) * c + (i % c)]!));
}

const shapes: readonly (readonly number[])[] = [
  [2, 5, 7, 16],
  [3, 3, 2, 5],
  [1, 1, 1, 1],
  [2, 1, 1, 4],
  [1, 33, 31, 4],
  [2, 70, 36],
  [5, 12],
  [1, 17, 9, 67],
  [2, 37, 44],
  [2, 3, 3, 2052],
];
const gated = shapes.map((shape) =>
  opCase({
    name: `scaleChannels [${shape}]`,
    inputs: { x: rand(shape), h: rand([shape[0]!, shape.at(-1)!], undefined, 2) },
    apply: ({ x, h }) => scaleChannels(x, h, { scale: 2 }),
    reference: ({ x, h }) => plainScaleChannels(x, h, 2, "sigmoid"),
    oracle: ({ x, h }) => scaleChannelsF64(x, h, 2, logistic),
    grads: ["x", "h"],
    tolerance: 2e-7,
    dispatches: { forward: 1, backward: 1 },
  }),
);
const open = [
  [2, 4, 3, 8],
  [2, 4, 3, 6],
].map((shape) =>
  opCase({
    name: `scaleChannels [${shape}] without a gate`,
    inputs: { x: rand(shape), h: rand([shape[0]!, shape.at(-1)!]) },
    apply: ({ x, h }) => scaleChannels(x, h, { gate: "none" }),
    oracle: ({ x, h }) => scaleChannelsF64(x, h, 1, (v) => v),
    grads: ["x", "h"],
    tolerance: 2e-7,
  }),
);
const alone = opCase({
  name: "scaleChannels, the gradient of h alone",
  inputs: { x: rand([2, 9, 5, 4]), h: rand([2, 4]) },
  apply: ({ x, h }) => scaleChannels(x, h),
  oracle: ({ x, h }) => scaleChannelsF64(x, h, 1, logistic),
  grads: ["h"],
});
/** A closed gate is exp(h): relative to a small y, the error of exp shows. */
const closed = opCase({
  name: "scaleChannels with gates that are almost closed",
  inputs: {
    x: rand([2, 3, 5, 8]),
    h: values(
      Array.from({ length: 16 }, () => -40.3),
      [2, 8],
    ),
  },
  apply: ({ x, h }) => scaleChannels(x, h),
  oracle: ({ x, h }) => scaleChannelsF64(x, h, 1, logistic),
  grads: ["x", "h"],
  tolerance: 2e-7,
});
const many = opCase({
  name: "scaleChannels of 66,000 images",
  inputs: { x: rand([66_000, 1, 2]), h: rand([66_000, 2]) },
  apply: ({ x, h }) => scaleChannels(x, h),
  oracle: ({ x, h }) => scaleChannelsF64(x, h, 1, logistic),
  tolerance: 2e-7,
});
const nan = opCase({
  name: "scaleChannels passes NaN and infinities",
  inputs: {
    x: values([1, 2, Number.NaN, 4, Number.POSITIVE_INFINITY, 6], [1, 3, 2]),
    h: values([0, Number.NaN], [1, 2]),
  },
  apply: ({ x, h }) => scaleChannels(x, h),
  oracle: ({ x, h }) => scaleChannelsF64(x, h, 1, logistic),
});
const errors: Case = {
  name: "scaleChannels refuses what it cannot take",
  run: async (gpu: Gpu) => {
    const [x, h, vector] = [gpu.zeros([2, 3, 3, 4]), gpu.zeros([2, 3]), gpu.zeros([4])];
    const gate = "tanh" as "none";
    const right = gpu.zeros([2, 4]);
    await throws("h", () => scaleChannels(x, h), ShapeError, /\[2,3\].*\[2,3,3,4\].*\[2,4\]/);
    await throws("rank", () => scaleChannels(vector, h), ShapeError, /at least 2/);
    await throws("gate", () => scaleChannels(x, right, { gate }), ShapeError, /'tanh'/);
    for (const t of [x, h, vector, right]) t.dispose();
  },
};

export const cases: readonly Case[] = [...gated, ...open, alone, closed, many, nan, errors];
