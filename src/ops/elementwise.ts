// Elementwise arithmetic with NumPy's broadcasting, functions of one tensor, and their gradients. A number may stand for
// a tensor. Rules at ties, zeros and infinities are JAX's; NaN goes through. Activations: scaledActivation.ts.
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import { type Shape, sameShape, Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { broadcastShapes, wantDtype } from "./axes.ts";
import { mapInto, type Numbers, type Operand } from "./map.ts";
import { sumTo } from "./reduce.ts";

/** A number or a tensor. */
export type Scalar = number | Tensor;

/** How a gradient is made: a function of lib/elementwise.wgsl and what it is applied to. */
interface Part<N extends string> {
  readonly f: string;
  readonly of: readonly N[];
}

/** The gradient of an operand whose terms broadcast to `shape`, summed where the operand was repeated. */
export function gradientInto(
  run: Run,
  f: string,
  terms: readonly Operand[],
  shape: Shape,
  dx: Tensor,
  numbers: Numbers = {},
): void {
  if (sameShape(shape, dx.shape)) {
    mapInto(run, f, terms, dx, numbers);
    return;
  }
  const whole = run.scratch(shape);
  mapInto(run, f, terms, whole, numbers);
  sumTo(run, whole, shape, dx);
}

// ---- two operands ----

interface Binary {
  readonly name: string;
  readonly f: string;
  /** null: the gradient is dy itself. */
  readonly da: Part<"dy" | "a" | "b"> | null;
  readonly db: Part<"dy" | "a" | "b"> | null;
}
export const noTensor = (name: string): ShapeError =>
  new ShapeError(`${name}: both operands are numbers, expected a tensor among them`);

/** Both are tensors. `passes` names the operands whose gradient is dy, which have the result's shape. */
function ofTensors({ name, f, da, db }: Binary, passes: readonly ("a" | "b")[]) {
  const saves = (["a", "b"] as const).filter((n) => da?.of.includes(n) || db?.of.includes(n));
  return defineOp({
    name,
    inputs: ["a", "b"],
    saves,
    passes,
    shape: ({ a, b }) => {
      wantDtype(name, "a", a, "f32");
      wantDtype(name, "b", b, "f32");
      return broadcastShapes(name, a.shape, b.shape);
    },
    forward: (run, { a, b, y }) => mapInto(run, f, [a, b], y),
    backward: (run, t) => {
      const into = (part: Binary["da"], dx: Tensor | null) => {
        if (!dx) return;
        if (part)
          gradientInto(
            run,
            part.f,
            part.of.map((n) => t[n]),
            t.dy.shape,
            dx,
          );
        else sumTo(run, t.dy, t.dy.shape, dx);
      };
      into(da, t.da);
      into(db, t.db);
    },
  });
}

/** One is a number: `side` says which is the tensor. */
function withNumber({ name, f, da, db }: Binary, side: "a" | "b") {
  const part = side === "a" ? da : db;
  const number = side === "a" ? "b" : "a";
  return defineOp({
    name,
    inputs: ["x"],
    saves: part?.of.includes(side) ? ["x"] : [],
    passes: part ? [] : ["x"],
    shape: ({ x }, _: { readonly s: number }) => {
      wantDtype(name, side, x, "f32");
      return x.shape;
    },
    forward: (run, { x, y }, { s }) =>
      mapInto(run, f, [x], y, { numbers: side === "a" ? "LAST" : "INNER", s }),
    backward: (run, { x, dy, dx }, { s }) => {
      if (!part) return;
      const terms = part.of.flatMap((n) => (n === number ? [] : [n === "dy" ? dy : x]));
      const at = part.of.indexOf(number);
      const numbers = at < 0 ? "NONE" : at === part.of.length - 1 ? "LAST" : "INNER";
      mapInto(run, part.f, terms, dx, { numbers, s });
    },
  });
}

function binary(spec: Binary): (a: Scalar, b: Scalar) => Tensor {
  const passing = (a: boolean, b: boolean) =>
    ofTensors(spec, [...(a ? (["a"] as const) : []), ...(b ? (["b"] as const) : [])]);
  const variants = [
    passing(false, false),
    passing(true, false),
    passing(false, true),
    passing(true, true),
  ];
  const left = withNumber(spec, "a");
  const right = withNumber(spec, "b");
  return (a, b) => {
    if (typeof a === "number") {
      if (typeof b === "number") throw noTensor(spec.name);
      return right(b, { s: a });
    }
    if (typeof b === "number") return left(a, { s: b });
    if (!(a instanceof Tensor && b instanceof Tensor)) return variants[0]!(a, b); // throws
    const shape = broadcastShapes(spec.name, a.shape, b.shape);
    const passes = (part: Binary["da"], x: Tensor) => part === null && sameShape(x.shape, shape);
    return variants[Number(passes(spec.da, a)) + 2 * Number(passes(spec.db, b))]!(a, b);
  };
}

/** `a + b` */
export const add = /* @__PURE__ */ binary({ name: "add", f: "ADD", da: null, db: null });
/** `a - b` */
export const sub = /* @__PURE__ */ binary({
  name: "sub",
  f: "SUB",
  da: null,
  db: { f: "NEG", of: ["dy"] },
});
/** `a * b` */
export const mul = /* @__PURE__ */ binary({
  name: "mul",
  f: "MUL",
  da: { f: "MUL", of: ["dy", "b"] },
  db: { f: "MUL", of: ["dy", "a"] },
});
/** `a / b` */
export const div = /* @__PURE__ */ binary({
  name: "div",
  f: "DIV",
  da: { f: "DIV", of: ["dy", "b"] },
  db: { f: "DIV_GRAD_B", of: ["dy", "a", "b"] },
});
/** `a ** b`: NaN for a negative base with an exponent that is no integer; `x ** 0` is 1 for every x. */
export const pow = /* @__PURE__ */ binary({
  name: "pow",
  f: "POW",
  da: { f: "POW_GRAD_A", of: ["dy", "a", "b"] },
  db: { f: "POW_GRAD_B", of: ["dy", "a", "b"] },
});
/** The greater of a and b, NaN if one is NaN. Each has half of the gradient where they are equal. */
export const maximum = /* @__PURE__ */ binary({
  name: "maximum",
  f: "MAXIMUM",
  da: { f: "MAXIMUM_GRAD", of: ["dy", "a", "b"] },
  db: { f: "MAXIMUM_GRAD", of: ["dy", "b", "a"] },
});
/** The smaller of a and b, NaN if one is NaN. Each has half of the gradient where they are equal. */
export const minimum = /* @__PURE__ */ binary({
  name: "minimum",
  f: "MINIMUM",
  da: { f: "MAXIMUM_GRAD", of: ["dy", "b", "a"] },
  db: { f: "MAXIMUM_GRAD", of: ["dy", "a", "b"] },
});

// ---- one tensor ----

function unary(name: string, f: string, grad: Part<"dy" | "x" | "y">) {
  return defineOp({
    name,
    inputs: ["x"],
    saves: (["x", "y"] as const).filter((n) => grad.of.includes(n)),
    shape: ({ x }) => {
      wantDtype(name, "x", x, "f32");
      return x.shape;
    },
    forward: (run, { x, y }) => mapInto(run, f, [x], y),
    backward: (run, t) =>
      mapInto(
        run,
        grad.f,
        grad.of.map((n) => t[n]),
        t.dx,
      ),
  });
}
/** `-x` */
export const neg = /* @__PURE__ */ unary("neg", "NEG", { f: "NEG", of: ["dy"] });
/** e to the power x. */
export const exp = /* @__PURE__ */ unary("exp", "EXP", { f: "MUL", of: ["dy", "y"] });
/** Natural logarithm: -inf at 0, NaN below. */
export const log = /* @__PURE__ */ unary("log", "LOG", { f: "DIV", of: ["dy", "x"] });
/** Square root: NaN below 0; the gradient at 0 is infinite. */
export const sqrt = /* @__PURE__ */ unary("sqrt", "SQRT", { f: "SQRT_GRAD", of: ["dy", "y"] });
/** `1 / sqrt(x)`: infinite at 0. */
export const rsqrt = /* @__PURE__ */ unary("rsqrt", "RSQRT", { f: "RSQRT_GRAD", of: ["dy", "y"] });
/** Absolute value; the gradient at 0 is 0. */
export const abs = /* @__PURE__ */ unary("abs", "ABS", { f: "ABS_GRAD", of: ["dy", "x"] });
/** `x * x` */
export const square = /* @__PURE__ */ unary("square", "SQUARE", {
  f: "SQUARE_GRAD",
  of: ["dy", "x"],
});

/** Bounds, of which one may be left out. */
export type ClipAttrs =
  | { readonly min: number; readonly max?: number }
  | { readonly min?: number; readonly max: number };
const bounds = ({ min, max }: ClipAttrs): Numbers => ({
  s: min ?? Number.NEGATIVE_INFINITY,
  t: max ?? Number.POSITIVE_INFINITY,
});
/** x limited to [min, max]. The gradient is halved at a bound, as through `minimum(maximum(x, min), max)`. */
export const clip = /* @__PURE__ */ defineOp({
  name: "clip",
  inputs: ["x"],
  shape: ({ x }, attrs: ClipAttrs) => {
    wantDtype("clip", "x", x, "f32");
    const { s, t } = bounds(attrs);
    if (!(s! <= t!))
      throw new ShapeError(`clip: min ${attrs.min}, max ${attrs.max}, expected min <= max`);
    return x.shape;
  },
  forward: (run, { x, y }, attrs) => mapInto(run, "CLIP", [x], y, bounds(attrs)),
  backward: (run, { x, dy, dx }, attrs) => mapInto(run, "CLIP_GRAD", [dy, x], dx, bounds(attrs)),
});
