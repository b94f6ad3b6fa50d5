// Scaled activations, forward and gradient: what every layer of a normalizer-free network goes through.
import { ops, type Tensor, vjp } from "../src/index.ts";
import { type Case, opCase, short } from "./case.ts";

interface Activation {
  readonly kind: "gelu" | "silu" | "relu";
  /** The reference's constant. */
  readonly gamma: number;
  /** Operations an element, each + - * / exp and comparison counted as one: forward, gradient. */
  readonly flops: readonly [number, number];
  readonly f: (x: number) => number;
  readonly slope: (x: number) => number;
}

const logistic = (x: number) => 1 / (1 + Math.exp(-x));
const bend = Math.sqrt(2 / Math.PI);
/** tanh(u) and du/dx of the tanh form. */
const inner = (x: number) => ({
  t: Math.tanh(bend * (x + 0.044715 * x ** 3)),
  du: bend * (1 + 3 * 0.044715 * x * x),
});

const activations: readonly Activation[] = [
  {
    kind: "gelu",
    gamma: 1.7015043497085571,
    flops: [10, 18],
    f: (x) => (x / 2) * (1 + inner(x).t),
    slope: (x) => (1 + inner(x).t) / 2 + (x / 2) * (1 - inner(x).t ** 2) * inner(x).du,
  },
  {
    kind: "silu",
    gamma: 1.7881293296813965,
    flops: [5, 9],
    f: (x) => x * logistic(x),
    slope: (x) => logistic(x) * (1 + x * (1 - logistic(x))),
  },
  {
    kind: "relu",
    gamma: 1.7139588594436646,
    flops: [2, 2],
    f: (x) => Math.max(x, 0),
    slope: (x) => (x > 0 ? 1 : 0),
  },
];

const N = 2 ** 22;

/** By plain ops, for the one that is worth fusing most. */
function plainGelu(x: Tensor, gamma: number): Tensor {
  const cube = ops.mul(ops.square(x), x);
  const t = ops.tanh(ops.mul(ops.add(x, ops.mul(cube, 0.044715)), bend));
  return ops.mul(ops.mul(x, gamma / 2), ops.add(t, 1));
}

export const cases = (): Case[] =>
  activations.flatMap(({ kind, gamma, flops, f, slope }) => [
    opCase({
      name: `activation ${kind} ${short(N)} forward`,
      flops: flops[0] * N,
      bytes: 8 * N,
      quick: kind === "gelu",
      inputs: { x: [N] },
      range: 4,
      apply: ({ x }) => ({ y: ops.scaledActivation(x, { kind }) }),
      plain: kind === "gelu" ? ({ x }) => ({ y: plainGelu(x, gamma) }) : undefined,
      oracle: ({ x }) => ({
        y: (i) => ({ value: gamma * f(x[i]!), magnitude: gamma * Math.abs(x[i]!) }),
      }),
    }),
    opCase({
      name: `activation ${kind} ${short(N)} gradient`,
      flops: flops[1] * N,
      bytes: 12 * N,
      quick: kind === "gelu",
      inputs: { x: [N], dy: [N] },
      range: 4,
      apply: ({ x, dy }) =>
        vjp((p: { x: Tensor }) => ops.scaledActivation(p.x, { kind }))({ x }, dy).grads,
      plain:
        kind === "gelu"
          ? ({ x, dy }) => vjp((p: { x: Tensor }) => plainGelu(p.x, gamma))({ x }, dy).grads
          : undefined,
      oracle: ({ x, dy }) => ({
        x: (i) => ({
          value: gamma * slope(x[i]!) * dy[i]!,
          magnitude: gamma * Math.abs(dy[i]!),
        }),
      }),
    }),
  ]);
