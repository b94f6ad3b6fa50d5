// The activations in f64, in their textbook forms: on one number, and on rows for the two that need
// them.
import type { ActivationKind } from "../src/ops/scaledActivation.ts";
import { type F64, f64, map } from "./oracle.ts";

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
export const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
const plus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const expLinear = (x: number): number => (x > 0 ? x : Math.expm1(x));
export const pointwise = {
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
export const geluExact = (x: number): number => (x / 2) * erfc(-x / Math.SQRT2);

export function gluF64(x: F64): F64 {
  const width = x.shape.at(-1)! / 2;
  const y = f64([...x.shape.slice(0, -1), width]);
  y.data.forEach((_, i) => {
    const at = i + Math.floor(i / width) * width;
    y.data[i] = x.data[at]! * logistic(x.data[at + width]!);
  });
  return y;
}
export function logSoftmaxF64(x: F64): F64 {
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
export const activationF64 = (kind: ActivationKind, x: F64): F64 => {
  if (kind === "glu") return gluF64(x);
  return kind === "log_softmax" ? logSoftmaxF64(x) : map(x, pointwise[kind]);
};

/** The reference's constants again, from `base.py: nonlinearities`. */
export const gammas: Readonly<Record<ActivationKind, number>> = {
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
