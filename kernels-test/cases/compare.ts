// Comparisons, choice and conversion.

import type { Tensor } from "../../src/index.ts";
import { type Gpu, ShapeError, vjp } from "../../src/index.ts";
import { cast, equal, greater, less, where } from "../../src/ops/compare.ts";
import { argmax, type Scalar } from "../../src/ops/index.ts";
import {
  assert,
  type Case,
  equalBits,
  ints,
  opCase,
  rand,
  throws,
  uints,
  values,
} from "../harness.ts";
import { build, type F64, map, zip } from "../oracle.ts";

const NaN_ = Number.NaN;
const INF = Number.POSITIVE_INFINITY;
interface Compared {
  readonly name: string;
  readonly op: (a: Scalar, b: Scalar) => Tensor;
  readonly f: (a: number, b: number) => boolean;
}
const compared: readonly Compared[] = [
  { name: "equal", op: equal, f: (a, b) => a === b },
  { name: "less", op: less, f: (a, b) => a < b },
  { name: "greater", op: greater, f: (a, b) => a > b },
];
const edges = [0, -0, 1, -1, INF, -INF, NaN_];
const grid = edges.flatMap((a) => edges.map((b) => [a, b] as const));
const comparisons = compared.flatMap(({ name, op, f }) => {
  const flag = (a: number, b: number): number => Number(f(a, b));
  return [
    opCase({
      name: `${name} of f32 at the edges`,
      inputs: { a: values(grid.map(([a]) => a)), b: values(grid.map(([, b]) => b)) },
      apply: ({ a, b }) => op(a, b),
      oracle: ({ a, b }) => zip(a, b, flag),
      dispatches: { forward: 1 },
    }),
    opCase({
      name: `${name} of u32, broadcast`,
      inputs: { a: ints([5, 6], 3), b: ints([5, 1], 3) },
      apply: ({ a, b }) => op(a, b),
      oracle: ({ a, b }) => zip(a, b, flag),
    }),
    opCase({
      name: `${name} with numbers`,
      inputs: { a: rand([9]), b: uints([0, 2, 4294967295, 3, 2]) },
      apply: ({ a, b }) => [op(a, 0.25), op(0.25, a), op(b, 2), op(4294967295, b)],
      oracle: ({ a, b }) => [
        map(a, (v) => flag(v, 0.25)),
        map(a, (v) => flag(0.25, v)),
        map(b, (v) => flag(v, 2)),
        map(b, (v) => flag(4294967295, v)),
      ],
      dispatches: { forward: 4 },
    }),
  ];
});

const choose = (c: F64, a: F64, b: F64): F64 => {
  const of = zip(
    zip(c, a, (p) => p),
    b,
    (p) => p,
  ).shape;
  const over = (x: F64) =>
    zip(
      x,
      build(of, () => 0),
      (p) => p,
    ).data;
  const [cs, as, bs] = [over(c), over(a), over(b)];
  return { data: cs.map((v, i) => (v !== 0 ? as[i]! : bs[i]!)), shape: of };
};
const choices = [
  opCase({
    name: "where of three tensors",
    inputs: { c: ints([5, 7], 2), a: rand([5, 7]), b: rand([5, 7]) },
    apply: ({ c, a, b }) => where(c, a, b),
    oracle: ({ c, a, b }) => choose(c, a, b),
    grads: ["a", "b"],
    tolerance: 0,
    dispatches: { forward: 1, backward: 2 },
  }),
  opCase({
    name: "where: the three broadcast",
    inputs: { c: ints([4, 1, 8], 3), a: rand([3, 1]), b: rand([1, 8]) },
    apply: ({ c, a, b }) => where(c, a, b),
    oracle: ({ c, a, b }) => choose(c, a, b),
    grads: ["a", "b"],
    tolerance: 0,
  }),
  opCase({
    name: "where with numbers",
    inputs: { c: ints([3, 5], 2), x: rand([5]) },
    apply: ({ c, x }) => [where(c, x, -1.5), where(c, 2, x), where(c, 1, -3)],
    oracle: ({ c, x }) => [
      zip(c, x, (p, v) => (p ? v : -1.5)),
      zip(c, x, (p, v) => (p ? 2 : v)),
      map(c, (p) => (p ? 1 : -3)),
    ],
    grads: ["x"],
    tolerance: 0,
  }),
  opCase({
    name: "where of u32",
    inputs: { c: ints([6], 2), a: uints([1, 2, 3, 4, 5, 4294967295]) },
    apply: ({ c, a }) => where(c, a, 9),
    oracle: ({ c, a }) => zip(c, a, (p, v) => (p ? v : 9)),
  }),
];

