// Squeeze-and-excite with its product, as one op. The product alone is scaleChannels.ts.
import expLib from "../../shaders/lib/exp.wgsl";
import span from "../../shaders/lib/span.wgsl";
import source from "../../shaders/squeezeExcite.wgsl";
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import type { Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { gemm } from "./gemm.ts";
import { linear, linearConv } from "./matmul.ts";
import { mean as meanOf, reduceInto, sumRows } from "./reduce.ts";
import { gateGradientInto, plainScaleChannels, scaleInto, spreadInto } from "./scaleChannels.ts";
import { activate, activationGradient, relu } from "./scaledActivation.ts";
import { runSpan, spanKernel } from "./threads.ts";

export interface SqueezeExciteAttrs {
  /** A constant factor; 2 in the reference's blocks. */
  readonly scale?: number;
}

// A CPU's subgroups take their columns one after the other; a GPU needs slices to fill a workgroup.
const uses = [expLib, span];
const kernels = /* @__PURE__ */ (() => {
  const both = (WG: number, CX: number) => ({
    gates: defineKernel(source, { entry: "gates", knobs: { WG, CX }, uses }),
    gradients: defineKernel(source, { entry: "gradients", knobs: { WG, CX }, uses }),
  });
  return { software: both(64, 64), hardware: both(256, 16) };
})();
const weights = /* @__PURE__ */ spanKernel(source, {
  entry: "weights",
  knobs: { CX: 8 },
  uses: [expLib],
});

/**
 * Whether a workgroup an image is the faster way. It reads all weights for each image, where a product reads them once
 * for several: counted in instructions, the dispatches that it saves are worth 2^18 elements of a weight on two cores. On
 * a GPU one workgroup has one compute unit's share of the bandwidth, so that the images do not count. Neither is measured.
 */
function small(run: Run, x: Tensor, w0: Tensor): boolean {
  const [c, h] = w0.shape as [number, number];
  const times = run.adapter.kind === "software" ? x.shape[0]! : 1;
  return c % 4 === 0 && h % 4 === 0 && times * c * h <= 2 ** 18;
}
function sizes(x: Tensor, w0: Tensor) {
  const [c, h] = w0.shape as [number, number];
  const images = x.shape[0]!;
  return { images, rows: x.size / images / c, c: c / 4, h: h / 4 };
}

/** The same from plain ops. */
export function plainSqueezeExcite(
  x: Tensor,
  [w0, b0, w1, b1]: readonly [Tensor, Tensor, Tensor, Tensor],
  scale: number,
): Tensor {
  const axis = x.shape.slice(1, -1).map((_, i) => i + 1);
  const squeezed = meanOf(x, { axis });
  return plainScaleChannels(x, linear(relu(linear(squeezed, w0, b0)), w1, b1), scale, "sigmoid");
}

function check(x: Tensor, w0: Tensor, b0: Tensor, w1: Tensor, b1: Tensor): void {
  const name = "squeezeExcite";
  for (const [key, t] of Object.entries({ x, w0, b0, w1, b1 }))
    if (t.dtype !== "f32") throw new ShapeError(`${name}: ${key} is ${t.dtype}, expected f32`);
  if (x.shape.length < 3)
    throw new ShapeError(`${name}: x [${x.shape}] expects at least 3 dimensions`);
  const c = x.shape.at(-1)!;
  const h = w0.shape[1] ?? 0;
  const expected = { w0: [c, h || "hidden"], b0: [h], w1: [h, c], b1: [c] };
  for (const [key, t] of Object.entries({ w0, b0, w1, b1 })) {
    const shape = expected[key as "w0"];
    if (`${t.shape}` !== `${shape}`)
      throw new ShapeError(`${name}: ${key} is [${t.shape}], x [${x.shape}] expects [${shape}]`);
  }
}

/**
 * `x * scale * sigmoid(relu(m w0 + b0) w1 + b1)`, m the mean of each image's channels over all pixels (`base.py:
 * SqueezeExcite`, and its use in `nfnet.py: NFBlock.__call__`).
 *
 * x `[n, ..., c]` with at least one axis of pixels, w0 `[c, hidden]`, b0 `[hidden]`, w1 `[hidden, c]`, b1 `[c]`; the
 * result is like x. Two dispatches forward and three backward where the weights are small, else products.
 *
 * @throws ShapeError
 */
export const squeezeExcite = /* @__PURE__ */ defineOp({
  name: "squeezeExcite",
  inputs: ["x", "w0", "b0", "w1", "b1"],
  outputs: ["y", "~mean", "~hidden", "~logits"],
  saves: ["x", "w0", "w1", "mean", "hidden", "logits"],
  shape: ({ x, w0, b0, w1, b1 }, _: SqueezeExciteAttrs) => {
    check(x, w0, b0, w1, b1);
    const [n, c, h] = [x.shape[0]!, x.shape.at(-1)!, w0.shape[1]!];
    return { y: x.shape, mean: [n, c], hidden: [n, h], logits: [n, c] };
  },
  forward: (run, { x, w0, b0, w1, b1, y, mean, hidden, logits }, { scale = 1 }) => {
    if (small(run, x, w0)) {
      const { gates } = kernels[run.adapter.kind];
      const params = { ...sizes(x, w0), scale };
      const tensors = { x, w0, b0, w1, b1, mean, hidden, logits };
      run(gates, tensors, params, [params.images * gates.workgroup[0]]);
    } else {
      const axes = x.shape.slice(1, -1).map((_, i) => i + 1);
      const count = x.size / mean.size;
      reduceInto(run, x, x.shape, axes, mean, { kind: "SUM", count });
      const before = run.scratch(hidden.shape);
      gemm(run, linearConv(mean, w0), "forward", { a: mean, b: w0, bias: b0, c: before });
      activate(run, before, hidden, "relu", 1);
      gemm(run, linearConv(hidden, w1), "forward", { a: hidden, b: w1, bias: b1, c: logits });
    }
    scaleInto(run, x, logits, y, scale);
  },
  backward: (run, t, { scale = 1 }) => {
    const { x, w0, w1, mean, hidden, logits, dy } = t;
    const dx = t.dx ?? run.scratch(x.shape);
    const dmean = run.scratch(mean.shape);
    if (small(run, x, w0)) {
      const { gradients } = kernels[run.adapter.kind];
      const params = { ...sizes(x, w0), scale };
      const work = run.scratch([mean.size + hidden.size]);
      const given = { x, dy, w0, w1, hiddenDone: hidden, logitsDone: logits, work, dmean };
      run(gradients, given, params, [params.images * gradients.workgroup[0]]);
      spreadInto(run, { dy, h: logits, more: dmean, dx }, scale);
      if (!(t.dw0 || t.db0 || t.dw1 || t.db1)) return;
      const written = {
        dw0: t.dw0 ?? run.scratch(w0.shape),
        db0: t.db0 ?? run.scratch([w0.shape[1]!]),
        dw1: t.dw1 ?? run.scratch(w1.shape),
        db1: t.db1 ?? run.scratch([w0.shape[0]!]),
      };
      const read = { meanDone: mean, hiddenDone: hidden, workDone: work };
      runSpan(run, weights, { ...read, ...written }, params, params.c * params.h);
      return;
    }
    const dlogits = run.scratch(logits.shape);
    gateGradientInto(run, { x, h: logits, dy, dh: dlogits }, scale);
    const above = run.scratch(hidden.shape);
    const dhidden = run.scratch(hidden.shape);
    const [outer, inner] = [linearConv(hidden, w1), linearConv(mean, w0)];
    gemm(run, outer, "data", { a: dlogits, b: w1, c: above });
    activationGradient(run, hidden, above, dhidden, "relu", 1); // hidden is above 0 where its input is
    gemm(run, inner, "data", { a: dhidden, b: w0, c: dmean });
    spreadInto(run, { dy, h: logits, more: dmean, dx }, scale);
    if (t.dw1) gemm(run, outer, "weight", { a: hidden, b: dlogits, c: t.dw1 });
    if (t.db1) sumRows(run, dlogits, t.db1);
    if (t.dw0) gemm(run, inner, "weight", { a: mean, b: dhidden, c: t.dw0 });
    if (t.db0) sumRows(run, dhidden, t.db0);
  },
  reference: ({ x, w0, b0, w1, b1 }, { scale = 1 }) =>
    plainSqueezeExcite(x, [w0, b0, w1, b1], scale),
});
