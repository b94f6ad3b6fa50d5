// Between host data and the engine: inputs to tensors, parameters with a case's values, results back by name.
import {
  FormatError,
  type Gpu,
  type HostArray,
  type ParamSpec,
  type Params,
  type SpecTree,
  type Tensor,
  tree,
  vjp,
} from "../src/index.ts";
import { fillParameter } from "./fill.ts";
import type { Case, Input } from "./goldens.ts";
import type { Actual } from "./judge.ts";

/** Tree path of a parameter -> its Haiku name. */
export type Names = Readonly<Record<string, string>>;

/** An input of the case on the device; signed integers as u32, which must not be negative. */
export function tensor(gpu: Gpu, given: Case, name: string): Tensor {
  return gpu.tensor(asHostArray(input(given, name).data, name), input(given, name).shape);
}

/** @throws FormatError if the case has no such input. */
export function input(given: Case, name: string): Input {
  const found = Object.hasOwn(given.in, name) ? given.in[name] : undefined;
  if (!found) throw new FormatError(`the case has no input ${name}`);
  return found;
}

function asHostArray(data: Input["data"], name: string): HostArray {
  if (!(data instanceof Int32Array)) return data;
  if (data.some((v) => v < 0)) throw new FormatError(`input ${name} has negative integers`);
  return Uint32Array.from(data);
}

/** Haiku's name of the outermost module: the first part of the parameters' names. */
export function moduleOf(given: Case, otherwise: string): string {
  const first = Object.keys(given.in).find((name) => name.startsWith("p/"));
  return first?.split("/")[1] ?? otherwise;
}

/** @throws FormatError for inputs that nobody asked for: a name, or `p/` for all parameters. */
export function onlyInputs(given: Case, known: readonly string[]): void {
  const unknown = Object.keys(given.in).filter(
    (name) => !known.some((k) => (k.endsWith("/") ? name.startsWith(k) : name === k)),
  );
  if (unknown.length) throw new FormatError(`unknown input ${unknown.join(", ")}`);
}

/** Runs `make` and reads back what it returns; all memory is given back. */
export async function compute(
  gpu: Gpu,
  make: () => Readonly<Record<string, Tensor>>,
): Promise<Record<string, Actual>> {
  const made = gpu.scope(make);
  const read = gpu.read(made);
  tree.dispose(made);
  return await read;
}

const isParam = (node: SpecTree): node is ParamSpec =>
  "init" in node && typeof node.init === "function";

/** The same specification with initial values from a case: its listed inputs `p/<name>`, or its seed's fill rule. */
export function withCaseValues<S extends SpecTree>(spec: S, names: Names, given: Case): S {
  const listed = Object.keys(given.in).filter((name) => name.startsWith("p/"));
  const mine = new Set(Object.values(names).map((name) => `p/${name}`));
  const extra = listed.filter((name) => !mine.has(name));
  if (extra.length) throw new FormatError(`our model has no parameter ${extra.join(", ")}`);
  const values = (path: string, shape: readonly number[]) => {
    const name = names[path];
    if (name === undefined) throw new FormatError(`no Haiku name for our parameter ${path}`);
    if (given.seed !== null) return fillParameter(given.seed, name, shape);
    const { data, shape: theirs } = input(given, `p/${name}`);
    if (`${theirs}` !== `${shape}`) {
      throw new FormatError(`parameter ${name} is [${theirs}], ours is [${shape}]`);
    }
    return data as Float32Array<ArrayBuffer>;
  };
  const walk = (node: SpecTree, path: string): SpecTree => {
    if (isParam(node)) {
      const init = Object.assign(() => values(path, node.shape), { random: false });
      return { shape: node.shape, init };
    }
    const under = (key: string) => (path ? `${path}/${key}` : key);
    if (Array.isArray(node)) return node.map((sub: SpecTree, i) => walk(sub, under(String(i))));
    const entries = Object.entries(node as Record<string, SpecTree>);
    return Object.fromEntries(entries.map(([key, sub]) => [key, walk(sub, under(key))]));
  };
  return walk(spec, "") as S;
}

/** A tree's tensors under `prefix` + their Haiku names. */
export function byName(names: Names, params: unknown, prefix = ""): Record<string, Tensor> {
  const named = tree.leaves(params).map(({ path, tensor: t }) => [`${prefix}${names[path]}`, t]);
  return Object.fromEntries(named) as Record<string, Tensor>;
}

/** What a layer's case is differentiated by; the type of the parameters is the layer's business. */
interface Inputs {
  readonly params: Readonly<Record<string, Tensor>> | null;
  readonly x: Tensor;
}

/** What a layer's function computes in one application: its value, and others beside it. */
export interface Applied {
  readonly value: Tensor;
  readonly beside?: Readonly<Record<string, Tensor>>;
}

/**
 * A layer's case: the value (as `y`), what is beside it, and the gradients by `x` and the parameters for the
 * cotangent `ct`, or for 1 without one.
 */
export async function applyLayer<S extends SpecTree>(
  gpu: Gpu,
  given: Case,
  { spec, names }: { readonly spec: S; readonly names: Names },
  apply: (params: Params<S>, x: Tensor) => Applied,
  valueName = "y",
): Promise<Record<string, Actual>> {
  const hasParams = Object.keys(names).length > 0;
  // Typed as an empty tree: the type of a generic layer's parameters is too deep for the compiler.
  const valued = withCaseValues(spec, names, given) as Record<never, never>;
  const params = hasParams ? gpu.init(valued) : null;
  try {
    return await compute(gpu, () => {
      const pull = vjp((p: Inputs) => {
        const { value, beside = {} } = apply(p.params as unknown as Params<S>, p.x);
        return [value, beside] as const;
      });
      const at: Inputs = { params: params as Inputs["params"], x: tensor(gpu, given, "x") };
      const ct = "ct" in given.in ? tensor(gpu, given, "ct") : gpu.tensor([1], []);
      const { value, grads, aux } = pull(at, ct);
      return {
        [valueName]: value,
        ...aux,
        "d/x": grads.x,
        ...(hasParams ? byName(names, grads.params, "d/p/") : {}),
      };
    });
  } finally {
    if (params) tree.dispose(params);
  }
}