const hidden: Case = {
  name: "where hides NaN and infinities that it does not take, also from the gradient",
  run: async (gpu: Gpu) => {
    const [c, dy] = [gpu.tensor(Uint32Array.of(0, 1, 0)), gpu.tensor([1, 2, NaN_])];
    const [a, b] = [gpu.tensor([NaN_, 2, INF]), gpu.tensor([1, NaN_, 3])];
    const pull = vjp((p: { a: Tensor; b: Tensor }) => where(c, p.a, p.b));
    const { value, grads } = pull({ a, b }, dy);
    equalBits("value", await value.data(), [1, 2, 3]);
    equalBits("da", await grads.a.data(), [0, 2, 0]);
    equalBits("db", await grads.b.data(), [1, 0, NaN_]);
    for (const t of [c, dy, a, b]) t.dispose();
  },
};

const casts = [
  opCase({
    name: "cast to u32 drops fractions and clamps",
    inputs: { x: values([0, 0.99, 1, 3.9, -0.5, -3, 4294967040, 5e9, INF, -INF, NaN_]) },
    apply: ({ x }) => cast(x, { dtype: "u32" }),
    oracle: ({ x }) => map(x, (v) => (v > 0 ? Math.min(Math.trunc(v), 4294967295) : 0)),
  }),
  opCase({
    name: "cast to f32",
    inputs: { x: uints([0, 1, 7, 16777217, 4294967295]) },
    apply: ({ x }) => cast(x, { dtype: "f32" }),
    oracle: ({ x }) => map(x, Math.fround),
    tolerance: 0,
  }),
  opCase({
    name: "equal, argmax and cast count right answers",
    inputs: { logits: rand([33, 10]), labels: ints([33], 10) },
    apply: ({ logits, labels }) => cast(equal(argmax(logits), labels), { dtype: "f32" }),
    oracle: ({ logits, labels }) =>
      map(labels, (label, i) => {
        const row = logits.data.subarray(10 * i, 10 * i + 10);
        return Number(row.indexOf(Math.max(...row)) === label);
      }),
    tolerance: 0,
  }),
];

const errors: Case = {
  name: "comparisons, where and cast refuse what they cannot take",
  run: async (gpu: Gpu) => {
    const [x, ids] = [gpu.zeros([2, 3]), gpu.zeros([2, 3], "u32")];
    await throws("dtypes", () => equal(x, ids), ShapeError, /equal: a is f32, b is u32.*cast/);
    await throws("numbers", () => less(1, 2), ShapeError, /less.*tensor/);
    await throws("number", () => greater(ids, -1), ShapeError, /greater: the number -1.*u32/);
    await throws("number", () => equal(ids, 0.5), ShapeError, /equal: the number 0.5.*u32/);
    await throws("condition", () => where(x, x, x), ShapeError, /where: c is f32/);
    await throws("sides", () => where(ids, x, ids), ShapeError, /where: a is f32, b is u32/);
    const shapes = gpu.zeros([4]);
    await throws("shapes", () => where(ids, x, shapes), ShapeError, /where.*\[2,3\].*\[4\]/);
    assert(cast(x, { dtype: "f32" }) === x, "a cast to what it is costs nothing");
    const f16 = { dtype: "f16" } as unknown as { dtype: "f32" };
    await throws("dtype", () => cast(x, f16), ShapeError, /cast: dtype 'f16'/);
    for (const t of [x, ids, shapes]) t.dispose();
  },
};

export const cases: readonly Case[] = [...comparisons, ...choices, hidden, ...casts, errors];
