// An op is a value: shape rule, forward, backward. Everything goes by name; `saves` decides what backward may see.
import { DeviceError, ShapeError, TapeError } from "../errors.ts";
import type { Run } from "./dispatch.ts";
import { checkShape } from "./host.ts";
import type { Tape } from "./tape.ts";
import { type DType, type Shape, sizeOf, Tensor } from "./tensor.ts";
import { isTensor } from "./walk.ts";

/** `"bias?"` may be left out, `"...xs"` is a list of tensors. */
type NameOf<K> = K extends `${infer N}?` ? N : K extends `...${infer N}` ? N : K;
type ValueOf<K> = K extends `${string}?`
  ? Tensor | null
  : K extends `...${string}`
    ? readonly Tensor[]
    : Tensor;
type Named<I extends readonly string[]> = {
  readonly [K in I[number] as NameOf<K> & string]: ValueOf<K>;
};
type Outs<O extends readonly string[]> = { readonly [K in O[number]]: Tensor };
type Douts<O extends readonly string[]> = { readonly [K in O[number] as `d${K}`]: Tensor };
/** `dx` for an input `x`: null where no gradient is wanted, which cannot be when there is only one input. */
type Wanted<I extends readonly string[]> = {
  readonly [K in I[number] as `d${NameOf<K> & string}`]: K extends `...${string}`
    ? readonly (Tensor | null)[]
    : I["length"] extends 1
      ? Tensor
      : Tensor | null;
};
type Saved<I extends readonly string[], O extends readonly string[], S extends string> = {
  readonly [K in Extract<keyof (Named<I> & Outs<O>), S>]: (Named<I> & Outs<O>)[K];
};

type OutShape = Shape | { readonly shape: Shape; readonly dtype: DType };
/** One output: its shape. Several: each by name, with a dtype where it is not f32. */
export type Shapes<O extends readonly string[]> = O["length"] extends 1
  ? OutShape
  : { readonly [K in O[number]]: OutShape };
export type Outputs<O extends readonly string[]> = O["length"] extends 1 ? Tensor : Outs<O>;

export interface OpSpec<
  I extends readonly string[],
  A,
  S extends string,
  O extends readonly string[],
> {
  readonly name: string;
  /** Names of the inputs; `"bias?"` may be left out (its tensor is null), `"...xs"` is a list. */
  readonly inputs: I;
  /** Names of the outputs; default `["y"]`. */
  readonly outputs?: O;
  /** Checks inputs and attributes (ShapeError), and gives the shape of each output. */
  readonly shape: (inputs: Named<I>, attrs: A) => Shapes<O>;
  /** Writes each output completely. */
  readonly forward: (run: Run, tensors: Named<I> & Outs<O>, attrs: A) => void;
  /** What backward reads; default: all inputs. */
  readonly saves?: readonly (S & (NameOf<I[number]> | O[number]))[];
  /** Inputs whose gradient is the first output's gradient itself. */
  readonly passes?: readonly NameOf<I[number]>[];
  /** Writes each wanted gradient completely. The tape adds gradients up; a rule never does. */
  readonly backward?: (run: Run, tensors: Saved<I, O, S> & Douts<O> & Wanted<I>, attrs: A) => void;
  /** The plain composition: the second oracle, and the gradient where there is no `backward`. One output only. */
  readonly reference?: (inputs: Named<I>, attrs: A) => Tensor;
}

type Lists<I extends readonly string[]> =
  | {
      -readonly [K in keyof I]: I[K] extends `${string}?`
        ? Tensor | null | undefined
        : ValueOf<I[K]>;
    }
  | (I extends readonly [...infer H extends string[], `${string}?`] ? Lists<H> : never);
type WithAttrs<L, A> = L extends readonly unknown[]
  ? unknown extends A
    ? L
    : Partial<A> extends A
      ? [...L, attrs?: A]
      : [...L, attrs: A]
  : never;
/** Positional tensors, then the attributes. */
export type Op<I extends readonly string[], A, O extends readonly string[]> = (
  ...args: WithAttrs<Lists<I>, A>
) => Outputs<O>;

export type Value = Tensor | null | readonly Tensor[];
/** An op with its types forgotten: what a tape stores. */
export interface AnyOp {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly saves: readonly string[];
  readonly passes: readonly string[];
  readonly backward: ((run: Run, tensors: Record<string, unknown>, attrs: unknown) => void) | null;
  readonly reference: ((inputs: Record<string, Value>, attrs: unknown) => Tensor) | null;
}

/** The tensors of a value: none, one or several. */
export const tensorsOf = (value: Value): readonly Tensor[] =>
  value === null ? [] : value instanceof Tensor ? [value] : value;
export const mapValue = (value: Value, f: (t: Tensor, i: number) => Tensor): Value =>
  value === null ? null : value instanceof Tensor ? f(value, 0) : value.map(f);

const bare = (input: string): string => input.replace(/^\.\.\.|\?$/g, "");
const what = (x: unknown): string =>
  x === null
    ? "null"
    : Array.isArray(x)
      ? "a list"
      : x instanceof Tensor
        ? "a tensor"
        : `a ${typeof x}`;

