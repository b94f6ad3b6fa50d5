// Dropout: elements set to zero at random, the same ones again in backward.
import source from "../../shaders/dropout.wgsl";
import threefry from "../../shaders/lib/threefry.wgsl";
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import type { Tensor } from "../core/tensor.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { checkDraw, type DrawAttrs } from "./draw.ts";
import { loopThreads } from "./threads.ts";

const kernel = /* @__PURE__ */ defineKernel(source, { entry: "forward", uses: [threefry] });

function drop(run: Run, x: Tensor, keys: Tensor, y: Tensor, { at, rate }: DrawAttrs): void {
  run(kernel, { x, keys, y }, { n: x.size, at, keep: 1 - rate }, [loopThreads(run, x.size)]);
}

/**
 * `x * mask / (1 - rate)`, the mask `jax.random.bernoulli(key, 1 - rate, x.shape)` (`hk.dropout`).
 *
 * x of any shape, keys u32 `[m, 2]`; the result is like x. Rate 0 drops nothing.
 *
 * @throws ShapeError
 */
export const dropout = /* @__PURE__ */ defineOp({
  name: "dropout",
  inputs: ["x", "keys"],
  saves: ["keys"],
  shape: ({ x, keys }, attrs: DrawAttrs) => {
    checkDraw("dropout", x, keys, attrs);
    return x.shape;
  },
  forward: (run, { x, keys, y }, attrs) => drop(run, x, keys, y, attrs),
  backward: (run, { keys, dy, dx }, attrs) => {
    if (dx) drop(run, dy, keys, dx, attrs);
  },
});
