// One function of up to three tensors and two numbers, element by element: the mechanism under elementwise ops,
// rearrangements and many gradients. The functions are those of shaders/lib/elementwise.wgsl. No op by itself.
import elementwise from "../../shaders/lib/elementwise.wgsl";
import exp from "../../shaders/lib/exp.wgsl";
import span from "../../shaders/lib/span.wgsl";
import width4 from "../../shaders/lib/width4.wgsl";
import source from "../../shaders/map.wgsl";
import type { Run } from "../core/dispatch.ts";
import type { Shape, Tensor } from "../core/tensor.ts";
import { kernelOf } from "./kernelOf.ts";
import { collapse, spread, stridedCall, stridesOf, type View } from "./strided.ts";
import { loopThreads, spanThreads, spanWidth } from "./threads.ts";

/** Numbers in place of tensors; which arguments they are says `numbers` (see lib/elementwise.wgsl). */
export interface Numbers {
  readonly numbers?: "NONE" | "INNER" | "LAST" | "BOTH";
  /** As f32, unless `bits`. */
  readonly s?: number;
  readonly t?: number;
  /** s and t are u32. */
  readonly bits?: boolean;
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);
function bitsOf(value: number): number {
  scratch[0] = value;
  return scratchBits[0]!;
}

/** `y = f(inputs)` over `shape`, each view walked by its own strides. `y` may be a part of its tensor. */
export function mapViews(
  run: Run,
  f: string,
  shape: Shape,
  inputs: readonly View[],
  y: View,
  { numbers = "NONE", s = 0, t = 0, bits = false }: Numbers = {},
): void {
  const views = [...inputs, y];
  const walk = collapse(shape, views);
  const given = bits ? { s, t } : { s: bitsOf(s), t: bitsOf(t) };
  const knobs = { OP: f, NUMBERS: numbers };
  const steps = walk.strides.map((strides) => strides[0]!);
  const flat =
    walk.dims.length === 1 &&
    views.every(
      (v, i) => v.first === 0 && (steps[i] === 1 || (steps[i] === 0 && i < inputs.length)),
    );
  if (!flat) {
    const { kernel, tensors, params, n } = stridedCall(walk, views, knobs, given);
    run(kernel, tensors, params, [loopThreads(run, n)]);
    return;
  }
  const tensors: Record<string, Tensor> = { y: y.tensor };
  const steppers: Record<string, string | number> = {};
  inputs.forEach(({ tensor }, i) => {
    const name = "abc"[i]!;
    tensors[name] = tensor;
    if (steps[i] === 1) return;
    steppers[name.toUpperCase()] = "u32";
    steppers[`${name.toUpperCase()}_STEP`] = 0;
  });
  const uses = [width4, elementwise, exp, span];
  const all = { ...knobs, ...steppers, WG: spanWidth(run.adapter) };
  const kernel = kernelOf(source, `map${inputs.length}`, all, uses);
  const n = walk.dims[0]!;
  run(kernel, tensors, { n, ...given }, [spanThreads(run, Math.ceil(n / 4))]);
}

/** A tensor, or a tensor read under another shape of as many elements. */
export type Operand = Tensor | { readonly tensor: Tensor; readonly shape: Shape };

/** `y = f(inputs)` with NumPy's broadcasting over `y`'s shape, or over `shape` of as many elements. */
export function mapInto(
  run: Run,
  f: string,
  inputs: readonly Operand[],
  y: Tensor,
  numbers: Numbers & { readonly shape?: Shape } = {},
): void {
  const { shape = y.shape } = numbers;
  const views = inputs.map((x) =>
    "tensor" in x ? spread(x.tensor, x.shape, shape) : spread(x, x.shape, shape),
  );
  mapViews(run, f, shape, views, { tensor: y, first: 0, strides: stridesOf(shape) }, numbers);
}
