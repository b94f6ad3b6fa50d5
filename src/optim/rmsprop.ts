// RMSProp over whole arenas: one dispatch each.
import warm from "../../shaders/lib/ema.wgsl";
import runs from "../../shaders/lib/runs.wgsl";
import source from "../../shaders/rmsprop.wgsl";
import type { Tree } from "../core/tree.ts";
import { OptionError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { kernelTable, type Optimizer } from "./arena.ts";
import { ruledRuns } from "./blocks.ts";
import { checkRule } from "./groups.ts";
import { type CommonOptions, type Method, single } from "./optimizer.ts";

export interface RmspropOptions extends CommonOptions {
  /** What is left of the mean square at each step (0.9). */
  readonly decay?: number;
  /** `m = momentum * m + lr * g / sqrt(rms + eps)`; null (the default): none, and no buffer for it. */
  readonly momentum?: number | null;
  /** Added to the mean square, inside the root (1e-8). */
  readonly eps?: number;
}

export interface RmspropState<P> {
  /** The mean square of the gradient; ones at first. */
  readonly rms: P;
  readonly momentum?: P;
}

const kernels = /* @__PURE__ */ kernelTable((FIRST: boolean, EMA: boolean, WG: number) =>
  defineKernel(source, { entry: "update", knobs: { FIRST, EMA, WG }, uses: [runs, warm] }),
);

/**
 * RMSProp as TensorFlow has it: the mean square starts at ones, eps is inside the root, the learning rate inside the
 * momentum. Source: `optim.py: RMSProp`; its `momentum=None` fails there, and is plain RMSProp here.
 *
 * @throws OptionError for values out of range, groups that select nothing or clip, no parameters, or parameters that
 * share memory; ShapeError for a parameter that is not f32.
 */
export function rmsprop<P>(
  params: P & Tree<P>,
  options: RmspropOptions = {},
): Optimizer<P, RmspropState<P>> {
  const { eps = 1e-8 } = options;
  return single("rmsprop", params, options, rmspropMethod("rmsprop", options), { eps });
}

/** Its rule. */
export function rmspropMethod(op: string, options: RmspropOptions): Method {
  const { decay = 0.9, momentum = null } = options;
  if (!(decay >= 0 && decay <= 1))
    throw new OptionError(`${op}: decay is a number from 0 to 1, got ${decay}`);
  checkRule(op, "momentum", momentum, true);
  const numbers = { decay, blend: 1 - decay, momentum: momentum ?? 0 };
  return {
    state: { rms: 1, ...(momentum !== null && { momentum: 0 }) },
    counts: false,
    prepare(spans, rules, threads) {
      const { words, count } = ruledRuns(spans, rules);
      return ({ gpu, w, ema, averaging, state, unused }) => {
        const table = gpu.keep(gpu.tensor(words));
        const m = momentum === null ? unused[0] : state.momentum!;
        const kernel = kernels(momentum !== null, ema !== null, threads);
        const tensors = { runs: table, w, m, v: state.rms!, ema: ema ?? unused[2] };
        const constants = { ...numbers, ...averaging, runs: count };
        return {
          own: [table],
          update: ({ g, lr, itr }) =>
            gpu.dispatch(kernel, { ...tensors, g, lr, itr }, constants, [count * threads]),
        };
      };
    },
  };
}
