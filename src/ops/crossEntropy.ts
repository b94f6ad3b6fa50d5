// Losses from logits: softmax cross-entropy with label smoothing and soft labels, and the sigmoid
// kind.
import source from "../../shaders/crossEntropy.wgsl";
import expText from "../../shaders/lib/exp.wgsl";
import row from "../../shaders/lib/row.wgsl";
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import { type Shape, sameShape, type Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { abs, add, exp, log, maximum, mul, neg, sub } from "./elementwise.ts";
import { oneHot } from "./oneHot.ts";
import { mean, sum } from "./reduce.ts";
import { rowKernel } from "./rows.ts";
import { logSoftmax } from "./softmax.ts";
import { loopThreads } from "./threads.ts";

const kernel = (entry: string) => defineKernel(source, { entry, uses: [expText, row] });
const sumParts = /* @__PURE__ */ kernel("sumParts");
const sigmoidLosses = /* @__PURE__ */ kernel("sigmoidLosses");
const sigmoidParts = /* @__PURE__ */ kernel("sigmoidParts");
const sigmoidBackward = /* @__PURE__ */ kernel("sigmoidBackward");

export type Reduction = "mean" | "sum" | "none";
export interface SoftmaxCrossEntropyAttrs {
  /** Label smoothing s: the target is `(1 - s) * label + s / classes`. */
  readonly smoothing?: number;
  readonly reduction?: Reduction;
}

function checkReduction(op: string, reduction: string): void {
  if (!["mean", "sum", "none"].includes(reduction))
    throw new ShapeError(`${op}: reduction '${reduction}' is none of mean, sum, none`);
}
const total = (run: Run, parts: Tensor, y: Tensor, factor: number): void => {
  const params = { n: parts.size, classes: 0, keep: 0, base: 0, each: 0, factor };
  run(sumParts, { x: parts, y }, params, [sumParts.workgroup[0]]);
};

function plan(run: Run, x: Tensor, labels: Tensor, smoothing: number, reduction: Reduction) {
  const classes = x.shape.at(-1)!;
  const n = x.size / classes;
  const SOFT = labels.dtype === "f32";
  const factor = reduction === "mean" ? 1 / n : 1;
  const params = {
    n,
    classes,
    keep: 1 - smoothing,
    base: smoothing / classes,
    factor,
    each: reduction === "none" ? 1 : 0,
  };
  /** One of the kernels that take a row a workgroup. */
  const perRow = (entry: string, tensors: Readonly<Record<string, Tensor>>): void => {
    const kernel = rowKernel(run, source, entry, { SOFT }, [expText]);
    run(kernel, tensors, params, [n * kernel.workgroup[0]]);
  };
  return { perRow, params };
}

const reduced = (each: Tensor, reduction: Reduction): Tensor =>
  reduction === "none" ? each : reduction === "mean" ? mean(each) : sum(each);
/** The same as softmaxCrossEntropy from plain ops, but that a label out of range counts as none. */
export function plainSoftmaxCrossEntropy(
  logits: Tensor,
  labels: Tensor,
  smoothing: number,
  reduction: Reduction,
): Tensor {
  const classes = logits.shape.at(-1)!;
  const label = labels.dtype === "u32" ? oneHot(labels, { classes }) : labels;
  const y = add(mul(label, 1 - smoothing), smoothing / classes);
  return reduced(neg(sum(mul(y, logSoftmax(logits)), { axis: -1 })), reduction);
}

/**
 * `-sum(y * logSoftmax(logits))` over the classes, `y = (1 - smoothing) * label + smoothing /
 * classes` (`utils.py: softmax_cross_entropy`, smoothing as in `experiment.py: _loss_fn`).
 *
 * logits `[..., classes]`; labels u32 `[...]`, or f32 like the logits: weights of the classes,
 * which need not add up to 1 and get a gradient too if they want one. The result is a scalar, or
 * with reduction "none" `[...]`. A u32 label that is no class gives NaN for its row, in the
 * gradient also.
 *
 * @throws ShapeError
 */
export const softmaxCrossEntropy = /* @__PURE__ */ defineOp({
  name: "softmaxCrossEntropy",
  inputs: ["logits", "labels"],
  shape: (
    { logits, labels },
    { smoothing = 0, reduction = "mean" }: SoftmaxCrossEntropyAttrs,
  ): Shape => {
    const op = "softmaxCrossEntropy";
    if (logits.dtype !== "f32") throw new ShapeError(`${op}: logits are ${logits.dtype}`);
    if (logits.shape.length === 0)
      throw new ShapeError(`${op}: logits are a scalar, expected [..., classes]`);
    const outer = logits.shape.slice(0, -1);
    const wanted = labels.dtype === "u32" ? outer : logits.shape;
    if (!sameShape(labels.shape, wanted)) {
      const what = `${labels.dtype} [${labels.shape}]`;
      const either = `u32 [${outer}] or f32 [${logits.shape}]`;
      throw new ShapeError(`${op}: labels are ${what}, logits [${logits.shape}] expect ${either}`);
    }
    if (!(smoothing >= 0 && smoothing <= 1))
      throw new ShapeError(`${op}: smoothing ${smoothing} is outside of [0, 1]`);
    checkReduction(op, reduction);
    return reduction === "none" ? outer : [];
  },
  forward: (run, { logits, labels, y }, { smoothing = 0, reduction = "mean" }) => {
    const { perRow, params } = plan(run, logits, labels, smoothing, reduction);
    const each = reduction === "none" || params.n === 1 ? y : run.scratch([params.n]);
    perRow("losses", { x: logits, labels, y: each });
    if (each !== y) total(run, each, y, params.factor);
  },
  backward: (run, tensors, { smoothing = 0, reduction = "mean" }) => {
    const { logits, labels, dy, dlogits, dlabels } = tensors;
    const { perRow } = plan(run, logits, labels, smoothing, reduction);
    if (dlogits) perRow("backward", { x: logits, labels, dy, dx: dlogits });
    if (dlabels) perRow("backwardLabels", { x: logits, dy, dlabels });
  },
  reference: ({ logits, labels }, { smoothing = 0, reduction = "mean" }) =>
    plainSoftmaxCrossEntropy(logits, labels, smoothing, reduction),
});

/** The same as sigmoidCrossEntropy from plain ops. */
export function plainSigmoidCrossEntropy(x: Tensor, t: Tensor, reduction: Reduction): Tensor {
  const softplus = add(maximum(x, 0), log(add(exp(neg(abs(x))), 1)));
  return reduced(sub(softplus, mul(x, t)), reduction);
}

/**
 * `-(t * log(sigmoid(x)) + (1 - t) * log(sigmoid(-x)))` of independent logits x and targets t in
 * [0, 1].
 *
 * logits and targets of one shape. The result is a scalar (mean or sum over all), or with reduction
 * "none" like logits.
 *
 * @throws ShapeError
 */
export const sigmoidCrossEntropy = /* @__PURE__ */ defineOp({
  name: "sigmoidCrossEntropy",
  inputs: ["logits", "targets"],
  shape: ({ logits, targets }, { reduction = "mean" }: { reduction?: Reduction }): Shape => {
    const op = "sigmoidCrossEntropy";
    for (const t of [logits, targets])
      if (t.dtype !== "f32") throw new ShapeError(`${op}: a ${t.dtype} input, expected f32`);
    if (!sameShape(logits.shape, targets.shape))
      throw new ShapeError(`${op}: targets are [${targets.shape}], logits [${logits.shape}]`);
    checkReduction(op, reduction);
    return reduction === "none" ? logits.shape : [];
  },
  forward: (run, { logits, targets, y }, { reduction = "mean" }) => {
    const params = { n: logits.size, classes: 0, keep: 0, base: 0, factor: 1, each: 0 };
    const threads = loopThreads(run, logits.size);
    const given = { x: logits, targets };
    if (reduction === "none") {
      run(sigmoidLosses, { ...given, y }, params, [threads]);
      return;
    }
    const parts = run.scratch([Math.ceil(threads / sigmoidParts.workgroup[0])]);
    run(sigmoidParts, { ...given, y: parts }, params, [threads]);
    total(run, parts, y, reduction === "mean" ? 1 / logits.size : 1);
  },
  backward: (run, { logits, targets, dy, dlogits, dtargets }, { reduction = "mean" }) => {
    const factor = reduction === "mean" ? 1 / logits.size : 1;
    const each = reduction === "none" ? 1 : 0;
    const params = { n: logits.size, classes: 0, keep: 0, base: 0, factor, each };
    const tensors = {
      x: logits,
      targets,
      dy,
      dx: dlogits ?? run.scratch(logits.shape),
      dlabels: dtargets ?? run.scratch(logits.shape),
    };
    run(sigmoidBackward, tensors, params, [loopThreads(run, logits.size)]);
  },
  reference: ({ logits, targets }, { reduction = "mean" }) =>
    plainSigmoidCrossEntropy(logits, targets, reduction),
});
