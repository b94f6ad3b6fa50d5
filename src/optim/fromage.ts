// Fromage over whole arenas: two dispatches each.
import source from "../../shaders/fromage.wgsl";
import warm from "../../shaders/lib/ema.wgsl";
import type { Tree } from "../core/tree.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { kernelTable, type Optimizer } from "./arena.ts";
import { partedRuns } from "./blocks.ts";
import { type CommonOptions, type Method, single } from "./optimizer.ts";

export interface FromageOptions extends CommonOptions {
  /** The least norm that a parameter or its gradient counts with (1e-5), so that zeros can move. */
  readonly eps?: number;
}

const kernels = /* @__PURE__ */ kernelTable((entry: string, EMA: boolean, WG: number) =>
  defineKernel(source, { entry, knobs: { EMA, WG }, uses: [warm] }),
);

/**
 * Fromage (Bernstein et al. 2020): `w = (w - lr * g * |w| / |g|) / sqrt(1 + lr^2)`, the norms those of each whole
 * parameter. Source: `optim.py: Fromage`.
 *
 * @throws OptionError for values out of range, groups that select nothing or clip, no parameters, or parameters that
 * share memory; ShapeError for a parameter that is not f32.
 */
export function fromage<P>(
  params: P & Tree<P>,
  options: FromageOptions = {},
): Optimizer<P, Record<never, never>> {
  const { eps = 1e-5 } = options;
  return single("fromage", params, options, fromageMethod(), { eps });
}

/** Its rule. */
export const fromageMethod = (): Method => ({
  state: {},
  counts: false,
  prepare(spans, rules, threads) {
    const { words, count } = partedRuns(spans, rules);
    return ({ gpu, w, ema, averaging, unused }) => {
      const table = gpu.keep(gpu.tensor(words));
      const partial = gpu.keep(gpu.zeros([2 * count]));
      const tensors = { runs: table, w, ema: ema ?? unused[2], partial };
      const constants = { ...averaging, runs: count };
      return {
        own: [table, partial],
        update({ g, lr, itr }) {
          const given = { ...tensors, g, lr, itr };
          for (const entry of ["sums", "update"])
            gpu.dispatch(kernels(entry, ema !== null, threads), given, constants, [
              count * threads,
            ]);
        },
      };
    };
  },
});
