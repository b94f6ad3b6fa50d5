// The activations, scaled and plain, against their textbook forms in f64; kinks, NaN and infinities as in JAX.

import { type Gpu, ShapeError, type Tensor, vjp } from "../../src/index.ts";
import {
  type ActivationKind,
  celu,
  elu,
  gelu,
  glu,
  leakyRelu,
  logSigmoid,
  relu,
  relu6,
  scaledActivation,
  selu,
  sigmoid,
  silu,
  softplus,
  softSign,
  tanh,
} from "../../src/ops/scaledActivation.ts";
import { type Case, equal, opCase, rand, throws, uniform, values } from "../harness.ts";
import { type F64, f64, map } from "../oracle.ts";

// ---- oracles: on one number, and on rows for the two that need them

/** erfc: a Taylor series near 0, a continued fraction away from it. */
function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2) {
    let [term, sum] = [x, x];
    for (let n = 1; n < 80; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * sum;
  }
  let f = 0;
  for (let k = 60; k > 0; k--) f = k / 2 / (x + f);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + f);
}
const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
const plus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const expLinear = (x: number): number => (x > 0 ? x : Math.expm1(x));
const pointwise = {
  identity: (x: number) => x,
  celu: expLinear,
  elu: expLinear,
  gelu: (x: number) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  leaky_relu: (x: number) => (x >= 0 ? x : 0.01 * x),
  log_sigmoid: (x: number) => -plus(-x),
  relu: (x: number) => Math.max(x, 0),
  relu6: (x: number) => Math.min(Math.max(x, 0), 6),
  selu: (x: number) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  sigmoid: logistic,
  silu: (x: number) => x * logistic(x),
  soft_sign: (x: number) => x / (1 + Math.abs(x)),
  softplus: plus,
  tanh: Math.tanh,
} as const;
const geluExact = (x: number): number => (x / 2) * erfc(-x / Math.SQRT2);

function gluF64(x: F64): F64 {
  const width = x.shape.at(-1)! / 2;
  const y = f64([...x.shape.slice(0, -1), width]);
  y.data.forEach((_, i) => {
    const at = i + Math.floor(i / width) * width;
    y.data[i] = x.data[at]! * logistic(x.data[at + width]!);
  });
  return y;
}
function logSoftmaxF64(x: F64): F64 {
  const width = x.shape.at(-1)!;
  const y = f64(x.shape);
  for (let r = 0; r < x.data.length; r += width) {
    const row = x.data.subarray(r, r + width);
    const top = row.reduce((a, b) => Math.max(a, b));
    const sum = row.reduce((s, v) => s + Math.exp(v - top), 0);
    row.forEach((v, i) => {
      y.data[r + i] = v - top - Math.log(sum);
    });
  }
  return y;
}
const apply = (kind: ActivationKind, x: F64): F64 => {
  if (kind === "glu") return gluF64(x);
  return kind === "log_softmax" ? logSoftmaxF64(x) : map(x, pointwise[kind]);
};

/** The reference's constants again, from `base.py: nonlinearities`. */
const gammas: Readonly<Record<ActivationKind, number>> = {
  identity: 1,
  celu: 1.270926833152771,
  elu: 1.2716004848480225,
  gelu: 1.7015043497085571,
  glu: 1.8484294414520264,
  leaky_relu: 1.70590341091156,
  log_sigmoid: 1.9193484783172607,
  log_softmax: 1.0002083778381348,
  relu: 1.7139588594436646,
  relu6: 1.7131484746932983,
  selu: 1.0008515119552612,
  sigmoid: 4.803835391998291,
  silu: 1.7881293296813965,
  soft_sign: 2.338853120803833,
  softplus: 1.9203323125839233,
  tanh: 1.5939117670059204,
};
const kinds = Object.keys(gammas) as ActivationKind[];

// ---- values and gradients

const tolerance = 2e-7;
const scaled = kinds.map((kind) =>
  opCase({
    name: `scaledActivation ${kind}`,
    inputs: { x: rand([3, 5, 7, 6], undefined, 2) },
    apply: ({ x }) => scaledActivation(x, { kind, scale: 0.7 }),
    oracle: ({ x }) => map(apply(kind, x), (v) => v * gammas[kind] * 0.7),
    grads: ["x"],
    tolerance,
    dispatches: { forward: 1, backward: 1 },
  }),
);

