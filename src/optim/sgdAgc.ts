// SGD with momentum, weight decay and adaptive gradient clipping, over whole arenas: one dispatch each, and a second
// one where a unit is longer than a workgroup takes alone. Which parameter gets which rule is groups.ts.
import warm from "../../shaders/lib/ema.wgsl";
import source from "../../shaders/sgdAgc.wgsl";
import { dispose, type Tree } from "../core/tree.ts";
import { OptionError } from "../errors.ts";
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import {
  arenasLike,
  checkScalar,
  gradientArenas,
  type Optimizer,
  planOf,
  scalarTensor,
} from "./arena.ts";
import { clippingBlocks, THREADS } from "./blocks.ts";
import { copyLike, type EmaOptions, emaParams, needStep } from "./ema.ts";
import { checkRule, type Group, rulesFor } from "./groups.ts";

export interface SgdOptions {
  /** `m = momentum * m + (1 - dampening) * g`; null (the default): no momentum and no buffer for it. */
  readonly momentum?: number | null;
  readonly dampening?: number;
  /** Steps along `g + momentum * m` instead of `m`. */
  readonly nesterov?: boolean;
  /** Adds `weightDecay * w` to the gradient, after clipping; null (the default): none. */
  readonly weightDecay?: number | null;
  /** Rules for some of the parameters; the first group that matches one decides. */
  readonly groups?: readonly Group[];
  /** Keeps a moving average of the updated parameters. */
  readonly ema?: EmaOptions;
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

interface Kernels {
  readonly first: Kernel;
  readonly rest: Kernel;
}
const variant = (MOMENTUM: boolean, EMA: boolean): Kernels => {
  const knobs = { MOMENTUM, EMA };
  const uses = [warm];
  return {
    first: defineKernel(source, { entry: "first", knobs, uses }),
    rest: defineKernel(source, { entry: "rest", knobs, uses }),
  };
};
const plain = /* @__PURE__ */ variant(false, false);
const withMomentum = /* @__PURE__ */ variant(true, false);
const withEma = /* @__PURE__ */ variant(false, true);
const withBoth = /* @__PURE__ */ variant(true, true);

/**
 * SGD. The learning rate is not part of the momentum buffer.
 * Source: `optim.py: SGD`, but for `nesterov`, which there is on whenever it is not None.
 *
 * @throws OptionError for values out of range, groups that select nothing or clip, no parameters, or parameters that
 * share memory; ShapeError for a parameter that is not f32.
 */
export function sgd<P>(params: P & Tree<P>, options: SgdOptions = {}): Optimizer<P, SgdState<P>> {
  for (const { clipping } of options.groups ?? [])
    if (clipping != null)
      throw new OptionError(`sgd: a group has clipping=${clipping}; use sgdAgc for clipping`);
  return optimizer("sgd", params, { ...options, clipping: null, eps: 0 });
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
  return optimizer("sgdAgc", params, options);
}

function optimizer<P>(
  op: string,
  params: P & Tree<P>,
  options: SgdAgcOptions,
): Optimizer<P, SgdState<P>> {
  const { momentum = null, dampening = 0, nesterov = false, groups = [] } = options;
  const { weightDecay = null, clipping = 0.01, eps = 1e-3 } = options;
  checkRule(op, "momentum", momentum, true);
  checkRule(op, "dampening", dampening, false);
  if (nesterov && momentum === null)
    throw new OptionError(`${op}: nesterov needs a momentum, got momentum=null`);
  const averaging = options.ema ? emaParams(op, options.ema) : { keep: 0, take: 1, warmup: 0 };
  const plan = planOf(op, params);
  const { gpu } = plan;
  const base = { weightDecay, clipping, eps, lrScale: 1 };
  const paths = plan.places.map(({ path }) => path);
  const rules = rulesFor(op, paths, base, groups);
  const tables = plan.arenas.map(({ spans }) => {
    const own = spans.map(({ path }) => rules[paths.indexOf(path)]!);
    return clippingBlocks(op, spans, own);
  });

  // From here on nothing throws for what was given.
  const unused = () => gpu.keep(gpu.zeros([1])); // a shader that names a buffer must be given one
  const zeros = () => gpu.keep<P>(gpu.zerosLike<P>(params) as P & Tree<P>);
  const state: SgdState<P> = momentum === null ? {} : { momentum: zeros() };
  const average = options.ema ? copyLike<P>(gpu, params) : undefined;
  const noMomentum = state.momentum ? null : unused();
  const noEma = average ? null : unused();
  const moments = state.momentum ? arenasLike(plan, state.momentum) : null;
  const averages = average ? arenasLike(plan, average) : null;
  const arenas = plan.arenas.map(({ w }, i) => {
    const { words, count, shared, partials } = tables[i]!;
    const blocks = gpu.keep(gpu.tensor(words));
    const partial = gpu.keep(gpu.zeros([4 * Math.max(1, partials)]));
    const m = moments?.[i] ?? noMomentum!;
    const ema = averages?.[i] ?? noEma!;
    return { tensors: { blocks, w, m, ema, partial }, count, shared };
  });
  const kernels = state.momentum ? (average ? withBoth : withMomentum) : average ? withEma : plain;
  const constants = {
    momentum: momentum ?? 0,
    gain: 1 - dampening,
    nesterov: nesterov ? 1 : 0,
    ...averaging,
  };

  return {
    state,
    ...(average ? { ema: average } : {}),
    update(grads, { lr, step }) {
      needStep(op, averaging, step);
      checkScalar(plan, "lr", lr);
      if (step !== undefined) checkScalar(plan, "step", step);
      gpu.scope<void>(() => {
        const gradients = gradientArenas(plan, grads);
        const rate = scalarTensor(gpu, lr);
        const itr = averaging.warmup ? scalarTensor(gpu, step!) : rate;
        arenas.forEach(({ tensors, count, shared }, i) => {
          const given = { ...tensors, g: gradients[i]!, lr: rate, itr };
          gpu.dispatch(kernels.first, given, { ...constants, blocks: count }, [count * THREADS]);
          if (!shared) return;
          gpu.dispatch(kernels.rest, given, { ...constants, blocks: shared }, [shared * THREADS]);
        });
      });
    },
    dispose() {
      dispose([state, average]);
      for (const { tensors } of arenas) dispose([tensors.blocks, tensors.partial]);
      dispose([noMomentum, noEma]);
    },
  };
}
