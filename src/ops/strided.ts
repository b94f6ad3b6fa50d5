// Tensors seen through strides, and the kernels that walk them: the mechanism of broadcasts and rearrangements.
// What is computed is map.ts's business.

import elementwise from "../../shaders/lib/elementwise.wgsl";
import exp from "../../shaders/lib/exp.wgsl";
import width1 from "../../shaders/lib/width1.wgsl";
import width4 from "../../shaders/lib/width4.wgsl";
import strided from "../../shaders/strided.wgsl";
import type { Shape, Tensor } from "../core/tensor.ts";
import { LimitError } from "../errors.ts";
import type { KnobValue } from "../gpu/kernel.ts";
import { kernelOf } from "./kernelOf.ts";

/** A tensor's memory walked by a shape that is not its own: one stride a dimension, in elements. */
export interface View {
  readonly tensor: Tensor;
  readonly strides: readonly number[];
  /** The first element. */
  readonly first: number;
}

/** The strides of a shape in C order. */
export function stridesOf(shape: Shape): number[] {
  const strides = shape.map(() => 1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * shape[i + 1]!;
  return strides;
}

/** `tensor`, read as `shape`, repeated over `to` by NumPy's rule: axes that are missing or 1 have the stride 0. */
export function spread(tensor: Tensor, shape: Shape, to: Shape): View {
  const strides = stridesOf(shape);
  const missing = to.length - shape.length;
  return {
    tensor,
    first: 0,
    strides: to.map((_, i) =>
      i < missing || shape[i - missing] === 1 ? 0 : strides[i - missing]!,
    ),
  };
}

/** The same walk with as few dimensions as possible, innermost first. */
export interface Walk {
  readonly dims: number[];
  /** One list of strides a view. */
  readonly strides: number[][];
}
export function collapse(shape: Shape, views: readonly View[]): Walk {
  const dims: number[] = [];
  const strides: number[][] = views.map(() => []);
  for (let i = shape.length - 1; i >= 0; i--) {
    const [d, top] = [shape[i]!, dims.length - 1];
    if (d === 1) continue;
    if (top >= 0 && views.every((v, j) => v.strides[i] === strides[j]![top]! * dims[top]!)) {
      dims[top] = dims[top]! * d;
      continue;
    }
    dims.push(d);
    views.forEach((v, j) => void strides[j]!.push(v.strides[i]!));
  }
  if (dims.length === 0) {
    dims.push(1);
    for (const s of strides) s.push(1);
  }
  return { dims, strides };
}

const MAX_RANK = 8;
const whole = (n: number): boolean => n % 4 === 0;
/** The Params fields of one tensor's strides, or of the dimensions. Made once: this runs at every call. */
const fieldsOf = (name: string): string[] => Array.from({ length: MAX_RANK }, (_, k) => name + k);
const DIMS = fieldsOf("d");
const TENSORS = ["a", "b", "c", "y"].map((name) => {
  const upper = name.toUpperCase();
  return { name, type: upper, dense: `${upper}_DENSE`, fields: fieldsOf(name) };
});
const ZERO: Readonly<Record<string, number>> = Object.fromEntries(
  ["a", "b", "c", "y", ...DIMS, ...TENSORS.flatMap((t) => t.fields)].map((field) => [field, 0]),
);

/** The strided kernel for a walk over `views` (the last is written), its tensors, Params and number of elements. */
export function stridedCall(
  walk: Walk,
  views: readonly View[],
  knobs: Readonly<Record<string, KnobValue>>,
  numbers: { readonly s: number; readonly t: number },
) {
  const { dims, strides } = walk;
  if (dims.length > MAX_RANK) {
    throw new LimitError(
      `${dims.length} dimensions that cannot be joined, expected at most ${MAX_RANK}`,
    );
  }
  const last = views.length - 1;
  // Four neighbours at once: side by side in memory and on a multiple of four, or all the same element.
  const wide =
    whole(dims[0]!) &&
    views.every(({ first }, i) => {
      const [inner, ...outer] = strides[i]!;
      return (inner === 0 && i < last) || (inner === 1 && whole(first) && outer.every(whole));
    });
  const element = wide ? 4 : 1;
  const own: number[] = []; // the strides of a tensor that is walked in its own order
  let size = 1;
  for (const d of dims) {
    own.push(size);
    size *= d;
  }
  const n = size / element;

  const variant: Record<string, KnobValue> = { ...knobs, RANK: dims.length };
  const tensors: Record<string, Tensor> = {};
  const params: Record<string, number> = { ...ZERO, ...numbers, n };
  for (const [k, d] of dims.entries()) params[DIMS[k]!] = k === 0 ? d / element : d;
  for (const [i, { tensor, first }] of views.entries()) {
    const { name, type, dense, fields } = TENSORS[i === last ? 3 : i]!;
    const walked = strides[i]!;
    const constant = wide && walked[0] === 0;
    const unit = wide && !constant ? 4 : 1;
    if (constant) variant[type] = "u32";
    if (first === 0 && own.every((s, k) => s === walked[k])) variant[dense] = true;
    tensors[name] = tensor;
    params[name] = first / unit;
    for (const [k, s] of walked.entries()) {
      params[fields[k]!] = (k === 0 ? s : s / unit) >>> 0; // a negative stride goes round 2^32
    }
  }
  const uses = [wide ? width4 : width1, elementwise, exp];
  return { kernel: kernelOf(strided, `map${last}`, variant, uses), tensors, params, n };
}
