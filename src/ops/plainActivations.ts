// The activations as compositions of elementwise ops: what scaledActivation's kernels are held
// against. Not for speed, and less exact near 0 and far from it. Not ops of their own.
import type { Tensor } from "../core/tensor.ts";
import { greater, where } from "./compare.ts";
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
  square,
  sub,
} from "./elementwise.ts";
import { slice } from "./rearrange.ts";
import type { ActivationKind } from "./scaledActivation.ts";
import { logSoftmax } from "./softmax.ts";

const logistic = (x: Tensor): Tensor => div(1, add(exp(neg(x)), 1));
const plus = (x: Tensor): Tensor => add(maximum(x, 0), log(add(exp(neg(abs(x))), 1)));
const expLinear = (x: Tensor, alpha: number): Tensor =>
  where(greater(x, 0), x, mul(sub(exp(minimum(x, 0)), 1), alpha));

const forms: Readonly<Record<ActivationKind, (x: Tensor) => Tensor>> = {
  identity: (x) => mul(x, 1),
  celu: (x) => expLinear(x, 1),
  elu: (x) => expLinear(x, 1),
  // 0.5 (1 + tanh(u)) is the logistic function of 2u.
  gelu: (x) => mul(x, logistic(mul(x, add(mul(square(x), 0.07135481627), 1.59576912161)))),
  glu: (x) => {
    const size = [...x.shape.slice(0, -1), x.shape.at(-1)! / 2];
    const begin = size.map(() => 0);
    const half = [...begin.slice(0, -1), size.at(-1)!];
    return mul(slice(x, { begin, size }), logistic(slice(x, { begin: half, size })));
  },
  leaky_relu: (x) => add(maximum(x, 0), mul(minimum(x, 0), 0.01)),
  log_sigmoid: (x) => neg(plus(neg(x))),
  log_softmax: (x) => logSoftmax(x),
  relu: (x) => maximum(x, 0),
  relu6: (x) => clip(x, { min: 0, max: 6 }),
  selu: (x) => mul(expLinear(x, 1.67326324235), 1.05070098736),
  sigmoid: logistic,
  silu: (x) => mul(x, logistic(x)),
  soft_sign: (x) => div(x, add(abs(x), 1)),
  softplus: plus,
  tanh: (x) => sub(mul(logistic(mul(x, 2)), 2), 1),
};

/** `act(x) * factor`, composed of plain ops. */
export const plainActivation = (x: Tensor, kind: ActivationKind, factor: number): Tensor =>
  mul(forms[kind](x), factor);
