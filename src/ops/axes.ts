// Axis arguments and broadcast shapes: checks that many ops share. No op, no device.
import type { Shape, Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";

/** The axis as a number from 0. @throws ShapeError unless -rank <= axis < rank. */
export function axisOf(op: string, axis: number, x: { readonly shape: Shape }): number {
  const rank = x.shape.length;
  if (Number.isInteger(axis) && axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis;
  throw new ShapeError(
    `${op}: axis ${axis} expects an integer in [${-rank}, ${rank}), x is [${x.shape}]`,
  );
}

/** A set of axes in ascending order; all of them if none is given. @throws ShapeError also for an axis given twice. */
export function axesOf(
  op: string,
  axis: number | readonly number[] | undefined,
  x: { readonly shape: Shape },
): number[] {
  if (axis === undefined) return x.shape.map((_, i) => i);
  const axes = (typeof axis === "number" ? [axis] : axis).map((a) => axisOf(op, a, x));
  if (new Set(axes).size < axes.length) {
    throw new ShapeError(`${op}: axis [${axis}] names an axis of x [${x.shape}] twice`);
  }
  return axes.sort((a, b) => a - b);
}

/** NumPy's broadcast of several shapes. @throws ShapeError if two sizes differ and neither is 1. */
export function broadcastShapes(op: string, ...shapes: readonly Shape[]): number[] {
  const rank = Math.max(...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, i) => {
    let size = 1;
    for (const shape of shapes) {
      const d = shape[i - rank + shape.length] ?? 1;
      if (d !== 1 && size !== 1 && d !== size) {
        const list = shapes.map((s) => `[${s}]`).join(" and ");
        throw new ShapeError(
          `${op}: shapes ${list} do not broadcast: sizes ${size} and ${d} differ`,
        );
      }
      if (d !== 1) size = d;
    }
    return size;
  });
}

/** @throws ShapeError unless `x` is of that dtype. */
export function wantDtype(op: string, name: string, x: Tensor, dtype: "f32" | "u32"): void {
  if (x.dtype === dtype) return;
  throw new ShapeError(`${op}: ${name} is ${x.dtype} [${x.shape}], expected ${dtype}; use cast`);
}
