// concat, slice and pad: parts of tensors, exact, in f32 and u32, with gradients and dispatches.
import { type Gpu, ShapeError, type Tensor, vjp } from "../../src/index.ts";
import { concat, pad, slice } from "../../src/ops/rearrange.ts";
import { type Case, equalBits, ints, opCase, rand, throws } from "../harness.ts";
import { at, atOr, build, type F64 } from "../oracle.ts";

const tolerance = 0; // nothing is computed
const grads = ["x"] as const;

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
    name: `pad [${shape}] by ${JSON.stringify(padding)}`,
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

const integers = opCase({
  name: "concat, slice and pad move u32 bit for bit",
  inputs: { x: ints([4, 6], 2 ** 32) },
  apply: ({ x }) => [
    concat([x, x], { axis: 1 }),
    slice(x, { begin: [1, 1], size: [2, 3] }),
    pad(x, {
      padding: [
        [1, 0],
        [0, 1],
      ],
    }),
  ],
  oracle: ({ x }) => [
    joined([x, x], 1),
    build([2, 3], ([i, j]) => at(x, i! + 1, j! + 1)),
    build([5, 7], ([i, j]) => atOr(x, 0, i! - 1, j!)),
  ],
});

const errors: Case = {
  name: "concat, slice and pad refuse what they cannot take",
  run: async (gpu: Gpu) => {
    const [x, other, ids] = [gpu.zeros([2, 3]), gpu.zeros([3, 3]), gpu.zeros([2, 3], "u32")];
    const refuse = (what: string, f: () => unknown, ...patterns: RegExp[]) =>
      throws(what, f, ShapeError, ...patterns);
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
    for (const t of [x, other, ids]) t.dispose();
  },
};

export const cases: readonly Case[] = [
  ...concats,
  repeated,
  partly,
  ...slices,
  ...pads,
  integers,
  errors,
];
