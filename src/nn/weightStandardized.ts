// Turns a layer of plain convolutions into one of weight-standardized convolutions, whatever the layer does with them.
import type { ParamSpec, Params, SpecTree } from "../core/init.ts";
import { Tensor } from "../core/tensor.ts";
import * as tree from "../core/tree.ts";
import { OptionError } from "../errors.ts";
import { ones } from "./init.ts";
import { type Layer, param } from "./layer.ts";
import { standardized } from "./standardized.ts";

/** The same spec, with a `gain` beside each convolution's `w`. */
export type WeightStandardized<S> = S extends ParamSpec
  ? S
  : { readonly [K in keyof S]: WeightStandardized<S[K]> } & (S extends { readonly w: ParamSpec }
      ? { readonly gain?: ParamSpec }
      : unknown);

export type WeightStandardizedLayer<S, Args extends readonly unknown[], R> = Layer<
  WeightStandardized<S>,
  Args,
  R
> & {
  /** The parameters that the plain layer is called with. */
  readonly plain: (params: Params<WeightStandardized<S>>) => Params<S>;
  readonly names?: Readonly<Record<string, string>>;
};

export interface WeightStandardizedOptions {
  /** Which of the convolutions, by the tree path of their weight (`blocks/0/conv1/w`); default: all. */
  readonly only?: RegExp | ((path: string) => boolean);
  /** The least `var * fan_in` that a weight counts with; default 1e-4. */
  readonly eps?: number;
}

interface Branch {
  readonly [name: string]: SpecTree;
}
const isParam = (node: SpecTree): node is ParamSpec =>
  "init" in node && typeof node.init === "function";
const isList = (node: SpecTree): node is readonly SpecTree[] => Array.isArray(node);

/**
 * A layer like `plain` whose convolutions standardize their weights: each `w` of four axes (HWIO) gets a `gain` of
 * ones beside it, and `plain` is called with `standardize(w, gain)` in its place (`base.py: WSConv2D`; Brock et al.
 * 2021, section 2). Everything else, biases too, stays what it is. `.plain(params)` is that tree, for other members of
 * a model (`model.outputs(ws.plain(params), ...)`); a model's `names` are carried over with the gains'.
 *
 * @throws OptionError where nothing is selected, or a convolution has a `gain` already.
 */
export function weightStandardized<const S extends SpecTree, Args extends readonly unknown[], R>(
  plain: ((params: never, ...args: Args) => R) & {
    readonly spec: S;
    readonly names?: Readonly<Record<string, string>>;
  },
  { only = () => true, eps = 1e-4 }: WeightStandardizedOptions = {},
): WeightStandardizedLayer<S, Args, R> {
  const test = only instanceof RegExp ? (path: string) => path.search(only) >= 0 : only;
  const chosen = new Set<string>();

  function extend(node: SpecTree, path: string): SpecTree {
    if (isParam(node)) return node;
    if (isList(node)) return node.map((child, i) => extend(child, `${path}${i}/`));
    const { w } = node as Branch;
    const own = w && isParam(w) && w.shape.length === 4 && test(`${path}w`);
    if (own && "gain" in node)
      throw new OptionError(`weightStandardized: '${path}w' has a gain beside it already`);
    if (own) chosen.add(`${path}w`);
    const children = Object.entries(node).flatMap(([name, child]: [string, SpecTree]) => {
      const same: [string, SpecTree] = [name, extend(child, `${path}${name}/`)];
      return own && name === "w"
        ? [same, ["gain", param([w.shape[3]!], ones)] as [string, SpecTree]]
        : [same];
    });
    return Object.fromEntries(children);
  }
  const spec = extend(plain.spec, "");
  if (chosen.size === 0)
    throw new OptionError("weightStandardized: no weight of four axes named 'w' is selected");

  /** The same tree without the gains. */
  function stripped(node: unknown, path: string): unknown {
    if (node instanceof Tensor) return node;
    if (Array.isArray(node)) return node.map((child, i) => stripped(child, `${path}${i}/`));
    const own = chosen.has(`${path}w`);
    const children = Object.entries(node as Readonly<Record<string, unknown>>)
      .filter(([name]) => !(own && name === "gain"))
      .map(([name, child]) => [name, stripped(child, `${path}${name}/`)]);
    return Object.fromEntries(children);
  }
  const toPlain = (params: unknown) => {
    const made = standardized(params, { only: (path) => chosen.has(path), eps });
    return stripped(made, "") as never;
  };
  const apply = (params: unknown, ...args: Args): R => {
    const { gpu } = tree.leaves(params)[0]!.tensor;
    return gpu.scope(() => plain(toPlain(params), ...args) as never) as R;
  };
  const names = plain.names && withGains(plain.names, chosen);
  const made = Object.assign(apply, { spec, plain: toPlain, ...(names && { names }) });
  return made as unknown as WeightStandardizedLayer<S, Args, R>;
}

/** `module/gain` after each chosen `module/w`. */
function withGains(names: Readonly<Record<string, string>>, chosen: ReadonlySet<string>) {
  const all = Object.entries(names).flatMap(([path, name]) => {
    if (!chosen.has(path)) return [[path, name]];
    const gain = (text: string) => text.replace(/w$/, "gain");
    return [
      [path, name],
      [gain(path), gain(name)],
    ];
  });
  return Object.fromEntries(all) as Readonly<Record<string, string>>;
}
