// argmax: axes, ties, NaN.
import { type Gpu, ShapeError } from "../../src/index.ts";
import { argmax } from "../../src/ops/argmax.ts";
import { type Case, opCase, rand, throws, values } from "../harness.ts";
import { type F64, type Numbers, reduce } from "../oracle.ts";

/** The first NaN, or else the first greatest. */
const first = (v: Numbers): number => {
  const list = Array.from(v);
  const nan = list.findIndex(Number.isNaN);
  return nan >= 0 ? nan : list.findIndex((a) => list.every((b) => a >= b));
};
const along = (x: F64, axis: number): F64 => reduce(x, [axis], first);

const sets = (
  [
    [[1], -1],
    [[7], 0],
    [[5, 3], -1],
    [[5, 3], 0],
    [[4, 33], 1],
    [[3, 1000], 1],
    [[2, 5, 6, 3], 1],
    [[2, 5, 6, 3], -2],
  ] as const
).map(([shape, axis]) =>
  opCase({
    name: `argmax of [${shape}] along ${axis}`,
    inputs: { x: rand(shape) },
    apply: ({ x }) => argmax(x, { axis }),
    oracle: ({ x }) => along(x, axis),
    dispatches: { forward: 1 },
  }),
);
const INF = Number.POSITIVE_INFINITY;
const edges = opCase({
  name: "argmax: the first of equal values (-0 equals 0), the first NaN, infinities",
  inputs: {
    x: values(
      [
        1,
        3,
        3,
        0,
        0,
        -0,
        0,
        -1,
        -0,
        0,
        -0,
        0,
        1,
        Number.NaN,
        INF,
        Number.NaN,
        -INF,
        -INF,
        -INF,
        -INF,
      ],
      [5, 4],
    ),
  },
  apply: ({ x }) => argmax(x),
  oracle: ({ x }) => along(x, -1),
});
const errors: Case = {
  name: "argmax refuses what it cannot take",
  run: async (gpu: Gpu) => {
    const [x, ids] = [gpu.zeros([2, 3]), gpu.zeros([2], "u32")];
    await throws("axis", () => argmax(x, { axis: 2 }), ShapeError, /argmax: axis 2.*\[2,3\]/);
    await throws("dtype", () => argmax(ids), ShapeError, /argmax: x is u32/);
    x.dispose();
    ids.dispose();
  },
};

export const cases: readonly Case[] = [...sets, edges, errors];
