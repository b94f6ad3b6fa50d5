// SGD with momentum, weight decay and adaptive gradient clipping, over whole arenas: one dispatch each, and a second
// one where a unit is longer than a workgroup takes alone. Which parameter gets which rule is groups.ts.
import warm from "../../shaders/lib/ema.wgsl";
import source from "../../shaders/sgdAgc.wgsl";
import type { Tree } from "../core/tree.ts";
import { OptionError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { kernelTable, type Optimizer, unitsOver } from "./arena.ts";
import { clippingBlocks, isSubgroup } from "./blocks.ts";
import { checkRule } from "./groups.ts";
import { type CommonOptions, type Method, single } from "./optimizer.ts";

export interface SgdOptions extends CommonOptions {
  /** `m = momentum * m + (1 - dampening) * g`; null (the default): no momentum and no buffer for it. */
  readonly momentum?: number | null;
  readonly dampening?: number;
  /** Steps along `g + momentum * m` instead of `m`. */
  readonly nesterov?: boolean;
}

export interface SgdAgcOptions extends SgdOptions {
  /** The greatest norm of a unit's gradient, as a part of the unit's norm (0.01); null: no clipping. */
  readonly clipping?: number | null;
  /** The least norm that a unit counts with (1e-3), so that units of zeros can move. */
  readonly eps?: number;
}

export interface SgdState<P> {
  readonly momentum?: P;
}

const kernels = /* @__PURE__ */ kernelTable(
  (
    entry: string,
    MOMENTUM: boolean,
    NESTEROV: boolean,
    DAMPENED: boolean,
    EMA: boolean,
    WG: number,
    subgroups: boolean,
  ) => {
    const { uses, enables } = unitsOver(subgroups);
    const knobs = { MOMENTUM, NESTEROV, DAMPENED, EMA, WG };
    return defineKernel(source, { entry, knobs, uses: [...uses, warm], enables });
  },
);

/**
 * SGD. The learning rate is not part of the momentum buffer.
 * Source: `optim.py: SGD`, but for `nesterov`, which there is on whenever it is not None.
 *
 * @throws OptionError for values out of range, groups that select nothing or clip, no parameters, or parameters that
 * share memory; ShapeError for a parameter that is not f32.
 */
export function sgd<P>(params: P & Tree<P>, options: SgdOptions = {}): Optimizer<P, SgdState<P>> {
  return single("sgd", params, options, sgdMethod("sgd", options), {});
}

/**
 * SGD with adaptive gradient clipping: a unit's gradient whose norm exceeds `clipping * max(|w|, eps)` is scaled down
 * to that, before weight decay and momentum. A unit is an output channel of a convolution (HWIO) or a column of a
 * matrix; scalars and vectors are one unit, also as `[1,1,1,n]`. A unit with NaN is not clipped; where the square sum
 * of its gradient overflows it becomes 0.
 * Source: the paper's section 4, `optim.py: SGD_AGC`.
 *
 * @throws as `sgd`; ShapeError also for a clipped parameter of five axes.
 */
export function sgdAgc<P>(
  params: P & Tree<P>,
  options: SgdAgcOptions = {},
): Optimizer<P, SgdState<P>> {
  const { clipping = 0.01, eps = 1e-3 } = options;
  return single("sgdAgc", params, options, sgdMethod("sgdAgc", options), { clipping, eps });
}

/** SGD's rule; clipping is each parameter's own. */
export function sgdMethod(op: string, options: SgdOptions): Method {
  const { momentum = null, dampening = 0, nesterov = false } = options;
  checkRule(op, "momentum", momentum, true);
  checkRule(op, "dampening", dampening, false);
  if (nesterov && momentum === null)
    throw new OptionError(`${op}: nesterov needs a momentum, got momentum=null`);
  const numbers = { momentum: momentum ?? 0, gain: 1 - dampening };
  const rule = [momentum !== null, nesterov, dampening !== 0] as const;
  return {
    state: momentum === null ? {} : { momentum: 0 },
    counts: false,
    prepare(spans, rules, threads) {
      const { words, count, shared, partials } = clippingBlocks(op, spans, rules, threads);
      return ({ gpu, w, ema, averaging, state, unused }) => {
        const blocks = gpu.keep(gpu.tensor(words));
        const partial = gpu.keep(gpu.zeros([4 * Math.max(1, partials)]));
        const one = isSubgroup(gpu.info, threads);
        const switches = [...rule, ema !== null, threads, one] as const;
        const m = momentum === null ? unused[0] : state.momentum!;
        const tensors = { blocks, w, m, ema: ema ?? unused[1], partial };
        const constants = { ...numbers, ...averaging };
        return {
          own: [blocks, partial],
          update({ g, lr, itr }) {
            const given = { ...tensors, g, lr, itr };
            const whole = { ...constants, blocks: count };
            gpu.dispatch(kernels("first", ...switches), given, whole, [count * threads]);
            if (!shared) return;
            const parts = { ...constants, blocks: shared };
            gpu.dispatch(kernels("rest", ...switches), given, parts, [shared * threads]);
          },
        };
      };
    },
  };
}
