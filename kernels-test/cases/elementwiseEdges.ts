// Arithmetic and functions at zeros, ties, infinities and NaN: values, and gradients for dy = 1, as JAX has them (but
// for the gradient of abs at 0, which is 0 here, and that of x ** 0, which is 0 everywhere).
import { type Gpu, type Tensor, vjp } from "../../src/index.ts";
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
  pow,
  rsqrt,
  type Scalar,
  sqrt,
  square,
  sub,
} from "../../src/ops/elementwise.ts";
import { type Case, equalBits, opCase, values } from "../harness.ts";
import { type F64, map, zip } from "../oracle.ts";

const NaN_ = Number.NaN;
const INF = Number.POSITIVE_INFINITY;
const twos = [
  { name: "add", op: add, f: (a: number, b: number) => a + b },
  { name: "sub", op: sub, f: (a: number, b: number) => a - b },
  { name: "mul", op: mul, f: (a: number, b: number) => a * b },
  { name: "div", op: div, f: (a: number, b: number) => a / b },
  { name: "pow", op: pow, f: (a: number, b: number) => a ** b },
  { name: "maximum", op: maximum, f: Math.max },
  { name: "minimum", op: minimum, f: Math.min },
];

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

export const cases: readonly Case[] = [
  ...atEdges,
  ...twoAtEdges,
  ties("maximum", maximum),
  ties("minimum", minimum),
];
