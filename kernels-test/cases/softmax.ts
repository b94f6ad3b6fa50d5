// Softmax and its logarithm: axes, row lengths, far values, NaN and infinities.
import row from "../../shaders/lib/row.wgsl";
import width1 from "../../shaders/lib/width1.wgsl";
import width4 from "../../shaders/lib/width4.wgsl";
import source from "../../shaders/softmax.wgsl";
import { defineKernel, type Gpu, ShapeError, type Tensor, vjp } from "../../src/index.ts";
import { logSoftmax, type SoftmaxAttrs, softmax } from "../../src/ops/softmax.ts";
import { type Case, near, opCase, rand, throws, values } from "../harness.ts";
import { type F64, f64, indexOf, place, reduce, sumOf } from "../oracle.ts";

const INF = Number.POSITIVE_INFINITY;

/** Each value from its row's greatest value and sum. */
function softmaxF64(x: F64, axis: number, log: boolean): F64 {
  const top = reduce(x, [axis], (v) => v.reduce((a, b) => Math.max(a, b)), true);
  const at = axis < 0 ? axis + x.shape.length : axis;
  const of = (i: number) =>
    place(
      top.shape,
      indexOf(x.shape, i).map((v, d) => (d === at ? 0 : v)),
    );
  const less = f64(
    x.shape,
    x.data.map((v, i) => v - top.data[of(i)]!),
  );
  const sums = reduce(less, [axis], (v) => sumOf(v.map(Math.exp)), true);
  return f64(
    x.shape,
    less.data.map((v, i) => {
      const sum = sums.data[of(i)]!;
      return log ? v - Math.log(sum) : Math.exp(v) / sum;
    }),
  );
}
interface Kind {
  readonly name: string;
  readonly op: (x: Tensor, attrs?: SoftmaxAttrs) => Tensor;
  readonly log: boolean;
}
const kinds: readonly Kind[] = [
  { name: "softmax", op: softmax, log: false },
  { name: "logSoftmax", op: logSoftmax, log: true },
];
const rows: readonly (readonly number[])[] = [
  [1],
  [4],
  [3, 1],
  [5, 10],
  [2, 3, 8],
  [7, 33],
  [3, 1000],
  [2, 1001],
  [131, 100], // enough rows to go two at a time, and one left over
  [128, 37],
];
const lastAxis = kinds.flatMap(({ name, op, log }) =>
  rows.map((shape) =>
    opCase({
      name: `${name} of [${shape}]`,
      inputs: { x: rand(shape, undefined, 3) },
      apply: ({ x }) => op(x),
      oracle: ({ x }) => softmaxF64(x, -1, log),
      grads: ["x"],
      tolerance: 3e-7,
      dispatches: { forward: 1, backward: 1 },
    }),
  ),
);
const otherAxes = kinds.flatMap(({ name, op, log }) =>
  [
    { shape: [6, 5], axis: 0 },
    { shape: [2, 8, 3, 4], axis: 1 },
    { shape: [2, 5, 3, 4], axis: -2 },
  ].map(({ shape, axis }) =>
    opCase({
      name: `${name} of [${shape}] along axis ${axis}`,
      inputs: { x: rand(shape) },
      apply: ({ x }) => op(x, { axis }),
      oracle: ({ x }) => softmaxF64(x, axis, log),
      grads: ["x"],
      tolerance: 3e-7,
      dispatches: { forward: 3, backward: 4 },
    }),
  ),
);
const odd = [
  -INF,
  1,
  2,
  -INF,
  1,
  2,
  Number.NaN,
  3,
  1,
  INF,
  2,
  3,
  -INF,
  -INF,
  -INF,
  -INF,
  1,
  2,
  3,
  4,
];
const edges = kinds.flatMap(({ name, op, log }) => [
  opCase({
    name: `${name} of values that exp cannot take`,
    inputs: {
      x: values([1e4, 9999, -1e4, 0, -3e38, -3e38, -3e38, -3e38, 200, 0, -200, 100], [3, 4]),
    },
    apply: ({ x }) => op(x),
    oracle: ({ x }) => softmaxF64(x, -1, log),
    tolerance: 3e-7,
  }),
  opCase({
    name: `${name}: -inf is no probability; NaN, inf and a row of -inf make their row NaN`,
    inputs: {
      x: values(odd, [5, 4]),
    },
    apply: ({ x }) => op(x),
    oracle: ({ x }) => softmaxF64(x, -1, log),
    tolerance: 3e-7,
  }),
  opCase({
    name: `${name}: NaN and infinities stay in their rows, however many there are`,
    inputs: { x: values(Array.from({ length: 27 }, () => odd).flat(), [135, 4]) },
    apply: ({ x }) => op(x),
    oracle: ({ x }) => softmaxF64(x, -1, log),
    tolerance: 3e-7,
  }),
]);
const many = opCase({
  name: "softmax: more rows than 65,535",
  inputs: { x: rand([70_001, 3]) },
  apply: ({ x }) => softmax(x),
  oracle: ({ x }) => {
    const y = f64(x.shape);
    for (let i = 0; i < y.data.length; i += 3) {
      const e = x.data.subarray(i, i + 3).map(Math.exp);
      y.data.set(
        e.map((v) => v / sumOf(e)),
        i,
      );
    }
    return y;
  },
  tolerance: 3e-7,
  dispatches: { forward: 1 },
});
const withoutSubgroups: Case = {
  name: "softmax and its gradient without subgroups: a workgroup a row",
  run: async (gpu: Gpu) => {
    for (const [n, width] of [
      [1004, width4],
      [131, width1],
    ] as const) {
      for (const { op, log } of kinds) {
        const knobs = { LOG: log };
        const uses = [width, row];
        const params = { rows: 3, n: width === width4 ? n / 4 : n };
        const [hx, hdy] = [rand([3, n], 1), rand([3, n], 2)];
        const [x, dy, y, dx] = [
          gpu.tensor(hx),
          gpu.tensor(hdy),
          gpu.zeros([3, n]),
          gpu.zeros([3, n]),
        ];
        const forward = defineKernel(source, { entry: "forward", knobs, uses });
        const backward = defineKernel(source, { entry: "backward", knobs, uses });
        gpu.dispatch(forward, { x, y }, params, [3 * 64]);
        gpu.dispatch(backward, { out: y, dy, dx }, params, [3 * 64]);
        const { value, grads } = vjp((p: { x: Tensor }) => op(p.x))({ x }, dy);
        near("y", await y.data(), await value.data(), { tolerance: 3e-7 });
        near("dx", await dx.data(), await grads.x.data(), { tolerance: 1e-6 });
        for (const t of [x, dy, y, dx]) t.dispose();
      }
    }
  },
};
const errors: Case = {
  name: "softmax refuses what it cannot take",
  run: async (gpu: Gpu) => {
    const [x, one, ids] = [gpu.zeros([2, 3]), gpu.zeros([]), gpu.zeros([4], "u32")];
    await throws("axis", () => softmax(x, { axis: 2 }), ShapeError, /softmax: axis 2.*\[2,3\]/);
    await throws("rank", () => logSoftmax(one), ShapeError, /logSoftmax: axis -1/);
    await throws("dtype", () => softmax(ids), ShapeError, /softmax: x is u32/);
    for (const t of [x, one, ids]) t.dispose();
  },
};

export const cases: readonly Case[] = [
  ...lastAxis,
  ...otherAxes,
  ...edges,
  many,
  withoutSubgroups,
  errors,
];
