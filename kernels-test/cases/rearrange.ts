// Ops that move elements: each exact, in f32 and u32, with gradients and dispatches.
import { type Gpu, ShapeError, type Tensor, vjp } from "../../src/index.ts";
import {
  broadcastTo,
  concat,
  flip,
  pad,
  reshape,
  slice,
  transpose,
} from "../../src/ops/rearrange.ts";
import { assert, type Case, equalBits, ints, opCase, rand, throws, values } from "../harness.ts";
import { at, atOr, build, type F64, f64, zip } from "../oracle.ts";

const tolerance = 0; // nothing is computed
const grads = ["x"] as const;
const note = (x: unknown): string => JSON.stringify(x);

const transposed = (x: F64, perm: readonly number[]): F64 =>
  build(
    perm.map((i) => x.shape[i]!),
    (index) => {
      const from = [...index];
      perm.forEach((d, i) => {
        from[d] = index[i]!;
      });
      return at(x, ...from);
    },
  );
const transposes = (
  [
    [[], []],
    [[5], [0]],
    [
      [3, 1],
      [1, 0],
    ],
    [
      [5, 7],
      [1, 0],
    ],
    [
      [8, 12],
      [1, 0],
    ],
    [
      [2, 3, 4],
      [0, 2, 1],
    ],
    [
      [2, 3, 8],
      [1, 0, 2],
    ], // in fours
    [
      [3, 5, 7, 2],
      [3, 1, 0, 2],
    ],
    [
      [2, 3, 2, 3, 2, 4],
      [5, 3, 1, 0, 2, 4],
    ],
    [
      [2, 1, 2, 3, 1, 2, 2, 2],
      [7, 5, 3, 6, 1, 0, 2, 4],
    ],
  ] as const
).map(([shape, perm]) =>
  opCase({
    name: `transpose [${shape}] by [${perm}]`,
    inputs: { x: rand(shape) },
    apply: ({ x }) => transpose(x, { perm }),
    oracle: ({ x }) => transposed(x, perm),
    grads,
    tolerance,
    dispatches: { forward: 1, backward: 1 },
  }),
);

const joined = (xs: readonly F64[], axis: number): F64 => {
  const shape = xs[0]!.shape.map((d, i) =>
    i === axis ? xs.reduce((n, x) => n + x.shape[i]!, 0) : d,
  );
  return build(shape, (index) => {
    let i = index[axis]!;
    for (const x of xs) {
      if (i < x.shape[axis]!) return at(x, ...index.map((v, d) => (d === axis ? i : v)));
      i -= x.shape[axis]!;
    }
    throw new Error("beyond the last");
  });
};
const concats = (
  [
    [[[1], [1]], 0],
    [[[3], [5]], 0],
    [
      [
        [2, 3, 4],
        [2, 3, 8],
      ],
      2,
    ], // in fours
    [
      [
        [2, 3, 4],
        [2, 3, 5],
      ],
      -1,
    ],
    [
      [
        [2, 1, 5],
        [2, 4, 5],
      ],
      1,
    ],
  ] as const
).map(([[p, q], axis]) =>
  opCase({
    name: `concat [${p}] and [${q}] along ${axis}`,
    inputs: { x: rand(p), z: rand(q) },
    apply: ({ x, z }) => concat([x, z], { axis }),
    oracle: ({ x, z }) => joined([x, z], axis < 0 ? axis + p.length : axis),
    grads: ["x", "z"],
    tolerance,
    dispatches: { forward: 2, backward: 2 },
  }),
);
const repeated = opCase({
  name: "concat of one tensor three times adds its gradients",
  inputs: { x: rand([2, 3]) },
  apply: ({ x }) => concat([x, x, x], { axis: 0 }),
  oracle: ({ x }) => joined([x, x, x], 0),
  grads,
  tolerance,
});
const partly: Case = {
  name: "concat: a gradient for some of the tensors only",
  run: async (gpu: Gpu) => {
    const [a, b] = [gpu.tensor([1, 2]), gpu.tensor([3])];
    const dy = gpu.tensor([5, 6, 7]);
    const { grads } = vjp((p: { b: Tensor }) => concat([a, p.b], { axis: 0 }))({ b }, dy);
    equalBits("db", await grads.b.data(), [7]);
    for (const t of [a, b, dy]) t.dispose();
  },
};

