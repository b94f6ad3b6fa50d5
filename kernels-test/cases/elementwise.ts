// Arithmetic and functions: every way to broadcast, numbers in place of tensors, edges, gradients, dispatches.

import { type Gpu, type Host, ShapeError, type Tensor, vjp } from "../../src/index.ts";
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
import {
  type Case,
  equalBits,
  type OpCase,
  opCase,
  rand,
  throws,
  uniform,
  values,
} from "../harness.ts";
import { type F64, map, zip } from "../oracle.ts";

const NaN_ = Number.NaN;
const INF = Number.POSITIVE_INFINITY;
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

// ---- edges: values, and gradients for dy = 1, as JAX has them ----
const edges = [0, -0, 1, -1, 2, -2, 0.5, 100, -100, INF, -INF, NaN_];
interface Edge {
  readonly name: string;
  readonly op: (x: Tensor) => Tensor;
  readonly f: (x: number) => number;
  readonly df: (x: number) => number;
}
const half = (a: number, b: number): number => (a > b ? 1 : a === b ? 0.5 : 0);
const edgeCases: readonly Edge[] = [
  { name: "exp", op: exp, f: Math.exp, df: Math.exp },
  { name: "log", op: log, f: Math.log, df: (v) => 1 / v },
  { name: "sqrt", op: sqrt, f: Math.sqrt, df: (v) => 0.5 / Math.sqrt(v) },
  {
    name: "rsqrt",
    op: rsqrt,
    f: (v) => 1 / Math.sqrt(v),
    df: (v) => -0.5 / Math.sqrt(v) / Math.sqrt(v) / Math.sqrt(v),
  },
  { name: "abs", op: abs, f: Math.abs, df: Math.sign },
  { name: "square", op: square, f: (v) => v * v, df: (v) => 2 * v },
  {
    name: "clip",
    op: (x) => clip(x, { min: -1, max: 1 }),
    f: (v) => Math.min(Math.max(v, -1), 1),
    df: (v) => half(v, -1) * half(1, Math.max(v, -1)),
  },
  { name: "maximum", op: (x) => maximum(x, 0), f: (v) => Math.max(v, 0), df: (v) => half(v, 0) },
  { name: "minimum", op: (x) => minimum(1, x), f: (v) => Math.min(v, 1), df: (v) => half(1, v) },
  { name: "1 / x", op: (x) => div(1, x), f: (v) => 1 / v, df: (v) => -1 / v / v },
  { name: "x ** 2", op: (x) => pow(x, 2), f: (v) => v ** 2, df: (v) => 2 * v },
  { name: "x ** 3", op: (x) => pow(x, 3), f: (v) => v ** 3, df: (v) => 3 * v ** 2 },
  { name: "x ** -1", op: (x) => pow(x, -1), f: (v) => v ** -1, df: (v) => -(v ** -2) },
  { name: "x ** 0.5", op: (x) => pow(x, 0.5), f: (v) => v ** 0.5, df: (v) => 0.5 * v ** -0.5 },
  { name: "x ** 1", op: (x) => pow(x, 1), f: (v) => v, df: () => 1 },
  { name: "x ** 0", op: (x) => pow(x, 0), f: () => 1, df: () => 0 },
  {
    name: "0 ** x",
    op: (x) => pow(0, x),
    f: (v) => 0 ** v,
    df: (v) => 0 * 0 ** v, // the logarithm of 0 counts as 0
  },
  {
    name: "2 ** x",
    op: (x) => pow(2, x),
    f: (v) => 2 ** v,
    df: (v) => Math.log(2) * 2 ** v,
  },
  {
    name: "(-2) ** x",
    op: (x) => pow(-2, x),
    f: (v) => (-2) ** v,
    df: () => NaN_,
  },
];
const atEdges: Case[] = edgeCases.flatMap(({ name, op, f, df }) => [
  opCase({
    name: `${name} at the edges`,
    inputs: { x: values(edges) },
    apply: ({ x }) => op(x),
    oracle: ({ x }) => map(x, f),
    tolerance: 2e-7,
  }),
  opCase({
    name: `gradient of ${name} at the edges`,
    inputs: { x: values(edges), ones: values(edges.map(() => 1)) },
    apply: ({ x, ones }) => vjp((p: { x: Tensor }) => op(p.x))({ x }, ones).grads.x,
    oracle: ({ x }) => map(x, df),
    tolerance: 2e-7,
  }),
]);
const corners = [0, 1, -1, 2, -0.5, INF, -INF, NaN_];
const grid = corners.flatMap((a) => corners.map((b) => [a, b] as const));
const pairsAt =
  (f: (a: number, b: number) => number) => (t: { readonly a: F64; readonly b: F64 }) =>
    zip(t.a, t.b, f);
/** C's pow, which JavaScript's is but for 1 to an infinite power, or to NaN. */
const powC = (a: number, b: number): number =>
  a === 1 || (a === -1 && Math.abs(b) === INF) ? 1 : a ** b;
const twoAtEdges = twos.map(({ name, op, f }) =>
  opCase({
    name: `${name} of all pairs of edges`,
    inputs: { a: values(grid.map(([a]) => a)), b: values(grid.map(([, b]) => b)) },
    apply: ({ a, b }) => op(a, b),
    oracle: pairsAt(name === "pow" ? powC : f),
    tolerance: 2e-7,
  }),
);
const ties = (name: string, op: (a: Scalar, b: Scalar) => Tensor): Case => ({
  name: `${name}: half of the gradient each at ties`,
  run: async (gpu: Gpu) => {
    const [a, b, dy] = [gpu.tensor([1, 2, 3]), gpu.tensor([1, 3, 2]), gpu.tensor([4, 5, 6])];
    const { grads } = vjp((p: { a: Tensor; b: Tensor }) => op(p.a, p.b))({ a, b }, dy);
    const greatest = name === "maximum";
    equalBits("da", await grads.a.data(), greatest ? [2, 0, 6] : [2, 5, 0]);
    equalBits("db", await grads.b.data(), greatest ? [2, 5, 0] : [2, 0, 6]);
    for (const t of [a, b, dy]) t.dispose();
  },
});

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
  ...atEdges,
  ...twoAtEdges,
  ties("maximum", maximum),
  ties("minimum", minimum),
  errors,
];