const plainOps: Readonly<Record<string, [(x: Tensor) => Tensor, (x: F64) => F64]>> = {
  relu: [relu, (x) => map(x, pointwise.relu)],
  relu6: [relu6, (x) => map(x, pointwise.relu6)],
  sigmoid: [sigmoid, (x) => map(x, pointwise.sigmoid)],
  silu: [silu, (x) => map(x, pointwise.silu)],
  gelu: [gelu, (x) => map(x, pointwise.gelu)],
  "gelu exact": [(x) => gelu(x, { approximate: false }), (x) => map(x, geluExact)],
  tanh: [tanh, (x) => map(x, pointwise.tanh)],
  elu: [elu, (x) => map(x, pointwise.elu)],
  celu: [celu, (x) => map(x, pointwise.celu)],
  selu: [selu, (x) => map(x, pointwise.selu)],
  leakyRelu: [leakyRelu, (x) => map(x, pointwise.leaky_relu)],
  softplus: [softplus, (x) => map(x, pointwise.softplus)],
  softSign: [softSign, (x) => map(x, pointwise.soft_sign)],
  logSigmoid: [logSigmoid, (x) => map(x, pointwise.log_sigmoid)],
  glu: [glu, gluF64],
};
const plain = Object.entries(plainOps).map(([name, [apply, oracle]]) =>
  opCase({
    name: `${name}`,
    inputs: { x: rand([2, 31, 2], undefined, 3) },
    apply: ({ x }) => apply(x),
    oracle: ({ x }) => oracle(x),
    grads: ["x"],
    tolerance,
    dispatches: { forward: 1, backward: 1 },
  }),
);

// Small arguments, where expm1 and log1p matter: every element weighs the same in these.
const small = (["elu", "selu", "tanh", "silu", "gelu", "soft_sign"] as const).map((kind) =>
  opCase({
    name: `scaledActivation ${kind} of tiny numbers`,
    inputs: { x: uniform([401], -2e-6, 2e-6) },
    apply: ({ x }) => scaledActivation(x, { kind }),
    oracle: ({ x }) => map(x, (v) => pointwise[kind](v) * gammas[kind]),
    tolerance,
  }),
);
const tails = (["softplus", "sigmoid"] as const).map((kind) =>
  opCase({
    name: `scaledActivation ${kind} far below 0`,
    inputs: { x: uniform([402], -31, -30) },
    apply: ({ x }) => scaledActivation(x, { kind }),
    oracle: ({ x }) => map(x, (v) => pointwise[kind](v) * gammas[kind]),
    tolerance: 4e-6, // the built-in exp of lavapipe at -30
  }),
);

const sizes = [[], [1], [2], [3], [1, 1, 5], [4097]].map((shape) =>
  opCase({
    name: `scaledActivation gelu of [${shape}]`,
    inputs: { x: rand(shape) },
    apply: ({ x }) => scaledActivation(x),
    oracle: ({ x }) => map(x, (v) => pointwise.gelu(v) * gammas.gelu),
    grads: ["x"],
    tolerance,
  }),
);
const rows = ([[1], [1, 1], [3, 129], [66_000, 2]] as const).map((shape) =>
  opCase({
    name: `scaledActivation log_softmax of [${shape}]`,
    inputs: { x: rand(shape, undefined, 3) },
    apply: ({ x }) => scaledActivation(x, { kind: "log_softmax" }),
    oracle: ({ x }) => map(logSoftmaxF64(x), (v) => v * gammas.log_softmax),
    ...(shape.length === 2 && shape[0] === 3 ? { grads: ["x"] as const } : {}),
    tolerance,
  }),
);
const halves = opCase({
  name: "glu of [2]",
  inputs: { x: rand([2]) },
  apply: ({ x }) => glu(x),
  oracle: ({ x }) => gluF64(x),
  grads: ["x"],
  tolerance,
});

// ---- kinks, NaN, infinities

