// What ops that draw random numbers check: a row of the keys and a rate. Not an op.
import type { Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { wantDtype } from "./axes.ts";

export interface DrawAttrs {
  /** The row of `keys` (u32 `[n, 2]`, as `random.keys` makes them) that this draw uses. */
  readonly at: number;
  /** The probability of being dropped, in [0, 1). */
  readonly rate: number;
}

/** @throws ShapeError */
export function checkDraw(op: string, x: Tensor, keys: Tensor, { at, rate }: DrawAttrs): void {
  wantDtype(op, "x", x, "f32");
  wantDtype(op, "keys", keys, "u32");
  if (keys.shape.length !== 2 || keys.shape[1] !== 2)
    throw new ShapeError(`${op}: keys are [${keys.shape}], expected [n, 2]`);
  if (!(Number.isInteger(at) && at >= 0 && at < keys.shape[0]!))
    throw new ShapeError(`${op}: at ${at} is no row of keys [${keys.shape}]`);
  if (!(rate >= 0 && rate < 1)) throw new ShapeError(`${op}: rate ${rate} is outside of [0, 1)`);
}
