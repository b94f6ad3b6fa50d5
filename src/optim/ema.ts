// The exponential moving average of a tree of tensors: its options, and the average that stands alone.
// Optimizers fuse it into their update, so that parameters are read once.
import source from "../../shaders/ema.wgsl";
import warm from "../../shaders/lib/ema.wgsl";
import type { Gpu } from "../core/gpu.ts";
import type { Given } from "../core/host.ts";
import { dispose, type Tree } from "../core/tree.ts";
import { OptionError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import {
  arenasLike,
  checkScalar,
  kernelTable,
  planOf,
  type Scalar,
  scalarTensor,
} from "./arena.ts";
import { plainRuns, threadsOf } from "./blocks.ts";

export interface EmaOptions {
  /** From 0 to 1: what is left of the average at each step. The NFNet experiments use 0.99999. */
  readonly decay: number;
  /** `min(decay, (1 + step) / (10 + step))` instead (true): early averages then forget the initial values. */
  readonly warmup?: boolean;
}

/** The average's part of a kernel's Params. */
export interface EmaParams {
  readonly keep: number;
  readonly take: number;
  readonly warmup: number;
}

/** @throws OptionError for a decay outside 0 to 1. */
export function emaParams(op: string, { decay, warmup = true }: EmaOptions): EmaParams {
  if (!(decay >= 0 && decay <= 1))
    throw new OptionError(`${op}: ema decay is a number from 0 to 1, got ${decay}`);
  return { keep: decay, take: 1 - decay, warmup: warmup ? 1 : 0 };
}

/** @throws OptionError where a warm-up has no step. */
export function needStep(op: string, { warmup }: EmaParams, step: Scalar | undefined): void {
  if (warmup && step === undefined)
    throw new OptionError(
      `${op}: the average's warm-up needs update(..., { step }), or ema: { warmup: false }`,
    );
}

/** A copy of a tree in arenas of its own, the caller's. */
export function copyLike<P>(gpu: Gpu, params: P & Tree<P>): P {
  const copy = gpu.keep<P>(gpu.zerosLike<P>(params) as P & Tree<P>);
  gpu.assign<P>(copy as P & Tree<P>, params as Given<P>);
  return copy;
}

export interface Ema<P> {
  /** The average, with the structure of the parameters; at first a copy of them. */
  readonly params: P;
  /**
   * Moves the average towards the parameters as they are now: call it after the optimizer's update.
   * @throws OptionError without the `step` (0-based) that a warm-up needs, or for one that is not finite.
   */
  update(at?: { readonly step?: Scalar }): void;
  /** Gives back the average. */
  dispose(): void;
}

const average = /* @__PURE__ */ kernelTable((WG: number) =>
  defineKernel(source, { entry: "average", knobs: { WG }, uses: [warm] }),
);

/**
 * `ema = ema * decay + params * (1 - decay)`, for any tree of f32 tensors (running statistics, too), in one dispatch
 * an arena. Source: `utils.py: ema` and, with `warmup`, `tf1_ema`.
 *
 * @throws OptionError, ShapeError as `sgd`.
 */
export function ema<P>(params: P & Tree<P>, options: EmaOptions): Ema<P> {
  const plan = planOf("ema", params);
  const { gpu } = plan;
  const { keep, take, warmup } = emaParams("ema", options);
  const averages = copyLike<P>(gpu, params);
  const targets = arenasLike(plan, averages);
  const threads = threadsOf(gpu.info);
  const tables = plan.arenas.map(({ spans }) => {
    const { words, count } = plainRuns(spans);
    return { runs: gpu.keep(gpu.tensor(words)), count };
  });
  return {
    params: averages,
    update({ step } = {}) {
      needStep("ema", { keep, take, warmup }, step);
      if (step !== undefined) checkScalar(plan, "step", step);
      gpu.scope<void>(() => {
        const itr = scalarTensor(gpu, step ?? 0);
        plan.arenas.forEach(({ w }, i) => {
          const { runs, count } = tables[i]!;
          const tensors = { runs, w, ema: targets[i]!, itr };
          const params = { runs: count, decay: keep, take, warmup };
          gpu.dispatch(average(threads), tensors, params, [count * threads]);
        });
      });
    },
    dispose() {
      dispose(averages);
      for (const { runs } of tables) runs.dispose();
    },
  };
}
