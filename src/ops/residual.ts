// The join of a residual branch and its shortcut, with the branch's gain.
import row from "../../shaders/lib/row.wgsl";
import span from "../../shaders/lib/span.wgsl";
import source from "../../shaders/residual.wgsl";
import { defineOp } from "../core/op.ts";
import type { Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { add, mul } from "./elementwise.ts";
import { reshape } from "./rearrange.ts";
import { runSpan, spanGroups, spanKernel } from "./threads.ts";

const kernel = (entry: string, GAIN: boolean) =>
  spanKernel(source, { entry, knobs: { GAIN }, uses: [row] });
const forwards = /* @__PURE__ */ (() => [kernel("forward", false), kernel("forward", true)])();
const backwards = /* @__PURE__ */ (() => [kernel("backward", false), kernel("backward", true)])();
const backwardGain = /* @__PURE__ */ kernel("backwardGain", true);
const sumParts = /* @__PURE__ */ defineKernel(source, { entry: "sumParts", uses: [row, span] });

/** The same from plain ops. */
export const plainResidual = (
  x: Tensor,
  shortcut: Tensor,
  gain: Tensor | null,
  alpha: number,
): Tensor => add(mul(gain ? mul(x, reshape(gain, { shape: [] })) : x, alpha), shortcut);

/**
 * `x * alpha * gain + shortcut`: the end of a residual block (`nfnet.py: NFBlock.__call__`, gain
 * its SkipInit scalar).
 *
 * x and shortcut of one shape, gain of one element. The gradient of the shortcut is `dy` itself.
 *
 * @throws ShapeError
 */
export const residual = /* @__PURE__ */ defineOp({
  name: "residual",
  inputs: ["x", "shortcut", "gain?"],
  saves: ["x", "gain"],
  passes: ["shortcut"],
  shape: ({ x, shortcut, gain }, _: { alpha?: number }) => {
    const same = x.shape.length === shortcut.shape.length;
    if (!same || x.shape.some((d, i) => d !== shortcut.shape[i]))
      throw new ShapeError(`residual: x is [${x.shape}], shortcut [${shortcut.shape}]`);
    for (const t of [x, shortcut, gain])
      if (t && t.dtype !== "f32")
        throw new ShapeError(`residual: a ${t.dtype} input, expected f32`);
    if (gain && gain.size !== 1)
      throw new ShapeError(`residual: gain [${gain.shape}] expects one element`);
    return x.shape;
  },
  forward: (run, { x, shortcut, gain, y }, { alpha = 1 }) => {
    const tensors = { x, shortcut, gain: gain ?? x, y };
    runSpan(run, forwards[gain ? 1 : 0]!, tensors, { n: x.size, alpha }, Math.ceil(x.size / 4));
  },
  backward: (run, { x, gain, dy, dx, dgain }, { alpha = 1 }) => {
    const params = { n: x.size, alpha };
    const items = Math.ceil(x.size / 4);
    if (gain && dgain) {
      const parts = run.scratch([spanGroups(run, items)]);
      const tensors = { x, dy, gain, dx: dx ?? run.scratch(x.shape), parts };
      runSpan(run, backwardGain, tensors, params, items);
      const { workgroup } = sumParts;
      run(sumParts, { partsDone: parts, dgain }, { n: parts.size, alpha }, [workgroup[0]]);
    } else if (dx)
      runSpan(run, backwards[gain ? 1 : 0]!, { dy, gain: gain ?? dy, dx }, params, items);
  },
  reference: ({ x, shortcut, gain }, { alpha = 1 }) => plainResidual(x, shortcut, gain, alpha),
});
