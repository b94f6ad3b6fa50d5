// Adam and AdamW over whole arenas: one dispatch each, and one for all that counts the step.
import source from "../../shaders/adam.wgsl";
import warm from "../../shaders/lib/ema.wgsl";
import exp from "../../shaders/lib/exp.wgsl";
import runs from "../../shaders/lib/runs.wgsl";
import type { Tensor } from "../core/tensor.ts";
import type { Tree } from "../core/tree.ts";
import { OptionError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { kernelTable, type Optimizer } from "./arena.ts";
import { ruledRuns } from "./blocks.ts";
import { type CommonOptions, type Method, single } from "./optimizer.ts";

export interface AdamOptions extends CommonOptions {
  /** What is left of the gradient's average at each step (0.9); null: no average, and no buffer for it. */
  readonly beta1?: number | null;
  /** The same for the square's (0.999); null: the step is divided by `|gradient| + eps`. */
  readonly beta2?: number | null;
  /** Added to the root (1e-8). */
  readonly eps?: number;
}

export interface AdamState<P> {
  readonly expAvg?: P;
  readonly expAvgSq?: P;
  /** Steps taken: one f32 on the device. */
  readonly step: Tensor;
}

const kernels = /* @__PURE__ */ kernelTable(
  (FIRST: boolean, SECOND: boolean, EMA: boolean, DECOUPLED: boolean, WG: number) =>
    defineKernel(source, {
      entry: "update",
      knobs: { FIRST, SECOND, EMA, DECOUPLED, WG },
      uses: [runs, warm, exp],
    }),
);

/**
 * Adam (Kingma & Ba 2015), with the bias corrections of the step's number. Source: `optim.py: Adam`, but that a scalar
 * parameter keeps its shape.
 *
 * @throws OptionError for values out of range, groups that select nothing or clip, no parameters, or parameters that
 * share memory; ShapeError for a parameter that is not f32.
 */
export function adam<P>(
  params: P & Tree<P>,
  options: AdamOptions = {},
): Optimizer<P, AdamState<P>> {
  const { eps = 1e-8 } = options;
  return single("adam", params, options, adamMethod("adam", options), { eps });
}

/**
 * Adam with decoupled weight decay (Loshchilov & Hutter 2019): the parameter shrinks by `lr * weightDecay` first, and
 * the averages know nothing of it. Source: `optim.py: Adam(use_adamw=True)`.
 *
 * @throws as `adam`.
 */
export function adamw<P>(
  params: P & Tree<P>,
  options: AdamOptions = {},
): Optimizer<P, AdamState<P>> {
  const { eps = 1e-8 } = options;
  return single("adamw", params, options, adamMethod("adamw", options), { eps });
}

/** @throws OptionError unless `beta` is null or a number from 0 to below 1. */
function checkBeta(op: string, name: string, beta: number | null): void {
  if (beta === null || (beta >= 0 && beta < 1)) return;
  throw new OptionError(`${op}: ${name} is null or a number from 0 to below 1, got ${beta}`);
}

/** The rule of both. */
export function adamMethod(op: "adam" | "adamw", options: AdamOptions): Method {
  const { beta1 = 0.9, beta2 = 0.999 } = options;
  checkBeta(op, "beta1", beta1);
  checkBeta(op, "beta2", beta2);
  const numbers = {
    beta1: beta1 ?? 0,
    take1: 1 - (beta1 ?? 0),
    log1: logOf(beta1),
    beta2: beta2 ?? 0,
    take2: 1 - (beta2 ?? 0),
    log2: logOf(beta2),
  };
  return {
    state: { ...(beta1 !== null && { expAvg: 0 }), ...(beta2 !== null && { expAvgSq: 0 }) },
    counts: true,
    prepare(spans, rules, threads) {
      const { words, count } = ruledRuns(spans, rules);
      return ({ gpu, w, ema, averaging, state, unused }) => {
        const table = gpu.keep(gpu.tensor(words));
        const m = beta1 === null ? unused[0] : state.expAvg!;
        const v = beta2 === null ? unused[1] : state.expAvgSq!;
        const switches = [beta1 !== null, beta2 !== null, ema !== null, op === "adamw"] as const;
        const kernel = kernels(...switches, threads);
        const tensors = { runs: table, w, m, v, ema: ema ?? unused[2] };
        const constants = { ...numbers, ...averaging, runs: count };
        return {
          own: [table],
          update: ({ g, scalars }) =>
            gpu.dispatch(kernel, { ...tensors, g, scalars }, constants, [count * threads]),
        };
      };
    },
  };
}

/** log(beta) for `1 - beta^step`; of 0 something whose powers are 0. */
const logOf = (beta: number | null): number => (beta ? Math.log(beta) : -100);