const slices = (
  [
    [[], [], []],
    [[9], [3], [5]],
    [[16], [4], [8]], // in fours
    [
      [4, 6],
      [0, 0],
      [4, 6],
    ], // all of it
    [
      [5, 7],
      [1, 2],
      [3, 4],
    ],
    [
      [5, 8],
      [1, 4],
      [3, 4],
    ],
    [
      [2, 5, 6, 3],
      [1, 1, 0, 1],
      [1, 3, 5, 2],
    ],
    [
      [2, 3, 2, 3, 2, 3],
      [0, 1, 1, 0, 1, 2],
      [2, 1, 1, 2, 1, 1],
    ],
  ] as const
).map(([shape, begin, size]) =>
  opCase({
    name: `slice [${shape}] from [${begin}], size [${size}]`,
    inputs: { x: rand(shape) },
    apply: ({ x }) => slice(x, { begin, size }),
    oracle: ({ x }) => build(size, (index) => at(x, ...index.map((v, d) => v + begin[d]!))),
    grads,
    tolerance,
    dispatches: { forward: 1 },
  }),
);

const pads = (
  [
    [[], []],
    [[3], [[0, 0]]],
    [[3], [[2, 1]]],
    [
      [4, 4],
      [
        [1, 0],
        [4, 8],
      ],
    ], // in fours
    [
      [2, 5, 6, 3],
      [
        [0, 0],
        [1, 2],
        [2, 1],
        [0, 1],
      ],
    ],
  ] as const
).map(([shape, padding]: readonly [readonly number[], readonly (readonly [number, number])[]]) =>
  opCase({
    name: `pad [${shape}] by ${note(padding)}`,
    inputs: { x: rand(shape) },
    apply: ({ x }) => pad(x, { padding }),
    oracle: ({ x }) =>
      build(
        shape.map((d, i) => d + padding[i]![0] + padding[i]![1]),
        (index) => atOr(x, 0, ...index.map((v, d) => v - padding[d]![0])),
      ),
    grads,
    tolerance,
    dispatches: { backward: 1 },
  }),
);

const repeats = (
  [
    [[], []],
    [[], [2, 3]],
    [[1], [5]],
    [[8], [3, 8]],
    [
      [5, 1],
      [5, 4],
    ],
    [
      [3, 1, 2],
      [2, 3, 4, 2],
    ],
    [
      [2, 1, 3, 1, 2, 1],
      [2, 2, 3, 2, 2, 2],
    ],
  ] as const
).map(([from, shape]) =>
  opCase({
    name: `broadcastTo [${from}] to [${shape}]`,
    inputs: { x: rand(from) },
    apply: ({ x }) => broadcastTo(x, { shape }),
    oracle: ({ x }) => zip(x, f64(shape), (v) => v),
    grads,
    tolerance,
    dispatches: { forward: 1 },
  }),
);

const flips = (
  [
    [[5], 0],
    [[5, 7], -1],
    [[5, 8], 0], // in fours
    [
      [2, 4, 6, 3],
      [1, 2],
    ],
    [
      [2, 3, 2],
      [0, 1, 2],
    ],
  ] as const
).map(([shape, axis]: readonly [readonly number[], number | readonly number[]]) => {
  const axes = [axis].flat().map((a) => (a < 0 ? a + shape.length : a));
  return opCase({
    name: `flip [${shape}] along ${note(axis)}`,
    inputs: { x: rand(shape) },
    apply: ({ x }) => flip(x, { axis }),
    oracle: ({ x }) =>
      build(shape, (index) =>
        at(x, ...index.map((v, d) => (axes.includes(d) ? shape[d]! - 1 - v : v))),
      ),
    grads,
    tolerance,
    dispatches: { forward: 1, backward: 1 },
  });
});

