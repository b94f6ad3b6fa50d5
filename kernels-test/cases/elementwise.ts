// Arithmetic and functions: every way to broadcast, numbers in place of tensors, gradients, dispatches.

import { type Gpu, type Host, ShapeError, type Tensor } from "../../src/index.ts";
import {
  abs,
  add,
  clip,
  div,
  exp,
  log,
  maximum,
  minimum,
  mul,
  neg,
  pow,
  rsqrt,
  type Scalar,
  sqrt,
  square,
  sub,
} from "../../src/ops/elementwise.ts";
import { type Case, type OpCase, opCase, rand, throws, uniform, values } from "../harness.ts";
import { map, zip } from "../oracle.ts";

const list = (x: readonly number[]): string => `[${x}]`;

// ---- shapes ----
const pairs: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[], []],
  [[1], [1]],
  [[4001], [4001]],
  [[7, 3], []],
  [[], [2, 6]],
  [[1, 1], [130]],
  [[2, 3, 5, 8], [8]], // last axis, in fours
  [[2, 3, 5, 7], [7]], // last axis, one by one
  [[12], [3, 1, 12]],
  [
    [6, 8],
    [6, 1],
  ], // constant along fours
  [
    [6, 9],
    [6, 1],
  ],
  [
    [4, 3, 5, 8],
    [4, 1, 1, 8],
  ],
  [
    [4, 1, 5],
    [1, 3, 1],
  ], // both repeated
  [[5, 1], [4]],
  [
    [2, 1, 3, 1, 2, 4],
    [1, 2, 1, 2, 1, 4],
  ], // rank 6
  [
    [2, 1, 2, 1, 2, 1, 3],
    [2, 1, 2, 1, 2, 1],
  ],
];
const broadcasts = pairs.map(([a, b]) =>
  opCase({
    name: `mul ${list(a)} ${list(b)}`,
    inputs: { a: rand(a), b: rand(b) },
    apply: ({ a, b }) => mul(a, b),
    oracle: ({ a, b }) => zip(a, b, (p, q) => p * q),
    grads: ["a", "b"],
    tolerance: 1e-7,
  }),
);
const long = opCase({
  name: "mul: the loop goes round many times",
  inputs: { a: uniform([300_001], -1, 1), b: values([0.5], [1]) },
  apply: ({ a, b }) => mul(a, b),
  oracle: ({ a }) => map(a, (v) => v * 0.5),
  tolerance: 0,
  dispatches: { forward: 1 },
});
const longStrided = opCase({
  name: "mul: the strided walk goes round many times",
  inputs: { a: uniform([50_001, 3], -1, 1), b: values([0.5, 2, -1]) },
  apply: ({ a, b }) => mul(a, b),
  oracle: ({ a }) => map(a, (v, i) => v * [0.5, 2, -1][i % 3]!),
  tolerance: 0,
  dispatches: { forward: 1 },
});

// ---- each function of two ----
interface Two {
  readonly name: string;
  readonly op: (a: Scalar, b: Scalar) => Tensor;
  readonly f: (a: number, b: number) => number;
  readonly tolerance?: number;
  /** Dispatches of both gradients, of equal shapes. */
  readonly backward: number;
}
const twos: readonly Two[] = [
  { name: "add", op: add, f: (a, b) => a + b, backward: 0 },
  { name: "sub", op: sub, f: (a, b) => a - b, backward: 1 },
  { name: "mul", op: mul, f: (a, b) => a * b, backward: 2 },
  { name: "div", op: div, f: (a, b) => a / b, backward: 2 },
  { name: "pow", op: pow, f: (a, b) => a ** b, tolerance: 2e-7, backward: 2 },
  { name: "maximum", op: maximum, f: Math.max, backward: 2 },
  { name: "minimum", op: minimum, f: Math.min, backward: 2 },
];
const ofTwo: OpCase[] = twos.flatMap(({ name, op, f, tolerance = 1e-7, backward }) => {
  const a = uniform([5, 7], 0.4, 3);
  const b = uniform([5, 7], 0.5, 3.5);
  const both = opCase({
    name: `${name} of two tensors`,
    inputs: { a, b },
    apply: ({ a, b }) => op(a, b),
    oracle: ({ a, b }) => zip(a, b, f),
    grads: ["a", "b"],
    tolerance,
    dispatches: { forward: 1, backward },
  });
  const repeated = opCase({
    name: `${name} with a vector`,
    inputs: { a, b: uniform([7], 0.5, 3.5) },
    apply: ({ a, b }) => op(a, b),
    oracle: ({ a, b }) => zip(a, b, f),
    grads: ["a", "b"],
    tolerance,
  });
  const numbers = [true, false].map((first) =>
    opCase({
      name: `${name} with a number ${first ? "first" : "last"}`,
      inputs: { x: b },
      apply: ({ x }) => (first ? op(1.75, x) : op(x, 1.75)),
      oracle: ({ x }) => map(x, (v) => (first ? f(1.75, v) : f(v, 1.75))),
      grads: ["x"],
      tolerance,
      dispatches: {
        forward: 1,
        backward: name === "add" || (name === "sub" && !first) ? 0 : 1,
      },
    }),
  );
  return [both, repeated, ...numbers];
});
const powers = [
  ...[2, 3, -2, 0.5, -1.5, 12].map((k) =>
    opCase({
      name: `pow: x ** ${k}`,
      inputs: { x: uniform([333], 0.1, 4) },
      apply: ({ x }) => pow(x, k),
      oracle: ({ x }) => map(x, (v) => v ** k),
      grads: ["x"],
      tolerance: 3e-7,
    }),
  ),
  opCase({
    name: "pow: negative bases, whole exponents",
    inputs: { x: rand([50]), k: values(Array.from({ length: 50 }, (_, i) => (i % 9) - 4)) },
    apply: ({ x, k }) => pow(x, k),
    oracle: ({ x, k }) => zip(x, k, (v, n) => v ** n),
    grads: ["x"],
    tolerance: 3e-7,
    gradTolerance: 1e-3,
  }),
];

