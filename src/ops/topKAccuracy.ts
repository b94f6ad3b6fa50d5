// Whether a label is among the k greatest logits: the usual metric.
import source from "../../shaders/topKAccuracy.wgsl";
import { defineOp } from "../core/op.ts";
import { ShapeError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { wantDtype } from "./axes.ts";

const make = (WG: number) => defineKernel(source, { entry: "forward", knobs: { WG } });
const kernels = /* @__PURE__ */ (() => ({ software: make(8), hardware: make(64) }))();

/**
 * f32 `[n]`: 1 where the label (u32 `[n]`) is among the k greatest of its row of logits `[n, classes]`, else 0; its mean
 * is the accuracy. Of equal logits the later one counts as greater. A row whose label's logit is NaN, and a label out
 * of range, are 0. Not differentiable. Source: `utils.py: topk_correct`.
 *
 * @throws ShapeError
 */
export const topKAccuracy = /* @__PURE__ */ defineOp({
  name: "topKAccuracy",
  inputs: ["logits", "labels"],
  shape: ({ logits, labels }, { k }: { readonly k: number }) => {
    wantDtype("topKAccuracy", "logits", logits, "f32");
    wantDtype("topKAccuracy", "labels", labels, "u32");
    const [n] = logits.shape;
    if (logits.shape.length !== 2 || labels.shape.length !== 1 || labels.shape[0] !== n)
      throw new ShapeError(
        `topKAccuracy: logits [${logits.shape}] and labels [${labels.shape}], expected [n, classes] and [n]`,
      );
    if (!(Number.isInteger(k) && k >= 1))
      throw new ShapeError(`topKAccuracy: k ${k} expects an integer of at least 1`);
    return [n!];
  },
  forward: (run, { logits, labels, y }, { k }) => {
    const [rows, classes] = logits.shape as readonly [number, number];
    const kernel = kernels[run.adapter.kind];
    const threads = kernel.workgroup[0] * Math.min(rows, 32_768);
    run(kernel, { logits, labels, y }, { rows, classes, k }, [threads]);
  },
});
