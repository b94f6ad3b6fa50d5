// What a layer is: a function of parameters and inputs that carries the spec of its parameters.
// Not a class, and no state: `gpu.init(layer.spec, { seed })` makes the parameters.
import type { Initializer, ParamSpec, Params, SpecTree } from "../core/init.ts";
import type { Shape } from "../core/tensor.ts";

export type Apply<S, Args extends readonly unknown[], R> = (params: Params<S>, ...args: Args) => R;
export type Layer<S, Args extends readonly unknown[], R> = Apply<S, Args, R> & { readonly spec: S };

/** A layer from its spec (nested objects and arrays of `param(...)`) and what it does. */
export function layer<const S extends SpecTree, Args extends readonly unknown[], R>(
  spec: S,
  apply: Apply<S, Args, R>,
): Layer<S, Args, R> {
  const own = apply.bind(null) as Apply<S, Args, R>; // a function of its own: `apply` may be in use elsewhere
  return Object.assign(own, { spec });
}

/**
 * A parameter: shape, initializer, and the number of keys that a training pass draws right before
 * Haiku would create it (`draws`), which `gpu.init` skips to arrive at the reference's values.
 */
export const param = (
  shape: Shape,
  init: Initializer,
  { draws = 0 }: { readonly draws?: number } = {},
): ParamSpec => ({ shape, init, draws });
