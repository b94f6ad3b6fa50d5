// Whether a label is among the k greatest logits: the usual metric. No kernel of its own.
import type { Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { wantDtype } from "./axes.ts";
import { cast, equal, greater, less, where } from "./compare.ts";
import { oneHot } from "./oneHot.ts";
import { reshape } from "./rearrange.ts";
import { sum } from "./reduce.ts";

/**
 * f32 `[n]`: 1 where the label (u32 `[n]`) is among the k greatest of its row of logits `[n, classes]`, else 0; its mean
 * is the accuracy. Of equal logits the later one counts as greater. A row whose label's logit is NaN, and a label out
 * of range, are 0. No gradient. Source: `utils.py: topk_correct`.
 *
 * @throws ShapeError
 */
export function topKAccuracy(
  logits: Tensor,
  labels: Tensor,
  { k }: { readonly k: number },
): Tensor {
  wantDtype("topKAccuracy", "logits", logits, "f32");
  wantDtype("topKAccuracy", "labels", labels, "u32");
  const [n, classes] = logits.shape;
  if (logits.shape.length !== 2 || labels.shape.length !== 1 || labels.shape[0] !== n)
    throw new ShapeError(
      `topKAccuracy: logits [${logits.shape}] and labels [${labels.shape}], expected [n, classes] and [n]`,
    );
  if (!(Number.isInteger(k) && k >= 1))
    throw new ShapeError(`topKAccuracy: k ${k} expects an integer of at least 1`);
  const { gpu } = logits;
  return gpu.scope(() => {
    const mine = cast(oneHot(labels, { classes: classes! }), { dtype: "u32" });
    const own = sum(where(mine, logits, 0), { axis: 1, keepDims: true });
    const places = gpu.tensor(Float32Array.from({ length: classes! }, (_, i) => i));
    const place = sum(where(mine, places, 0), { axis: 1, keepDims: true });
    const later = cast(greater(places, place), { dtype: "f32" });
    const ahead = where(greater(logits, own), 1, where(equal(logits, own), later, 0));
    const hit = cast(less(sum(ahead, { axis: 1 }), k), { dtype: "f32" });
    const isNumber = reshape(equal(own, own), { shape: [n!] });
    return where(isNumber, where(less(labels, classes!), hit, 0), 0);
  });
}
