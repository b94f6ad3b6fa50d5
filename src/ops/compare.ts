// Comparisons, choice and conversion, element by element with NumPy's broadcasting; f32 and u32 tensors.
import { checked, defineOp } from "../core/op.ts";
import type { DType, Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { broadcastShapes, wantDtype } from "./axes.ts";
import { gradientInto, noTensor, type Scalar } from "./elementwise.ts";
import { mapInto } from "./map.ts";

/** A number in place of a tensor of that dtype. */
function numberFor(name: string, s: number, dtype: DType): { s: number; bits: boolean } {
  if (dtype === "u32" && !(Number.isInteger(s) && s >= 0 && s < 2 ** 32)) {
    throw new ShapeError(`${name}: the number ${s} stands for u32, expected an integer from 0`);
  }
  return { s, bits: dtype === "u32" };
}
function sameDtype(name: string, a: Tensor, b: Tensor): void {
  if (a.dtype === b.dtype) return;
  throw new ShapeError(`${name}: a is ${a.dtype}, b is ${b.dtype}, expected one dtype; use cast`);
}

function comparison(name: string, f: string): (a: Scalar, b: Scalar) => Tensor {
  const of = (x: Tensor) => (x.dtype === "u32" ? `${f}_U32` : f);
  const both = defineOp({
    name,
    inputs: ["a", "b"],
    shape: ({ a, b }) => {
      sameDtype(name, a, b);
      return { shape: broadcastShapes(name, a.shape, b.shape), dtype: "u32" };
    },
    forward: (run, { a, b, y }) => mapInto(run, of(a), [a, b], y),
  });
  const one = defineOp({
    name,
    inputs: ["x"],
    shape: ({ x }, { s }: { readonly s: number; readonly numbers: "INNER" | "LAST" }) => {
      numberFor(name, s, x.dtype);
      return { shape: x.shape, dtype: "u32" };
    },
    forward: (run, { x, y }, { s, numbers }) =>
      mapInto(run, of(x), [x], y, { numbers, ...numberFor(name, s, x.dtype) }),
  });
  return (a, b) => {
    if (typeof a !== "number") {
      return typeof b === "number" ? one(a, { s: b, numbers: "LAST" }) : both(a, b);
    }
    if (typeof b === "number") throw noTensor(name);
    return one(b, { s: a, numbers: "INNER" });
  };
}
/** 1 where `a == b`, else 0, as u32. Both f32 or both u32; not differentiable. */
export const equal = /* @__PURE__ */ comparison("equal", "EQUAL");
/** 1 where `a < b`, else 0, as u32. Both f32 or both u32; not differentiable. */
export const less = /* @__PURE__ */ comparison("less", "LESS");
/** 1 where `a > b`, else 0, as u32. Both f32 or both u32; not differentiable. */
export const greater = /* @__PURE__ */ comparison("greater", "GREATER");

const whereBoth = /* @__PURE__ */ defineOp({
  name: "where",
  inputs: ["c", "a", "b"],
  saves: ["c"],
  shape: ({ c, a, b }) => {
    wantDtype("where", "c", c, "u32");
    sameDtype("where", a, b);
    return { shape: broadcastShapes("where", c.shape, a.shape, b.shape), dtype: a.dtype };
  },
  forward: (run, { c, a, b, y }) => mapInto(run, "WHERE", [c, a, b], y),
  backward: (run, { c, dy, da, db }) => {
    if (da) gradientInto(run, "WHERE", [c, dy], dy.shape, da, { numbers: "LAST" });
    if (db) gradientInto(run, "WHERE", [c, dy], dy.shape, db, { numbers: "INNER" });
  },
});
const whereOne = /* @__PURE__ */ defineOp({
  name: "where",
  inputs: ["c", "x"],
  saves: ["c"],
  shape: ({ c, x }, { s }: { readonly s: number; readonly numbers: "INNER" | "LAST" }) => {
    wantDtype("where", "c", c, "u32");
    numberFor("where", s, x.dtype);
    return { shape: broadcastShapes("where", c.shape, x.shape), dtype: x.dtype };
  },
  forward: (run, { c, x, y }, { s, numbers }) =>
    mapInto(run, "WHERE", [c, x], y, { numbers, ...numberFor("where", s, x.dtype) }),
  backward: (run, { c, dy, dx }, { numbers }) => {
    if (dx) gradientInto(run, "WHERE", [c, dy], dy.shape, dx, { numbers });
  },
});
const whereNumbers = /* @__PURE__ */ defineOp({
  name: "where",
  inputs: ["c"],
  shape: ({ c }, _: { readonly s: number; readonly t: number }) => {
    wantDtype("where", "c", c, "u32");
    return c.shape;
  },
  forward: (run, { c, y }, attrs) => mapInto(run, "WHERE", [c], y, { numbers: "BOTH", ...attrs }),
});
/** `a` where the u32 tensor `c` is not 0, else `b`; the three broadcast. a and b are both f32, or both u32. */
export function where(c: Tensor, a: Scalar, b: Scalar): Tensor {
  if (typeof a !== "number") {
    return typeof b === "number" ? whereOne(c, a, { s: b, numbers: "LAST" }) : whereBoth(c, a, b);
  }
  return typeof b === "number"
    ? whereNumbers(c, { s: a, t: b })
    : whereOne(c, b, { s: a, numbers: "INNER" });
}

const castOp = /* @__PURE__ */ defineOp({
  name: "cast",
  inputs: ["x"],
  shape: ({ x }, { dtype }: { readonly dtype: DType }) => ({ shape: x.shape, dtype }),
  forward: (run, { x, y }, { dtype }) =>
    mapInto(run, dtype === "u32" ? "TO_U32" : "TO_F32", [x], y),
});
/**
 * x in another dtype, or x itself if it has it. f32 to u32 drops the fraction; what is below 0 becomes 0, what is too
 * large 4294967295, and no gradient passes.
 */
export function cast(x: Tensor, attrs: { readonly dtype: DType }): Tensor {
  return checked("cast", attrs, () => {
    const { dtype } = attrs;
    if (dtype !== "f32" && dtype !== "u32") {
      throw new ShapeError(`cast: dtype '${dtype}', expected "f32" or "u32"`);
    }
    return x.check("cast").dtype === dtype ? x : castOp(x, attrs);
  });
}