/** act'(points), exactly. */
const slopes: Readonly<Record<string, [(x: Tensor) => Tensor, number[], number[]]>> = {
  relu: [relu, [-1, -0, 0, 1], [0, 0, 0, 1]],
  relu6: [relu6, [-1, 0, 3, 6, 7], [0, 0, 1, 0, 0]],
  leakyRelu: [leakyRelu, [-1, 0, 1], [Math.fround(0.01), 1, 1]],
  elu: [elu, [0, 1], [1, 1]],
  softSign: [softSign, [0, 1, -1], [1, 0.25, 0.25]],
  sigmoid: [sigmoid, [0], [0.25]],
  softplus: [softplus, [0], [0.5]],
};
const kinks: Case = {
  name: "activations' derivatives at their kinks are JAX's",
  run: async (gpu) => {
    for (const [name, [f, points, expected]] of Object.entries(slopes)) {
      const x = gpu.tensor(Float32Array.from(points));
      const ones = gpu.tensor(new Float32Array(points.length).fill(1));
      const { grads } = vjp((p: { x: Tensor }) => f(p.x))({ x }, ones);
      equal(`${name}' at ${points}`, [...(await grads.x.data())], expected);
      x.dispose();
      ones.dispose();
    }
  },
};

const [inf, nan] = [Number.POSITIVE_INFINITY, Number.NaN];
/** At NaN, +inf, -inf: what JAX gives before the constant. */
const limits: Readonly<Partial<Record<ActivationKind, readonly [number, number, number]>>> = {
  identity: [nan, inf, -inf],
  celu: [nan, inf, -1],
  elu: [nan, inf, -1],
  gelu: [nan, inf, nan],
  leaky_relu: [nan, inf, -inf],
  log_sigmoid: [nan, 0, -inf],
  relu: [nan, inf, 0],
  relu6: [nan, 6, 0],
  selu: [nan, inf, -1.7580993408473766],
  sigmoid: [nan, 1, 0],
  silu: [nan, inf, nan],
  soft_sign: [nan, nan, nan],
  softplus: [nan, inf, 0],
  tanh: [nan, 1, -1],
};
const special = Object.entries(limits).map(([kind, expected]) =>
  opCase({
    name: `scaledActivation ${kind} of NaN and infinities`,
    inputs: { x: values([nan, inf, -inf]) },
    apply: ({ x }) => scaledActivation(x, { kind: kind as ActivationKind }),
    oracle: () => map(f64([3], expected), (v) => v * gammas[kind as ActivationKind]),
    tolerance,
  }),
);
const rowsSpecial = opCase({
  name: "scaledActivation log_softmax keeps NaN in its row",
  inputs: { x: values([1, 2, nan, 3, 4, 5, inf, 1, 0, -inf, 0, 0], [4, 3]) },
  apply: ({ x }) => scaledActivation(x, { kind: "log_softmax" }),
  oracle: () => {
    const [a, b] = [-Math.LN2 * gammas.log_softmax, logSoftmaxF64(f64([3], [3, 4, 5]))];
    const finite = map(b, (v) => v * gammas.log_softmax).data;
    return f64([4, 3], [nan, nan, nan, ...finite, nan, nan, nan, -inf, a, a]);
  },
  tolerance,
});
const gluSpecial = opCase({
  name: "glu of NaN and infinities",
  inputs: { x: values([1, nan, nan, 1, 2, inf, 2, -inf, -inf, -inf], [5, 2]) },
  apply: ({ x }) => glu(x),
  oracle: () => f64([5, 1], [nan, nan, 2, 0, nan]),
});

const errors: Case = {
  name: "activations refuse what they cannot take",
  run: async (gpu: Gpu) => {
    const odd = gpu.zeros([2, 5]);
    const ids = gpu.zeros([2], "u32");
    const scalar = gpu.zeros([]);
    const kind = "swish" as ActivationKind;
    await throws("kind", () => scaledActivation(odd, { kind }), ShapeError, /'swish'.*silu/);
    await throws("glu", () => glu(odd), ShapeError, /glu.*even.*\[2,5\]/);
    await throws("scalar", () => glu(scalar), ShapeError, /scalar/);
    await throws("dtype", () => gelu(ids), ShapeError, /gelu: x is u32/);
    for (const t of [odd, ids, scalar]) t.dispose();
  },
};

export const cases: readonly Case[] = [
  ...scaled,
  ...plain,
  ...small,
  ...tails,
  ...sizes,
  ...rows,
  halves,
  kinks,
  ...special,
  rowsSpecial,
  gluSpecial,
  errors,
];