// ---- each function of one ----
interface One {
  readonly name: string;
  readonly op: (x: Tensor) => Tensor;
  readonly f: (x: number) => number;
  readonly x: Host;
  readonly tolerance: number;
}
const ones: readonly One[] = [
  { name: "neg", op: neg, f: (v) => -v, x: rand([67]), tolerance: 0 },
  { name: "exp", op: exp, f: Math.exp, x: rand([3, 333]), tolerance: 1e-7 },
  { name: "exp far from 0", op: exp, f: Math.exp, x: uniform([999], -85, 20), tolerance: 1e-7 },
  { name: "log", op: log, f: Math.log, x: uniform([3, 333], 0.01, 5), tolerance: 1e-7 },
  { name: "log near 1", op: log, f: Math.log, x: uniform([999], 0.999, 1.001), tolerance: 2e-7 },
  { name: "sqrt", op: sqrt, f: Math.sqrt, x: uniform([257], 0.01, 9), tolerance: 1e-7 },
  {
    name: "rsqrt",
    op: rsqrt,
    f: (v) => 1 / Math.sqrt(v),
    x: uniform([257], 0.1, 9),
    tolerance: 2e-7,
  },
  { name: "abs", op: abs, f: Math.abs, x: rand([33]), tolerance: 0 },
  { name: "square", op: square, f: (v) => v * v, x: rand([33]), tolerance: 1e-7 },
  {
    name: "clip",
    op: (x) => clip(x, { min: -0.5, max: 0.75 }),
    f: (v) => Math.min(Math.max(v, -0.5), 0.75),
    x: rand([130]),
    tolerance: 0,
  },
  {
    name: "clip from below",
    op: (x) => clip(x, { min: 0.1 }),
    f: (v) => Math.max(v, Math.fround(0.1)),
    x: rand([13]),
    tolerance: 0,
  },
  {
    name: "clip from above",
    op: (x) => clip(x, { max: 0.1 }),
    f: (v) => Math.min(v, Math.fround(0.1)),
    x: rand([1]),
    tolerance: 0,
  },
];
const ofOne = ones.map(({ name, op, f, x, tolerance }) =>
  opCase({
    name,
    inputs: { x },
    apply: ({ x }) => op(x),
    oracle: ({ x }) => map(x, f),
    grads: ["x"],
    tolerance,
    dispatches: { forward: 1, backward: 1 },
  }),
);

const errors: Case = {
  name: "elementwise ops refuse what they cannot take",
  run: async (gpu: Gpu) => {
    const [a, b, ids] = [gpu.zeros([2, 3]), gpu.zeros([2, 4]), gpu.zeros([2, 3], "u32")];
    await throws("shapes", () => add(a, b), ShapeError, /add.*\[2,3\].*\[2,4\]/);
    await throws("dtype", () => mul(a, ids), ShapeError, /mul: b is u32/);
    await throws("dtype", () => exp(ids), ShapeError, /exp: x is u32.*cast/);
    await throws("numbers", () => div(1, 2), ShapeError, /div.*tensor/);
    await throws("nothing", () => add(a, undefined as unknown as Tensor), ShapeError, /add: 'b'/);
    await throws("bounds", () => clip(a, { min: 2, max: 1 }), ShapeError, /clip: min 2, max 1/);
    for (const t of [a, b, ids]) t.dispose();
  },
};

export const cases: readonly Case[] = [
  ...broadcasts,
  long,
  longStrided,
  ...ofTwo,
  ...powers,
  ...ofOne,
  errors,
];
