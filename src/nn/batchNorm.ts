// Batch normalization as a layer, with the running statistics that evaluation uses: an explicit tree beside the
// parameters. Not the arithmetic: that is `ops.batchNorm`.
import { stopGradient } from "../core/grad.ts";
import type { Initializer, ParamSpec, Params } from "../core/init.ts";
import type { Tensor } from "../core/tensor.ts";
import { OptionError } from "../errors.ts";
import * as ops from "../ops/index.ts";
import { ones, zeros } from "./init.ts";
import { layer, param } from "./layer.ts";

export type BatchNormSpec = { readonly scale?: ParamSpec; readonly offset?: ParamSpec };
/** `hk.ExponentialMovingAverage`: steps, the plain average that starts at 0, and the debiased one. */
export type AverageSpec = {
  readonly counter: ParamSpec;
  readonly hidden: ParamSpec;
  readonly average: ParamSpec;
};
export type BatchNormStateSpec = { readonly meanEma: AverageSpec; readonly varEma: AverageSpec };
/** Running statistics, f32 (the counters too). */
export type BatchNormState = Params<BatchNormStateSpec>;

export interface BatchNormOptions {
  readonly ch: number;
  readonly createScale: boolean;
  readonly createOffset: boolean;
  /** Of the running statistics, in [0, 1). */
  readonly decayRate: number;
  /** Added to the variance; default 1e-5. */
  readonly eps?: number;
  readonly scaleInit?: Initializer | null;
  readonly offsetInit?: Initializer | null;
  /** What statistics are taken over: all axes but the last (null, the default), or all of them. */
  readonly axis?: readonly number[] | null;
  /** Of the inputs; default 4, NHWC. */
  readonly rank?: number;
}

/** How a normalization is called. */
export interface NormMode<S = BatchNormState> {
  /** Training takes the batch's statistics and gives the next running ones; evaluation takes the running ones. */
  readonly train: boolean;
  readonly state: S;
  /** Evaluation takes the batch's statistics, too; the running ones stay as they are. */
  readonly testLocalStats?: boolean;
}

export interface Normalized {
  readonly y: Tensor;
  /** The next running statistics; in evaluation those that were given. */
  readonly state: BatchNormState;
}

function check(options: BatchNormOptions, rank: number): void {
  const { createScale, createOffset, decayRate, eps = 1e-5, axis = null } = options;
  const bad = (what: string) => new OptionError(`batchNorm: ${what}`);
  if (!(decayRate >= 0 && decayRate < 1)) throw bad(`decayRate ${decayRate} is not in [0, 1)`);
  if (!(eps >= 0)) throw bad(`eps ${eps} is not at least 0`);
  if (!createScale && options.scaleInit) throw bad("scaleInit needs createScale");
  if (!createOffset && options.offsetInit) throw bad("offsetInit needs createOffset");
  const wanted = new Set((axis ?? []).map((a) => (a < 0 ? a + rank : a)));
  const leading = Array.from({ length: rank - 1 }, (_, i) => i);
  if (axis && !(leading.every((a) => wanted.has(a)) && [...wanted].every((a) => a < rank))) {
    throw bad(
      `axis [${axis}] expects [${leading}], or all axes: other statistics have the shape of the input`,
    );
  }
}

/**
 * `hk.BatchNorm`: `(params, x, { train, state, testLocalStats? })` -> `{ y, state }`, x and y
 * `[..., ch]`. Parameters and statistics have Haiku's shapes, `[1, 1, 1, ch]` for NHWC. The layer's
 * `stateSpec` makes the statistics: `gpu.init(layer.stateSpec)`; after a training step, write
 * `gpu.assign(state, next)`. No gradient passes through the statistics that are returned.
 * @throws OptionError
 */
export function batchNorm(options: BatchNormOptions) {
  const { ch, createScale, createOffset, decayRate, eps = 1e-5, axis = null, rank = 4 } = options;
  check(options, rank);
  const axes = axis ?? Array.from({ length: rank - 1 }, (_, i) => i);
  const all = axes.length === rank;
  const shape = [...Array(rank - 1).fill(1), all ? 1 : ch] as readonly number[];
  const average: AverageSpec = {
    counter: param([], zeros),
    hidden: param(shape, zeros),
    average: param(shape, zeros),
  };
  const stateSpec: BatchNormStateSpec = { meanEma: average, varEma: average };
  const spec: BatchNormSpec = {
    ...(createScale && { scale: param(shape, options.scaleInit ?? ones) }),
    ...(createOffset && { offset: param(shape, options.offsetInit ?? zeros) }),
  };
  const next = (value: Tensor, { counter, hidden }: BatchNormState["meanEma"]) => {
    const to = ops.movingAverage(stopGradient(value), counter, hidden, { decay: decayRate });
    return { counter: to.nextCounter, hidden: to.nextHidden, average: to.average };
  };
  const apply = layer(spec, (p: Params<BatchNormSpec>, x: Tensor, mode: NormMode): Normalized => {
    const { train, state, testLocalStats = false } = mode;
    const [scale, offset] = [p.scale ?? null, p.offset ?? null];
    if (!state)
      throw new OptionError("batchNorm: no state was given; gpu.init(stateSpec) makes it");
    if (!train && !testLocalStats) {
      const { meanEma, varEma } = state;
      const attrs = { axes, eps };
      const y = ops.batchNormEval(x, meanEma.average, varEma.average, scale, offset, attrs);
      return { y, state };
    }
    const { y, mean, variance } = ops.batchNorm(x, scale, offset, { axes, eps });
    if (!train) return { y, state };
    return {
      y,
      state: { meanEma: next(mean, state.meanEma), varEma: next(variance, state.varEma) },
    };
  });
  return Object.assign(apply, { stateSpec });
}
