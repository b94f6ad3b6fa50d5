// Pooling against the definition in f64: padding, overlapping windows, ties, NaN.

import { type Gpu, ShapeError, vjp } from "../../src/index.ts";
import { avgPool, maxPool, type PoolAttrs } from "../../src/ops/pool.ts";
import { type Case, equal, opCase, rand, throws, values } from "../harness.ts";
import { at, build, type F64 } from "../oracle.ts";

/** `f` of the numbers that each window holds; what it reaches beyond the image is not there. */
function poolF64(x: F64, attrs: PoolAttrs, f: (values: number[]) => number): F64 {
  const { window = 2, stride = window, padding = "VALID" } = attrs;
  const two = (v: number | readonly [number, number]) => (typeof v === "number" ? [v, v] : v);
  const [n, h, w, c] = x.shape as [number, number, number, number];
  const axes = [h, w].map((size, i) => {
    const [k, s] = [two(window)[i]!, two(stride)[i]!];
    const out = padding === "SAME" ? Math.ceil(size / s) : Math.floor((size - k) / s) + 1;
    const pad = padding === "SAME" ? Math.floor(Math.max((out - 1) * s + k - size, 0) / 2) : 0;
    const inside = (o: number) =>
      Array.from({ length: k }, (_, j) => o * s - pad + j).filter((v) => v >= 0 && v < size);
    return { out, inside };
  });
  return build([n, axes[0]!.out, axes[1]!.out, c], ([image, oh, ow, channel]) =>
    f(
      axes[0]!
        .inside(oh!)
        .flatMap((r) => axes[1]!.inside(ow!).map((q) => at(x, image!, r, q, channel!))),
    ),
  );
}
const mean = (v: number[]): number => v.reduce((a, b) => a + b) / v.length;
const greatest = (v: number[]): number => v.reduce((a, b) => Math.max(a, b));

const layouts: readonly (readonly [string, readonly number[], PoolAttrs])[] = [
  ["default", [2, 4, 6, 4], {}],
  ["2 SAME, odd", [2, 5, 5, 3], { padding: "SAME" }],
  ["2 SAME, 8 channels", [1, 7, 4, 8], { padding: "SAME" }],
  ["3 by 2 SAME", [2, 6, 7, 2], { window: 3, stride: 2, padding: "SAME" }],
  ["3 by 1 SAME", [1, 5, 4, 4], { window: 3, stride: 1, padding: "SAME" }],
  ["3 by 2 VALID", [2, 8, 7, 5], { window: 3, stride: 2 }],
  ["2x3 by 1x2", [1, 5, 9, 4], { window: [2, 3], stride: [1, 2], padding: "SAME" }],
  ["1 by 2", [1, 5, 5, 4], { window: 1, stride: 2 }],
  ["2 by 3, gaps", [1, 8, 8, 1], { window: 2, stride: 3, padding: "SAME" }],
  ["one element", [1, 1, 1, 1], { padding: "SAME" }],
  ["window greater than the image", [1, 2, 3, 4], { window: 5, stride: 1, padding: "SAME" }],
  ["many channels", [1, 3, 3, 300], { window: 2, stride: 1 }],
  ["whole image", [2, 3, 5, 4], { window: [3, 5] }],
];
const both = layouts.flatMap(([name, shape, attrs]) => [
  opCase({
    name: `avgPool ${name}`,
    inputs: { x: rand(shape) },
    apply: ({ x }) => avgPool(x, attrs),
    oracle: ({ x }) => poolF64(x, attrs, mean),
    grads: ["x"],
    tolerance: 2e-7,
    dispatches: { forward: 1, backward: 1 },
  }),
  opCase({
    name: `maxPool ${name}`,
    inputs: { x: rand(shape) },
    apply: ({ x }) => maxPool(x, attrs),
    oracle: ({ x }) => poolF64(x, attrs, greatest),
    grads: ["x"],
    tolerance: 0,
    dispatches: { forward: 1, backward: 2 },
  }),
]);
const many = opCase({
  name: "maxPool of 66,000 rows",
  inputs: { pixels: rand([66_000, 1, 2, 1]) },
  apply: ({ pixels }) => maxPool(pixels, { window: [1, 2] }),
  oracle: ({ pixels }) => poolF64(pixels, { window: [1, 2] }, greatest),
  tolerance: 0,
});
const nan = Number.NaN;
const passes = [avgPool, maxPool].map((op, i) =>
  opCase({
    name: `${["avgPool", "maxPool"][i]} keeps NaN in its window`,
    inputs: {
      x: values([1, nan, 2, 3, nan, 1, 1, Number.NEGATIVE_INFINITY, 5, 6, 7, 8], [1, 6, 2, 1]),
    },
    apply: ({ x }) => op(x),
    oracle: ({ x }) => poolF64(x, {}, i === 0 ? mean : greatest),
  }),
);
const lowest = opCase({
  name: "maxPool of nothing but -infinity",
  inputs: { x: values(new Float32Array(4).fill(Number.NEGATIVE_INFINITY), [1, 2, 2, 1]) },
  apply: ({ x }) => maxPool(x, { padding: "SAME" }),
  oracle: ({ x }) => poolF64(x, {}, greatest),
});

const ties: Case = {
  name: "maxPool's gradient goes to the first of equal numbers",
  run: async (gpu) => {
    const x = gpu.tensor(Float32Array.of(1, 2, 2, 2, 2, 1, 0, 2, 2), [1, 3, 3, 1]);
    const dy = gpu.tensor(Float32Array.of(1, 10, 100, 1000), [1, 2, 2, 1]);
    const pull = vjp((p: { x: typeof x }) => maxPool(p.x, { window: 2, stride: 1 }));
    const { grads } = pull({ x }, dy);
    equal("dx", [...(await grads.x.data())], [0, 11, 0, 100, 1000, 0, 0, 0, 0]);
    for (const t of [x, dy]) t.dispose();
  },
};
const errors: Case = {
  name: "pooling refuses what it cannot take",
  run: async (gpu: Gpu) => {
    const [x, flat] = [gpu.zeros([1, 3, 3, 2]), gpu.zeros([3, 3])];
    const ids = gpu.zeros([1, 3, 3, 2], "u32");
    const padding = "same" as "SAME";
    await throws("rank", () => avgPool(flat), ShapeError, /avgPool: x is \[3,3\]/);
    await throws("stride", () => avgPool(x, { stride: 0 }), ShapeError, /stride is \[0,0\]/);
    await throws("window", () => maxPool(x, { window: 1.5 }), ShapeError, /window is \[1.5,1.5\]/);
    await throws("window", () => maxPool(x, { window: 4 }), ShapeError, /4 x 4.*\[1,3,3,2\]/);
    await throws("padding", () => maxPool(x, { padding }), ShapeError, /'same'/);
    await throws("dtype", () => maxPool(ids), ShapeError, /maxPool: x is u32/);
    for (const t of [x, flat, ids]) t.dispose();
  },
};

export const cases: readonly Case[] = [...both, many, ...passes, lowest, ties, errors];
