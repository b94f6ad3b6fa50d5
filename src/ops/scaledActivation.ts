// Activations: the reference's sixteen with their constants, and the plain ones, over the same
// kernels.

import exp from "../../shaders/lib/exp.wgsl";
import row from "../../shaders/lib/row.wgsl";
import span from "../../shaders/lib/span.wgsl";
import source from "../../shaders/scaledActivation.wgsl";
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import type { Shape, Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { plainActivation } from "./plainActivations.ts";
import { rowKernel } from "./rows.ts";
import { loopThreads, runSpan, spanKernel } from "./threads.ts";

const kernel = (entry: string) => defineKernel(source, { entry, uses: [exp, row, span] });
const spans = (entry: string, KIND: string) =>
  spanKernel(source, { entry, knobs: { KIND }, uses: [exp, row] });
const both = (kind: string) => ({
  forward: spans("forward", kind),
  backward: spans("backward", kind),
});

/** By the reference's names (`base.py: nonlinearities`), and `gelu_exact`. */
const elementwise = /* @__PURE__ */ (() => ({
  identity: both("IDENTITY"),
  celu: both("ELU"), // alpha is 1
  elu: both("ELU"),
  gelu: both("GELU"),
  gelu_exact: both("GELU_EXACT"),
  leaky_relu: both("LEAKY_RELU"),
  log_sigmoid: both("LOG_SIGMOID"),
  relu: both("RELU"),
  relu6: both("RELU6"),
  selu: both("SELU"),
  sigmoid: both("SIGMOID"),
  silu: both("SILU"),
  soft_sign: both("SOFT_SIGN"),
  softplus: both("SOFTPLUS"),
  tanh: both("TANH"),
}))();
const gluForward = /* @__PURE__ */ kernel("gluForward");
const gluBackward = /* @__PURE__ */ kernel("gluBackward");
/**
 * The constants that make each function keep the variance of a unit normal: `base.py:
 * nonlinearities`.
 */
const gammas = {
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
} as const;

/** The reference's names of the activations. */
export type ActivationKind = keyof typeof gammas;
type Kind = ActivationKind | "gelu_exact";

function shapeOf(op: string, x: Tensor, kind: Kind): Shape {
  if (x.dtype !== "f32") throw new ShapeError(`${op}: x is ${x.dtype}, expected f32`);
  const last = x.shape.at(-1);
  if ((kind === "glu" || kind === "log_softmax") && last === undefined)
    throw new ShapeError(`${op}: ${kind} works along the last axis, x is a scalar`);
  if (kind !== "glu") return x.shape;
  if (last! % 2 !== 0)
    throw new ShapeError(`${op}: glu halves the last axis, which must be even, x is [${x.shape}]`);
  return [...x.shape.slice(0, -1), last! / 2];
}

/** `y = factor * act(x)`. For the rules of other ops, like `activationGradient`. */
export function activate(run: Run, x: Tensor, y: Tensor, kind: Kind, factor: number): void {
  const width = y.shape.at(-1) ?? 1;
  const params = { n: y.size, width, factor };
  if (kind === "glu") run(gluForward, { xs: x, ys: y }, params, [loopThreads(run, y.size)]);
  else if (kind === "log_softmax") {
    const kernel = rowKernel(run, source, "logSoftmaxForward", {}, [exp, span]);
    run(kernel, { xs: x, ys: y }, params, [(y.size / width) * kernel.workgroup[0]]);
  } else runSpan(run, elementwise[kind].forward, { x, y }, params, Math.ceil(y.size / 4));
}

export function activationGradient(
  run: Run,
  x: Tensor,
  dy: Tensor,
  dx: Tensor,
  kind: Kind,
  factor: number,
): void {
  const width = dy.shape.at(-1) ?? 1;
  const params = { n: dy.size, width, factor };
  const rows = { xs: x, dys: dy, dxs: dx };
  if (kind === "glu") run(gluBackward, rows, params, [loopThreads(run, dy.size)]);
  else if (kind === "log_softmax") {
    const kernel = rowKernel(run, source, "logSoftmaxBackward", {}, [exp, span]);
    run(kernel, rows, params, [(dy.size / width) * kernel.workgroup[0]]);
  } else runSpan(run, elementwise[kind].backward, { x, dy, dx }, params, Math.ceil(dy.size / 4));
}

/**
 * `act(x) * gamma[kind] * scale` (`base.py: nonlinearities`), the constants fused in.
 *
 * x of any shape. `glu` is `a * sigmoid(b)` of the two halves a, b of the last axis, `log_softmax`
 * goes along the last axis, `gelu` is the tanh form. Derivatives at kinks as in JAX: 0 at 0 for
 * relu, 0 at 0 and 6 for relu6, 1 at 0 for leaky_relu (whose negative slope is 0.01).
 *
 * @throws ShapeError for an unknown kind, or a last axis that `glu` cannot halve
 */
export const scaledActivation = /* @__PURE__ */ defineOp({
  name: "scaledActivation",
  inputs: ["x"],
  shape: ({ x }, { kind = "gelu" }: { kind?: ActivationKind; scale?: number }) => {
    if (!Object.hasOwn(gammas, kind)) {
      const known = Object.keys(gammas).join(", ");
      throw new ShapeError(`scaledActivation: kind '${kind}' is none of ${known}`);
    }
    return shapeOf("scaledActivation", x, kind);
  },
  forward: (run, { x, y }, { kind = "gelu", scale = 1 }) =>
    activate(run, x, y, kind, gammas[kind] * scale),
  backward: (run, { x, dy, dx }, { kind = "gelu", scale = 1 }) =>
    activationGradient(run, x, dy, dx, kind, gammas[kind] * scale),
  reference: ({ x }, { kind = "gelu", scale = 1 }) =>
    plainActivation(x, kind, gammas[kind] * scale),
});

const plain = (name: string, kind: Kind) =>
  defineOp({
    name,
    inputs: ["x"],
    shape: ({ x }) => shapeOf(name, x, kind),
    forward: (run, { x, y }) => activate(run, x, y, kind, 1),
    backward: (run, { x, dy, dx }) => activationGradient(run, x, dy, dx, kind, 1),
  });

/** `max(x, 0)`; the derivative at 0 is 0. */
export const relu = /* @__PURE__ */ plain("relu", "relu");
/** `min(max(x, 0), 6)`; the derivative at 0 and at 6 is 0. */
export const relu6 = /* @__PURE__ */ plain("relu6", "relu6");
/** `1 / (1 + exp(-x))` */
export const sigmoid = /* @__PURE__ */ plain("sigmoid", "sigmoid");
/** `x * sigmoid(x)` */
export const silu = /* @__PURE__ */ plain("silu", "silu");
/** The hyperbolic tangent. */
export const tanh = /* @__PURE__ */ plain("tanh", "tanh");
/** `x` where x > 0, else `exp(x) - 1` */
export const elu = /* @__PURE__ */ plain("elu", "elu");
/** `celu` with alpha 1, which is `elu`. */
export const celu = /* @__PURE__ */ plain("celu", "celu");
/** `1.0507 * (x where x > 0, else 1.6733 * (exp(x) - 1))` */
export const selu = /* @__PURE__ */ plain("selu", "selu");
/** `x` where x >= 0, else `0.01 * x`; the derivative at 0 is 1. */
export const leakyRelu = /* @__PURE__ */ plain("leakyRelu", "leaky_relu");
/** `log(1 + exp(x))` */
export const softplus = /* @__PURE__ */ plain("softplus", "softplus");
/** `x / (1 + |x|)` */
export const softSign = /* @__PURE__ */ plain("softSign", "soft_sign");
/** `log(sigmoid(x))` */
export const logSigmoid = /* @__PURE__ */ plain("logSigmoid", "log_sigmoid");
/** `a * sigmoid(b)` of the two halves a, b of the last axis, whose size must be even. */
export const glu = /* @__PURE__ */ plain("glu", "glu");

const geluKind = (approximate = true): Kind => (approximate ? "gelu" : "gelu_exact");
/**
 * `x * Phi(x)`, Phi the normal distribution function; `approximate` (as in JAX the default) is the
 * tanh form.
 */
export const gelu = /* @__PURE__ */ defineOp({
  name: "gelu",
  inputs: ["x"],
  shape: ({ x }, { approximate }: { approximate?: boolean }) =>
    shapeOf("gelu", x, geluKind(approximate)),
  forward: (run, { x, y }, { approximate }) => activate(run, x, y, geluKind(approximate), 1),
  backward: (run, { x, dy, dx }, { approximate }) =>
    activationGradient(run, x, dy, dx, geluKind(approximate), 1),
});
