// The k greatest values along the last axis, with their places.
import source from "../../shaders/topK.wgsl";
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import type { Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { axisOf, wantDtype } from "./axes.ts";
import { kernelOf } from "./kernelOf.ts";

/** One workgroup a row (a small one where barriers are dear), in turns beyond what one grid axis holds. */
function perRow(run: Run, entry: string, tensors: Record<string, Tensor>, x: Tensor, k: number) {
  const wg = run.adapter.kind === "software" ? 8 : 64;
  const n = x.shape.at(-1)!;
  const rows = x.size / n;
  const kernel = kernelOf(source, entry, { WG: wg }, []);
  run(kernel, tensors, { rows, n, k }, [wg * Math.min(rows, 32_768)]);
}

/**
 * `values` and u32 `indices` of the k greatest along the last axis, greatest first, as `jax.lax.top_k`: of equal values
 * the lower index comes first, -0 is less than 0, and every NaN is greater than all numbers. The gradient goes to the
 * picked places.
 */
export const topK = /* @__PURE__ */ defineOp({
  name: "topK",
  inputs: ["x"],
  outputs: ["values", "indices"],
  saves: ["indices"],
  shape: ({ x }, { k }: { readonly k: number }) => {
    wantDtype("topK", "x", x, "f32");
    axisOf("topK", -1, x);
    const n = x.shape.at(-1)!;
    if (!(Number.isInteger(k) && k >= 1 && k <= n)) {
      throw new ShapeError(`topK: k ${k} expects an integer in [1, ${n}], x is [${x.shape}]`);
    }
    const shape = [...x.shape.slice(0, -1), k];
    return { values: shape, indices: { shape, dtype: "u32" } };
  },
  forward: (run, { x, values, indices }, { k }) =>
    perRow(run, "forward", { x, values, indices }, x, k),
  backward: (run, { indices, dvalues, dx }, { k }) =>
    perRow(run, "backward", { picked: indices, dvalues, dx }, dx, k),
});
