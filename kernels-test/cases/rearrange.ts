// transpose, flip, broadcastTo and reshape: exact, in f32 and u32, with gradients and dispatches.
import { type Gpu, ShapeError, type Tensor, vjp } from "../../src/index.ts";
import { broadcastTo, flip, reshape, transpose } from "../../src/ops/rearrange.ts";
import { assert, type Case, equalBits, ints, opCase, rand, throws, values } from "../harness.ts";
import { at, build, type F64, f64, zip } from "../oracle.ts";

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
    broadcastTo(x, { shape: [2, 4, 6] }),
    flip(x, { axis: 0 }),
  ],
  oracle: ({ x }) => [
    transposed(x, [1, 0]),
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
    const x = gpu.zeros([2, 3]);
    const refuse = (what: string, f: () => unknown, ...patterns: RegExp[]) =>
      throws(what, f, ShapeError, ...patterns);
    await refuse("size", () => reshape(x, { shape: [4] }), /reshape.*\[4\].*\[2,3\]/);
    await refuse("open", () => reshape(x, { shape: [4, -1] }), /reshape.*\[4,-1\].*\[2,3\]/);
    await refuse("open twice", () => reshape(x, { shape: [-1, -1] }), /reshape.*\[-1,-1\]/);
    await refuse("perm", () => transpose(x, { perm: [0] }), /transpose: perm has 1/);
    await refuse("perm twice", () => transpose(x, { perm: [0, 0] }), /transpose.*twice/);
    await refuse("perm range", () => transpose(x, { perm: [0, 2] }), /transpose: axis 2/);
    await refuse("broadcast", () => broadcastTo(x, { shape: [2, 4] }), /broadcastTo.*\[2,4\]/);
    await refuse("shrink", () => broadcastTo(x, { shape: [3] }), /broadcastTo.*\[2,3\].*\[3\]/);
    await refuse("flip", () => flip(x, { axis: 2 }), /flip: axis 2/);
    x.dispose();
  },
};

export const cases: readonly Case[] = [
  ...transposes,
  ...repeats,
  ...flips,
  views,
  integers,
  nan,
  large,
  errors,
];
