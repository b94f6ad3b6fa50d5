// The weight-standardized convolutions of a whole tree of parameters, in one dispatch. What `standardize` computes is
// ops/standardize.ts; which layer then uses the weights is the caller's.
import * as tree from "../core/tree.ts";
import * as ops from "../ops/index.ts";

export interface StandardizedOptions {
  /** Which of them, by the tree path of their weight (`blocks/0/conv1/w`); default: all. */
  readonly only?: (path: string) => boolean;
  /** The least `var * fan_in` that a weight counts with; default 1e-4. */
  readonly eps?: number;
}

/**
 * The same tree with `standardize(w, gain)` in the place of each `w` of four axes (HWIO) that has a `gain` beside it:
 * what a convolution is to be called with, `wsConv2d`'s `ready` among them. The new weights of one arena lie in one
 * buffer, so all of them live as long as one does.
 */
export function standardized<P>(
  params: P,
  { only = () => true, eps = 1e-4 }: StandardizedOptions = {},
): P {
  const found = tree.leaves(params);
  const byPath = new Map(found.map(({ path, tensor }) => [path, tensor]));
  const convs = found.flatMap(({ path, tensor: w }, at) => {
    const gain = /(^|\/)w$/.test(path) && byPath.get(path.replace(/w$/, "gain"));
    return gain && w.shape.length === 4 && only(path) ? [{ at, w, gain }] : [];
  });
  if (convs.length === 0) return params;
  const ys = ops.standardizeAll(
    convs.map(({ w }) => w),
    convs.map(({ gain }) => gain),
    { eps },
  );
  const made = new Map(convs.map(({ at }, i) => [at, ys[i]!]));
  return tree.map(params, (t, i) => made.get(i) ?? t);
}
