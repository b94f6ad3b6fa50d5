// topK: order, ties, NaN, and where the gradient goes.
import { type Gpu, ShapeError } from "../../src/index.ts";
import { topK } from "../../src/ops/topK.ts";
import { type Case, opCase, rand, throws, values } from "../harness.ts";
import { type F64, f64 } from "../oracle.ts";

/** jax.lax.top_k: greatest first, -0 after 0, then the lower index; NaN is greatest. */
function before(a: number, b: number): boolean {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) && !Number.isNaN(b);
  return a > b || (a === 0 && b === 0 && Object.is(b, -0) && Object.is(a, 0));
}
function topF64(x: F64, k: number): { values: F64; indices: F64 } {
  const n = x.shape.at(-1)!;
  const places = Array.from({ length: x.data.length / n }, (_, row) => {
    const at = (i: number) => x.data[row * n + i]!;
    const order = Array.from({ length: n }, (_, i) => i);
    order.sort((i, j) => (before(at(i), at(j)) ? -1 : before(at(j), at(i)) ? 1 : i - j));
    return order.slice(0, k).map((i) => ({ i, v: at(i) }));
  }).flat();
  const shape = [...x.shape.slice(0, -1), k];
  return {
    values: f64(
      shape,
      places.map(({ v }) => v),
    ),
    indices: f64(
      shape,
      places.map(({ i }) => i),
    ),
  };
}
const sizes = (
  [
    [[1], 1],
    [[5], 2],
    [[4, 10], 5],
    [[3, 1000], 5],
    [[2, 3, 7], 7], // all of them: sorted
    [[2, 130], 65],
  ] as const
).map(([shape, k]) =>
  opCase({
    name: `topK of [${shape}], k ${k}`,
    inputs: { x: rand(shape) },
    apply: ({ x }) => topK(x, { k }),
    oracle: ({ x }) => topF64(x, k),
    grads: ["x"],
    tolerance: 0,
    dispatches: { forward: 1, backward: 1 },
  }),
);
const INF = Number.POSITIVE_INFINITY;
const edges = opCase({
  name: "topK: ties by index, -0 after 0, NaN first, infinities",
  inputs: {
    x: values(
      [
        ...[2, 7, 2, 7, 7, 1, 2, 2],
        ...[-0, 0, -1, 0, -0, -2, -3, -4],
        ...[1, Number.NaN, INF, 5, Number.NaN, -INF, 0, 2],
        ...[-INF, -INF, -INF, -INF, -INF, -INF, -INF, -3e38],
      ],
      [4, 8],
    ),
  },
  apply: ({ x }) => topK(x, { k: 6 }),
  oracle: ({ x }) => topF64(x, 6),
  tolerance: 0,
});
const errors: Case = {
  name: "topK refuses what it cannot take",
  run: async (gpu: Gpu) => {
    const [x, one, ids] = [gpu.zeros([2, 3]), gpu.zeros([]), gpu.zeros([2], "u32")];
    await throws("k", () => topK(x, { k: 4 }), ShapeError, /topK: k 4.*\[1, 3\].*\[2,3\]/);
    await throws("k", () => topK(x, { k: 0 }), ShapeError, /topK: k 0/);
    await throws("rank", () => topK(one, { k: 1 }), ShapeError, /topK: axis -1/);
    await throws("dtype", () => topK(ids, { k: 1 }), ShapeError, /topK: x is u32/);
    for (const t of [x, one, ids]) t.dispose();
  },
};

export const cases: readonly Case[] = [...sizes, edges, errors];
