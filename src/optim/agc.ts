// Adaptive gradient clipping by itself: before any optimizer, and of a tree of gradients. sgdAgc.ts has it fused.
import source from "../../shaders/agc.wgsl";
import type { Tensor } from "../core/tensor.ts";
import { dispose, type Tree } from "../core/tree.ts";
import { OptionError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import * as ops from "../ops/index.ts";
import {
  arenasLike,
  gradientArenas,
  kernelTable,
  type Optimizer,
  planOf,
  unitsOver,
} from "./arena.ts";
import { clippingBlocks, isSubgroup, threadsOf } from "./blocks.ts";
import { checkRule, type Rules } from "./groups.ts";

export interface AgcOptions {
  /** The greatest norm of a unit's gradient, as a part of the unit's norm (0.01). */
  readonly clipping?: number;
  /** The least norm that a unit counts with (1e-3). */
  readonly eps?: number;
  /**
   * Parameters that are not clipped: by tree path (`linear/w`), by a part of the tree (`linear`: all below it), or by a
   * pattern.
   */
  readonly ignore?: readonly (string | RegExp)[];
  /**
   * "optim" (the default) clips where the gradient's norm is greater than the most, as `optim.py: SGD_AGC`; "optax"
   * keeps only where it is less, as `agc_optax.py: adaptive_grad_clip`: a norm that is equal or NaN clips.
   */
  readonly rule?: "optim" | "optax";
}

const kernels = /* @__PURE__ */ kernelTable(
  (entry: string, OPTAX: boolean, WG: number, subgroups: boolean) =>
    defineKernel(source, { entry, knobs: { OPTAX, WG }, ...unitsOver(subgroups) }),
);

/** Which parameters an ignore list leaves. @throws OptionError for an entry that matches nothing. */
function ignored(paths: readonly string[], list: readonly (string | RegExp)[]): Set<string> {
  const out = new Set<string>();
  for (const entry of list) {
    const found = paths.filter((path) =>
      typeof entry === "string"
        ? path === entry || path.startsWith(`${entry}/`)
        : path.search(entry) >= 0,
    );
    if (found.length === 0) {
      const some = `${paths.slice(0, 4).join(", ")}${paths.length > 4 ? ", ..." : ""}`;
      throw new OptionError(`agc: ignore: '${entry}' matches no parameter; there are ${some}`);
    }
    for (const path of found) out.add(path);
  }
  return out;
}

/** Clips trees of gradients. */
export interface Clipper<P> {
  /**
   * The clipped gradients, a tree like the parameters; it lasts until the next call. `grads` is not changed.
   * @throws as `Optimizer.update`.
   */
  (grads: P): P;
  /** Gives back its memory, the last result too. */
  dispose(): void;
}

/**
 * Unit-wise adaptive gradient clipping as a function of gradients: each unit whose gradient's norm exceeds
 * `clipping * max(|w|, eps)` is scaled down to that. Units are those of `sgdAgc`. One dispatch an arena, and a second
 * one where a unit is longer than a workgroup takes alone.
 * Source: the paper's section 4, `optim.py: SGD_AGC`, `agc_optax.py: adaptive_grad_clip`.
 *
 * @throws OptionError for values out of range, an ignore entry that matches nothing, no parameters, or parameters that
 * share memory; ShapeError for a parameter that is not f32, or has five axes.
 */
export function adaptiveGradClip<P>(params: P & Tree<P>, options: AgcOptions = {}): Clipper<P> {
  const { clipping = 0.01, eps = 1e-3, ignore = [], rule = "optim" } = options;
  checkRule("agc", "clipping", clipping, false);
  checkRule("agc", "eps", eps, false);
  if (rule !== "optim" && rule !== "optax")
    throw new OptionError(`agc: rule '${rule}' is none of optim, optax`);
  const plan = planOf("agc", params);
  const { gpu } = plan;
  const free = ignored(
    plan.places.map(({ path }) => path),
    ignore,
  );
  const clipped: Rules = { weightDecay: null, clipping, eps, lrScale: 1 };
  const threads = threadsOf(gpu.info);
  const tables = plan.arenas.map(({ spans }) =>
    clippingBlocks(
      "agc",
      spans,
      spans.map(({ path }) => (free.has(path) ? { ...clipped, clipping: null } : clipped)),
      threads,
    ),
  );

  const result = gpu.keep<P>(gpu.zerosLike<P>(params) as P & Tree<P>);
  const targets = arenasLike(plan, result);
  const switches = [rule === "optax", threads, isSubgroup(gpu.info, threads)] as const;
  const first = kernels("first", ...switches);
  const rest = kernels("rest", ...switches);
  const arenas = plan.arenas.map(({ w }, i) => {
    const { words, count, shared, partials } = tables[i]!;
    const blocks = gpu.keep(gpu.tensor(words));
    const partial = gpu.keep(gpu.zeros([4 * Math.max(1, partials)]));
    return { tensors: { blocks, w, y: targets[i]!, partial }, count, shared };
  });
  const clip = (grads: P): P => {
    gpu.scope<void>(() => {
      const gradients = gradientArenas(plan, grads);
      arenas.forEach(({ tensors, count, shared }, i) => {
        const given = { ...tensors, g: gradients[i]! };
        gpu.dispatch(first, given, { blocks: count }, [count * threads]);
        if (shared) gpu.dispatch(rest, given, { blocks: shared }, [shared * threads]);
      });
    });
    return result;
  };
  return Object.assign(clip, {
    dispose() {
      dispose(result);
      for (const { tensors } of arenas) dispose([tensors.blocks, tensors.partial]);
    },
  });
}

/** What AGC needs of an optimizer: ours, or yours. */
export type AnyOptimizer<P> = Pick<Optimizer<P>, "params" | "update">;

/**
 * The optimizer with AGC in front of it: its gradients are clipped, everything else, state and average too, is its own.
 * For SGD `sgdAgc` does the same in one pass.
 *
 * @throws as `adaptiveGradClip`.
 */
export function agc<P, O extends AnyOptimizer<P>>(
  optimizer: O & { readonly params: P },
  options: AgcOptions = {},
): O {
  const clip = adaptiveGradClip<P>(optimizer.params as P & Tree<P>, options);
  return {
    ...optimizer,
    update: (grads: P, rates: Parameters<O["update"]>[1]) => optimizer.update(clip(grads), rates),
    dispose() {
      clip.dispose();
      (optimizer as { dispose?(): void }).dispose?.();
    },
  };
}

const SMALLEST = 2 ** -126; // of the normal f32

/**
 * The norm of each unit of a parameter, or of its gradient, with the axes that it sums kept as 1: over H, W and I for
 * four axes, over the first for two and three, over everything (a scalar) where at most one axis is longer than 1.
 * Source: `optim.py: unitwise_norm`.
 *
 * @throws ShapeError for five axes and more.
 */
export function unitwiseNorm(x: Tensor): Tensor {
  const { gpu, shape } = x;
  return gpu.scope(() => {
    const exact = ops.square(x);
    const squares = ops.where(ops.less(exact, SMALLEST), 0, exact); // subnormal: 0 on every adapter, as in JAX
    if (shape.filter((d) => d !== 1).length <= 1) return ops.sqrt(ops.sum(squares));
    const axis = shape.length === 4 ? [0, 1, 2] : [0];
    return ops.sqrt(ops.sum(squares, { axis, keepDims: true }));
  });
}
