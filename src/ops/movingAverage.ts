// A debiased moving average of a statistic, as Haiku keeps them beside parameters. Not the average of a model's
// parameters: that is `optim.ema`.
import exp from "../../shaders/lib/exp.wgsl";
import source from "../../shaders/movingAverage.wgsl";
import { defineOp } from "../core/op.ts";
import { sameShape } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { wantDtype } from "./axes.ts";
import { loopThreads } from "./threads.ts";

const forward = /* @__PURE__ */ defineKernel(source, { entry: "forward", uses: [exp] });

/**
 * One step of a moving average that starts at 0 (`hk.ExponentialMovingAverage`, with `zero_debias`):
 * `{ nextCounter, nextHidden, average }`: `counter + 1`, `hidden * decay + value * (1 - decay)`, and
 * the latter over `1 - decay^nextCounter`.
 *
 * value and hidden f32 of one shape, counter f32 of one element (exact up to 2^24 steps). It has no
 * gradient: give it a stopGradient where a gradient is taken.
 *
 * @throws ShapeError, also for a decay that is not in [0, 1)
 */
export const movingAverage = /* @__PURE__ */ defineOp({
  name: "movingAverage",
  inputs: ["value", "counter", "hidden"],
  outputs: ["nextCounter", "nextHidden", "average"],
  shape: ({ value, counter, hidden }, { decay }: { decay: number }) => {
    wantDtype("movingAverage", "value", value, "f32");
    wantDtype("movingAverage", "counter", counter, "f32");
    wantDtype("movingAverage", "hidden", hidden, "f32");
    if (!sameShape(value.shape, hidden.shape))
      throw new ShapeError(`movingAverage: value is [${value.shape}], hidden [${hidden.shape}]`);
    if (counter.size !== 1)
      throw new ShapeError(`movingAverage: counter [${counter.shape}] expects one element`);
    if (!(decay >= 0 && decay < 1))
      throw new ShapeError(`movingAverage: decay ${decay} is not in [0, 1)`);
    return { nextCounter: counter.shape, nextHidden: hidden.shape, average: hidden.shape };
  },
  forward: (run, { value, counter, hidden, nextCounter, nextHidden, average }, { decay }) => {
    const tensors = { value, counter, hidden, nextCounter, nextHidden, nextAverage: average };
    const logDecay = Math.max(Math.log(decay), -80); // decay 0 has no logarithm; e^-80 is nothing beside 1
    const params = { n: value.size, decay, share: 1 - decay, logDecay };
    run(forward, tensors, params, [loopThreads(run, value.size)]);
  },
});
