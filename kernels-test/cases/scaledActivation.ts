// The activations, scaled and plain, against their textbook forms in f64; kinks, NaN and infinities
// as in JAX.

import { type Gpu, ShapeError, type Tensor, vjp } from "../../src/index.ts";
import { plainActivation } from "../../src/ops/plainActivations.ts";
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
import {
  activationF64,
  gammas,
  geluExact,
  gluF64,
  logSoftmaxF64,
  pointwise,
} from "../activations.ts";
import { type Case, equal, opCase, rand, throws, uniform, values } from "../harness.ts";
import { type F64, f64, map } from "../oracle.ts";

const kinds = Object.keys(gammas) as ActivationKind[];

// ---- values and gradients

const tolerance = 2e-7;
const scaled = kinds.map((kind) =>
  opCase({
    name: `scaledActivation ${kind}`,
    inputs: { x: rand([3, 5, 7, 6], undefined, 2) },
    apply: ({ x }) => scaledActivation(x, { kind, scale: 0.7 }),
    reference: ({ x }) => plainActivation(x, kind, gammas[kind] * 0.7),
    oracle: ({ x }) => map(activationF64(kind, x), (v) => v * gammas[kind] * 0.7),
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
