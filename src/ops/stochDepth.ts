// Stochastic depth: whole images of a residual branch dropped at random, the same ones again in
// backward.
import threefry from "../../shaders/lib/threefry.wgsl";
import source from "../../shaders/stochDepth.wgsl";
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import type { Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { checkDraw, type DrawAttrs } from "./draw.ts";
import { loopThreads } from "./threads.ts";

const kernel = (F: string) =>
  defineKernel(source, { entry: "forward", knobs: { F }, uses: [threefry] });
const vec4 = /* @__PURE__ */ kernel("vec4f");
const scalar = /* @__PURE__ */ kernel("f32");

export interface StochDepthAttrs extends DrawAttrs {
  /** Divide what is kept by the probability of being kept. */
  readonly scaleByKeep?: boolean;
}

function drop(run: Run, x: Tensor, keys: Tensor, y: Tensor, attrs: StochDepthAttrs): void {
  const images = x.shape[0]!;
  const each = x.size / images;
  const wide = each % 4 === 0;
  const size = wide ? each / 4 : each;
  const keep = 1 - attrs.rate;
  const params = { size, images, at: attrs.at, keep, divisor: attrs.scaleByKeep ? keep : 1 };
  // All threads together are as many as a plain loop over x would get.
  const kernel = wide ? vec4 : scalar;
  const groups = Math.ceil(loopThreads(run, size * images) / kernel.workgroup[0]);
  const y_ = Math.min(images, groups);
  const x_ = Math.min(size, Math.ceil(groups / y_) * kernel.workgroup[0]);
  run(kernel, { x, keys, y }, params, [x_, y_]);
}

/**
 * `x * floor(1 - rate + u)`, one uniform u for each image (`base.py: StochDepth`), by the bits of
 * `jax.random.uniform` of that key. With `scaleByKeep` x is divided by `1 - rate`.
 *
 * x `[n, ...]`, keys u32 `[m, 2]`; the result is like x. Rate 0 drops nothing.
 *
 * @throws ShapeError
 */
export const stochDepth = /* @__PURE__ */ defineOp({
  name: "stochDepth",
  inputs: ["x", "keys"],
  saves: ["keys"],
  shape: ({ x, keys }, attrs: StochDepthAttrs) => {
    checkDraw("stochDepth", x, keys, attrs);
    if (x.shape.length === 0) throw new ShapeError("stochDepth: x is a scalar, expected [n, ...]");
    return x.shape;
  },
  forward: (run, { x, keys, y }, attrs) => drop(run, x, keys, y, attrs),
  backward: (run, { keys, dy, dx }, attrs) => {
    if (dx) drop(run, dy, keys, dx, attrs);
  },
});