const views: Case = {
  name: "reshape is a view, with one size left open, and its gradient passes",
  run: async (gpu: Gpu) => {
    const [x, dy] = [
      gpu.tensor([1, 2, 3, 4, 5, 6], [2, 3]),
      gpu.tensor([1, 2, 3, 4, 5, 6], [3, 1, 2]),
    ];
    const before = gpu.counts().dispatches;
    const pull = vjp((p: { x: Tensor }) => reshape(p.x, { shape: [3, 1, -1] }));
    const { value, grads } = pull({ x }, dy);
    assert(value.shape.join() === "3,1,2", "shape [3,1,2]", value.shape);
    equalBits("value", await value.data(), [1, 2, 3, 4, 5, 6]);
    equalBits("dx", await grads.x.data(), [1, 2, 3, 4, 5, 6]);
    assert(gpu.counts().dispatches === before, "no dispatch");
    x.dispose();
    dy.dispose();
  },
};
const integers = opCase({
  name: "u32 is moved bit for bit",
  inputs: { x: ints([4, 6], 2 ** 32) },
  apply: ({ x }) => [
    transpose(x, { perm: [1, 0] }),
    concat([x, x], { axis: 1 }),
    slice(x, { begin: [1, 1], size: [2, 3] }),
    pad(x, {
      padding: [
        [1, 0],
        [0, 1],
      ],
    }),
    broadcastTo(x, { shape: [2, 4, 6] }),
    flip(x, { axis: 0 }),
  ],
  oracle: ({ x }) => [
    transposed(x, [1, 0]),
    joined([x, x], 1),
    build([2, 3], ([i, j]) => at(x, i! + 1, j! + 1)),
    build([5, 7], ([i, j]) => atOr(x, 0, i! - 1, j!)),
    build([2, 4, 6], ([, i, j]) => at(x, i!, j!)),
    build([4, 6], ([i, j]) => at(x, 3 - i!, j!)),
  ],
});
const nan = opCase({
  name: "NaN and infinities are moved like any value",
  inputs: { x: values([Number.NaN, 1, Number.POSITIVE_INFINITY, -0], [2, 2]) },
  apply: ({ x }) => transpose(x, { perm: [1, 0] }),
  oracle: ({ x }) => transposed(x, [1, 0]),
  tolerance,
});
const large = opCase({
  name: "transpose of more elements than there are threads",
  inputs: { x: rand([301, 203]) },
  apply: ({ x }) => transpose(x, { perm: [1, 0] }),
  oracle: ({ x }) => transposed(x, [1, 0]),
  tolerance,
});

const errors: Case = {
  name: "rearrangements refuse what they cannot take",
  run: async (gpu: Gpu) => {
    const [x, other, ids] = [gpu.zeros([2, 3]), gpu.zeros([3, 3]), gpu.zeros([2, 3], "u32")];
    const refuse = (what: string, f: () => unknown, ...patterns: RegExp[]) =>
      throws(what, f, ShapeError, ...patterns);
    await refuse("size", () => reshape(x, { shape: [4] }), /reshape.*\[4\].*\[2,3\]/);
    await refuse("open", () => reshape(x, { shape: [4, -1] }), /reshape.*\[4,-1\].*\[2,3\]/);
    await refuse("open twice", () => reshape(x, { shape: [-1, -1] }), /reshape.*\[-1,-1\]/);
    await refuse("perm", () => transpose(x, { perm: [0] }), /transpose: perm has 1/);
    await refuse("perm twice", () => transpose(x, { perm: [0, 0] }), /transpose.*twice/);
    await refuse("perm range", () => transpose(x, { perm: [0, 2] }), /transpose: axis 2/);
    await refuse("concat", () => concat([x, other], { axis: 1 }), /concat.*\[3,3\].*\[2,3\]/);
    await refuse("concat dtype", () => concat([x, ids], { axis: 0 }), /concat: u32/);
    await refuse("concat axis", () => concat([x], { axis: 2 }), /concat: axis 2/);
    await refuse("concat none", () => concat([], { axis: 0 }), /concat: 'xs'/);
    await refuse(
      "slice",
      () => slice(x, { begin: [0, 1], size: [2, 3] }),
      /slice.*\[0,1\].*\[2,3\]/,
    );
    await refuse("slice rank", () => slice(x, { begin: [0], size: [2, 3] }), /slice: begin has 1/);
    await refuse("pad", () => pad(x, { padding: [[0, 1]] }), /pad: padding has 1/);
    await refuse(
      "negative",
      () =>
        pad(x, {
          padding: [
            [0, 1],
            [-1, 0],
          ],
        }),
      /pad.*\[-1,0\]/,
    );
    await refuse("broadcast", () => broadcastTo(x, { shape: [2, 4] }), /broadcastTo.*\[2,4\]/);
    await refuse("shrink", () => broadcastTo(x, { shape: [3] }), /broadcastTo.*\[2,3\].*\[3\]/);
    await refuse("flip", () => flip(x, { axis: 2 }), /flip: axis 2/);
    for (const t of [x, other, ids]) t.dispose();
  },
};

export const cases: readonly Case[] = [
  ...transposes,
  ...concats,
  repeated,
  partly,
  ...slices,
  ...pads,
  ...repeats,
  ...flips,
  views,
  integers,
  nan,
  large,
  errors,
];
