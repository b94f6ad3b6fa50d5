// An op is a value: shape rule, forward, backward. Everything goes by name; `saves` decides what backward may see.
import { DeviceError, ShapeError, TapeError } from "../errors.ts";
import type { Run } from "./dispatch.ts";
import { checkShape } from "./host.ts";
import { ALIGN } from "./init.ts";
import type { Memory } from "./memory.ts";
import type { Named, NameOf, Op, OpSpec, OutShape, Outs } from "./opTypes.ts";
import type { Tape } from "./tape.ts";
import { type Shape, sizeOf, Tensor } from "./tensor.ts";
import { isTensor } from "./walk.ts";

export type Value = Tensor | null | readonly Tensor[];
/** An op with its types forgotten: what a tape stores. */
export interface AnyOp {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Outputs that only backward sees. */
  readonly hidden: readonly string[];
  readonly saves: readonly string[];
  readonly passes: readonly string[];
  readonly turns: readonly string[];
  readonly backward: ((run: Run, tensors: Record<string, unknown>, attrs: unknown) => void) | null;
  readonly reference: ((inputs: Record<string, Value>, attrs: unknown) => Tensor) | null;
}

/** The tensors of a value: none, one or several. */
export const tensorsOf = (value: Value): readonly Tensor[] =>
  value === null ? [] : value instanceof Tensor ? [value] : value;
export const mapValue = (value: Value, f: (t: Tensor, i: number) => Tensor): Value =>
  value === null ? null : value instanceof Tensor ? f(value, 0) : value.map(f);

const bare = (name: string): string => name.replace(/^\.\.\.|^~|\?$/g, "");
const isList = (name: string): boolean => name.startsWith("...");
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
    if (spec.endsWith("?") && !isList(spec)) {
      const given = arg instanceof Tensor;
      if (given || arg === null || arg === undefined) at++;
      values[name] = given ? arg : null;
      return;
    }
    at++;
    if (isList(spec)) {
      const enough = Array.isArray(arg) && (arg.length > 0 || spec.endsWith("?"));
      if (!enough || !arg.every(isTensor)) {
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

/** Memory for tensors of these shapes, in one buffer. */
function together(memory: Memory, op: string, shapes: readonly OutShape[]): Tensor[] {
  let bytes = 0;
  const places = shapes.map((s) => {
    const { shape, dtype } = "dtype" in s ? s : { shape: s, dtype: "f32" as const };
    checkShape(op, shape);
    const offset = Math.ceil(bytes / ALIGN) * ALIGN;
    bytes = offset + 4 * sizeOf(shape);
    return { shape, dtype, offset };
  });
  const storage = memory.alloc(bytes, op);
  storage.views = places.length;
  return places.map((p) => new Tensor(memory.gpu, storage, p.offset, p.shape, p.dtype));
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
  T extends string = never,
>(spec: OpSpec<I, A, S, O, T>): Op<I, A, O> {
  const { name, passes = [], turns = [], backward, reference } = spec;
  const declared: readonly string[] = spec.outputs ?? ["y"];
  const outputs = declared.map(bare);
  const hidden = declared.filter((output) => output.startsWith("~")).map(bare);
  const shown = outputs.filter((output) => !hidden.includes(output));
  const inputs = spec.inputs.map(bare);
  const op: AnyOp = {
    name,
    inputs,
    outputs,
    hidden,
    saves: backward ? (spec.saves ?? inputs) : reference ? inputs : [],
    passes,
    turns: backward ? turns : [],
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

    const shapes = checked(name, attrs, () => spec.shape(plain as Named<I>, attrs as A));
    const made: Tensor[] = [];
    try {
      declared.forEach((output, i) => {
        const given =
          outputs.length === 1 ? shapes : (shapes as Record<string, unknown>)[outputs[i]!];
        const wanted = isList(output) ? (given as readonly OutShape[]) : [given as OutShape];
        const tensors = together(memory, name, wanted);
        made.push(...tensors);
        plain[outputs[i]!] = values[outputs[i]!] = isList(output) ? tensors : tensors[0]!;
      });
      memory.rule((run) => spec.forward(run, plain as Named<I> & Outs<O>, attrs as A));
    } catch (error) {
      for (const t of made) memory.release(t.storage, `a failed ${name}`);
      throw error;
    }
    tape?.add(op, values, attrs);
    for (const t of hidden.flatMap((output) => tensorsOf(values[output]!)))
      if (t.storage.readers === 0) memory.release(t.storage, `the end of ${name}`);
    return shown.length === 1
      ? values[shown[0]!]
      : Object.fromEntries(shown.map((output) => [output, values[output]]));
  }) as unknown as Op<I, A, O>;
}

const viewOp: AnyOp = {
  name: "reshape",
  inputs: ["x"],
  outputs: ["y"],
  hidden: [],
  saves: [],
  passes: ["x"],
  turns: [],
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