/** Sorts a call's arguments by input name. An attributes object may stand where an optional tensor was left out. */
function bind(op: AnyOp, specs: readonly string[], args: readonly unknown[]) {
  const values: Record<string, Value> = {};
  let at = 0;
  specs.forEach((spec, i) => {
    const name = op.inputs[i]!;
    const arg = args[at];
    if (spec.endsWith("?")) {
      const given = arg instanceof Tensor;
      if (given || arg === null || arg === undefined) at++;
      values[name] = given ? arg : null;
      return;
    }
    at++;
    if (spec.startsWith("...")) {
      if (!Array.isArray(arg) || arg.length === 0 || !arg.every(isTensor)) {
        throw new ShapeError(`${op.name}: '${name}' is ${what(arg)}, expected a list of tensors`);
      }
      values[name] = arg;
    } else if (arg instanceof Tensor) values[name] = arg;
    else throw new ShapeError(`${op.name}: '${name}' is ${what(arg)}, expected a tensor`);
  });
  const attrs = args[at] ?? {};
  if (args.length > at + 1 || typeof attrs !== "object" || attrs instanceof Tensor) {
    throw new ShapeError(
      `${op.name}: expected (${specs.join(", ")}, attributes), got ${args.map(what).join(", ")}`,
    );
  }
  return { values, attrs };
}

/**
 * Runs the checks of an op's call. What they stumble over (a string where they walk a list) is an error of the call: a
 * ShapeError that says so.
 */
export function checked<R>(op: string, attrs: unknown, checks: () => R): R {
  try {
    return checks();
  } catch (cause) {
    if (!(cause instanceof TypeError || cause instanceof RangeError)) throw cause;
    const given = JSON.stringify(attrs) ?? String(attrs);
    throw new ShapeError(`${op}: attributes ${given} do not fit its inputs: ${cause.message}`, {
      cause,
    });
  }
}

/** Checks that all tensors can be used together; the tape that they are on, if any. */
function tapeOf(op: AnyOp, values: Record<string, Value>): Tape | null {
  let tape: Tape | null = null;
  let first: Tensor | null = null;
  for (const name of op.inputs) {
    for (const t of tensorsOf(values[name]!)) {
      t.check(op.name);
      first ??= t;
      if (t.gpu !== first.gpu)
        throw new DeviceError(`${op.name}: '${name}' belongs to another gpu`);
      if (!t.node) continue;
      if (tape && tape !== t.node.tape) {
        throw new TapeError(
          `${op.name}: '${name}' belongs to an outer gradient; second derivatives are not supported`,
        );
      }
      tape = t.node.tape;
      tape.check(op.name);
    }
  }
  return tape;
}

/**
 * Makes an op from its rules. The op is a function of its tensors, then one object of attributes.
 *
 * @throws (the op) ShapeError, ReleasedError, DeviceError, TapeError, KernelError or LimitError, before any GPU work.
 */
export function defineOp<
  const I extends readonly string[],
  A = unknown,
  S extends string = NameOf<I[number]> & string,
  const O extends readonly string[] = readonly ["y"],
>(spec: OpSpec<I, A, S, O>): Op<I, A, O> {
  const { name, outputs = ["y"], passes = [], backward, reference } = spec;
  const inputs = spec.inputs.map(bare);
  const op: AnyOp = {
    name,
    inputs,
    outputs,
    saves: backward ? (spec.saves ?? inputs) : reference ? inputs : [],
    passes,
    backward: (backward as AnyOp["backward"] | undefined) ?? null,
    reference: (reference as AnyOp["reference"] | undefined) ?? null,
  };
  return ((...args: unknown[]) => {
    const { values, attrs } = bind(op, spec.inputs, args);
    const tape = tapeOf(op, values);
    // A rule composed of ops must not write on the tape.
    const plain: Record<string, Value> = {};
    for (const n of inputs)
      plain[n] = mapValue(values[n]!, (t) => (t.node ? t.view({ node: null }) : t));
    const { gpu } = tensorsOf(values[inputs.find((n) => tensorsOf(values[n]!).length > 0)!]!)[0]!;
    const { device, memory } = gpu.internals;
    device.check(name);

    const shapes = checked(name, attrs, () => spec.shape(plain as Named<I>, attrs as A)) as
      | OutShape
      | Record<string, OutShape>;
    const made: Tensor[] = [];
    try {
      for (const output of outputs) {
        const s = (
          outputs.length === 1 ? shapes : (shapes as Record<string, OutShape>)[output]
        ) as OutShape;
        const { shape, dtype } = "dtype" in s ? s : { shape: s, dtype: "f32" as const };
        checkShape(name, shape);
        const t = memory.empty(shape, dtype, name);
        made.push(t);
        plain[output] = values[output] = t;
      }
      memory.rule((run) => spec.forward(run, plain as Named<I> & Outs<O>, attrs as A));
    } catch (error) {
      for (const t of made) memory.release(t.storage, `a failed ${name}`);
      throw error;
    }
    tape?.add(op, values, attrs);
    const result = (output: string) => values[output] as Tensor;
    return outputs.length === 1
      ? result(outputs[0]!)
      : Object.fromEntries(outputs.map((output) => [output, result(output)]));
  }) as Op<I, A, O>;
}

const viewOp: AnyOp = {
  name: "reshape",
  inputs: ["x"],
  outputs: ["y"],
  saves: [],
  passes: ["x"],
  backward: null,
  reference: null,
};

/** `x` under another shape of as many elements: the same memory, no work on the device. */
export function reshapeView(x: Tensor, shape: Shape): Tensor {
  x.check("reshape");
  checkShape("reshape", shape);
  if (sizeOf(shape) !== x.size) {
    throw new ShapeError(
      `reshape: [${shape}] has ${sizeOf(shape)} elements, x [${x.shape}] has ${x.size}`,
    );
  }
  const values: Record<string, Value> = { x, y: x.view({ shape, node: null }) };
  x.node?.tape.add(viewOp, values, {});
  return values.y as Tensor;
}
