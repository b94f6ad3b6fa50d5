// Sharpness-aware minimization around any optimizer.
import source from "../../shaders/sam.wgsl";
import type { Tensor } from "../core/tensor.ts";
import { dispose, type Tree } from "../core/tree.ts";
import { defineKernel } from "../gpu/kernel.ts";
import * as ops from "../ops/index.ts";
import type { AnyOptimizer } from "./agc.ts";
import { arenasLike, gradientArenas, kernelTable, planOf, type Scalar } from "./arena.ts";
import { plainRuns, threadsOf } from "./blocks.ts";
import { copyLike } from "./ema.ts";
import { checkRule } from "./groups.ts";

export interface SamOptions {
  /** How far uphill the second gradient is taken (0.05). */
  readonly rho?: number;
}

export interface Sam<P> {
  /**
   * One step: gradients here, gradients `rho` uphill, back, and the optimizer's update with the second. `lossAndGrad`
   * is called twice and must read the parameters that the optimizer updates. The value is that of the first call; it
   * lasts until the next update.
   */
  update<V extends Tensor>(
    lossAndGrad: () => { readonly value: V; readonly grads: P },
    rates: { readonly lr: Scalar; readonly step?: Scalar },
  ): Tensor;
  /** Gives back its copy of the parameters and tables; the optimizer stays. */
  dispose(): void;
}

const kernels = /* @__PURE__ */ kernelTable((entry: string, WG: number) =>
  defineKernel(source, { entry, knobs: { WG } }),
);

/**
 * Sharpness-aware minimization (Foret et al. 2021, algorithm 1, p = 2; NFNet-F6 was trained with it): the optimizer
 * gets the gradient at `w + rho * g / |g|`, the norm that of all gradients together. The parameters come back from a
 * copy, bit for bit.
 *
 * @throws OptionError for a rho out of range, no parameters, or parameters that share memory; ShapeError for a
 * parameter that is not f32.
 */
export function sam<P>(
  optimizer: AnyOptimizer<P> & { readonly params: P },
  { rho = 0.05 }: SamOptions = {},
): Sam<P> {
  checkRule("sam", "rho", rho, false);
  const { params } = optimizer;
  const plan = planOf("sam", params);
  const { gpu } = plan;
  const copy = copyLike<P>(gpu, params as P & Tree<P>);
  const copies = arenasLike(plan, copy);
  const threads = threadsOf(gpu.info);
  const tables = plan.arenas.map(({ w, spans }) => {
    const { words, count } = plainRuns(spans);
    const runs = gpu.keep(gpu.tensor(words));
    const partial = gpu.keep(gpu.zeros([count]));
    return { w, runs, partial, count };
  });
  const arenas = plan.arenas.map(({ w }) => w);

  /** Moves the parameters uphill along `grads`. */
  function perturb(grads: P): void {
    const gradients = gradientArenas(plan, grads);
    gpu.assign(copies, arenas as never);
    const sums = tables.map(({ runs, partial, count }, i) => {
      const tensors = { runs, g: gradients[i]!, partial };
      gpu.dispatch(kernels("squares", threads), tensors, { runs: count, rho }, [count * threads]);
      return ops.sum(partial);
    });
    const total = sums.reduce((a, b) => ops.add(a, b));
    tables.forEach(({ w, runs, count }, i) => {
      const tensors = { runs, g: gradients[i]!, w, total };
      gpu.dispatch(kernels("climb", threads), tensors, { runs: count, rho }, [count * threads]);
    });
  }

  type Step = Parameters<Sam<P>["update"]>;
  let given: Step | null = null;
  // A made function, so that its result lasts until the next step; part of the caller's recording where there is one.
  const run = gpu.record(
    (): Tensor => {
      const [lossAndGrad, rates] = given!;
      const first = lossAndGrad();
      // The loss belongs to lossAndGrad's call, which the second one ends.
      const value = ops.add(first.value, 0);
      gpu.scope<void>(() => perturb(first.grads));
      try {
        const { grads } = lossAndGrad();
        gpu.assign(arenas, copies as never);
        optimizer.update(grads, rates);
      } catch (error) {
        gpu.assign(arenas, copies as never);
        throw error;
      }
      return value;
    },
    { name: "sam", replay: false },
  );
  return {
    update(lossAndGrad, rates) {
      given = [lossAndGrad, rates];
      try {
        return run();
      } finally {
        given = null;
      }
    },
    dispose() {
      run.dispose();
      dispose(copy);
      for (const { runs, partial } of tables) dispose([runs, partial]);
    },
  };
}
