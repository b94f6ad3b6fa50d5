// Ops that move elements and compute nothing: all are strided copies of bits (f32 or u32), but for reshape, which is a view.
import type { Run } from "../core/dispatch.ts";
import { checked, defineOp, reshapeView } from "../core/op.ts";
import { type Shape, sameShape, sizeOf, type Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { axesOf, axisOf, broadcastShapes } from "./axes.ts";
import { mapInto, mapViews } from "./map.ts";
import { sumTo } from "./reduce.ts";
import { stridesOf, type View } from "./strided.ts";

const whole = (tensor: Tensor): View => ({ tensor, first: 0, strides: stridesOf(tensor.shape) });
/** The part of a tensor that begins at `begin`. */
function partOf(tensor: Tensor, begin: readonly number[]): View {
  const strides = stridesOf(tensor.shape);
  return { tensor, strides, first: begin.reduce((n, b, i) => n + b * strides[i]!, 0) };
}
/** The elements of one view to the places of another, walked over `shape`. For the rules of other ops. */
export const copy = (run: Run, shape: Shape, x: View, y: View): void =>
  mapViews(run, "IDENTITY", shape, [x], y);
const fill = (run: Run, y: Tensor, s: number, any: Tensor): void =>
  mapInto(run, "FILL", [{ tensor: any, shape: [] }], y, { s });
/** Every element of `y` is 0, but for the part at `begin`, which is x. */
function place(run: Run, x: Tensor, y: Tensor, begin: readonly number[]): void {
  if (x.size < y.size) fill(run, y, 0, x);
  copy(run, x.shape, whole(x), partOf(y, begin));
}

function wantLength(op: string, name: string, list: readonly unknown[], x: Tensor): void {
  if (list.length === x.shape.length) return;
  throw new ShapeError(
    `${op}: ${name} has ${list.length} entries, x [${x.shape}] expects ${x.shape.length}`,
  );
}

/**
 * x under another shape of as many elements: the same memory, no work. One entry may be -1: it is what is left.
 * @throws ShapeError if the sizes differ.
 */
export function reshape(x: Tensor, attrs: { readonly shape: Shape }): Tensor {
  return checked("reshape", attrs, () => {
    const { shape } = attrs;
    const known = sizeOf(shape.filter((d) => d !== -1));
    const open = shape.filter((d) => d === -1).length;
    if (open > 1 || (open === 1 && x.size % known !== 0)) {
      throw new ShapeError(`reshape: shape [${shape}] cannot be completed for x [${x.shape}]`);
    }
    return reshapeView(x, open === 0 ? shape : shape.map((d) => (d === -1 ? x.size / known : d)));
  });
}

/** Dimension i of the result is dimension `perm[i]` of x. */
export const transpose = /* @__PURE__ */ defineOp({
  name: "transpose",
  inputs: ["x"],
  saves: [],
  shape: ({ x }, { perm }: { readonly perm: readonly number[] }) => {
    wantLength("transpose", "perm", perm, x);
    const axes = permOf(perm, x);
    return { shape: axes.map((i) => x.shape[i]!), dtype: x.dtype };
  },
  forward: (run, { x, y }, { perm }) => transposeInto(run, x, permOf(perm, x), y),
  backward: (run, { dy, dx }, { perm }) => {
    const axes = permOf(perm, dx);
    transposeInto(
      run,
      dy,
      axes.map((_, i) => axes.indexOf(i)),
      dx,
    );
  },
});
function permOf(perm: readonly number[], x: Tensor): number[] {
  axesOf("transpose", perm, x); // each once
  return perm.map((i) => axisOf("transpose", i, x));
}
/** y = x with its dimensions in the order of `perm`. For the rules of other ops. */
export function transposeInto(run: Run, x: Tensor, perm: readonly number[], y: Tensor): void {
  const strides = stridesOf(x.shape);
  const shape = perm.map((i) => x.shape[i]!);
  const from = { tensor: x, first: 0, strides: perm.map((i) => strides[i]!) };
  copy(run, shape, from, { tensor: y, first: 0, strides: stridesOf(shape) });
}

const concatOp = /* @__PURE__ */ defineOp({
  name: "concat",
  inputs: ["...xs"],
  saves: [],
  shape: ({ xs }, { axis }: ConcatAttrs) => {
    const first = xs[0]!;
    const at = axisOf("concat", axis, first);
    for (const x of xs) {
      const fits =
        x.dtype === first.dtype &&
        x.shape.length === first.shape.length &&
        x.shape.every((d, i) => i === at || d === first.shape[i]);
      if (fits) continue;
      throw new ShapeError(
        `concat: ${x.dtype} [${x.shape}] beside ${first.dtype} [${first.shape}], ` +
          `expected one dtype and equal sizes on all axes but ${at}`,
      );
    }
    const length = xs.reduce((n, x) => n + x.shape[at]!, 0);
    return { shape: first.shape.map((d, i) => (i === at ? length : d)), dtype: first.dtype };
  },
  forward: (run, { xs, y }, attrs) =>
    xs.forEach((x, i) => void copy(run, x.shape, whole(x), partOf(y, startOf(y, attrs, i)))),
  backward: (run, { dy, dxs }, attrs) =>
    dxs.forEach((dx, i) => {
      if (dx) copy(run, dx.shape, partOf(dy, startOf(dy, attrs, i)), whole(dx));
    }),
});
interface ConcatAttrs {
  readonly axis: number;
  /** Of each tensor along the axis: a gradient may be wanted for some only. */
  readonly lengths: readonly number[];
}
function startOf(y: Tensor, { axis, lengths }: ConcatAttrs, index: number): number[] {
  const at = axisOf("concat", axis, y);
  const start = lengths.slice(0, index).reduce((n, d) => n + d, 0);
  return y.shape.map((_, i) => (i === at ? start : 0));
}
/** Tensors of one dtype side by side along `axis`; their sizes on the other axes are equal. */
export function concat(xs: readonly Tensor[], attrs: { readonly axis: number }): Tensor {
  const sizes = () => xs.map((x) => x.shape.at(attrs.axis) ?? 0);
  const lengths = checked("concat", attrs, sizes);
  return concatOp(xs, { axis: attrs.axis, lengths });
}

/** The part of x that begins at `begin` and has the shape `size`. */
export const slice = /* @__PURE__ */ defineOp({
  name: "slice",
  inputs: ["x"],
  saves: [],
  shape: ({ x }, { begin, size }: { readonly begin: readonly number[]; readonly size: Shape }) => {
    wantLength("slice", "begin", begin, x);
    wantLength("slice", "size", size, x);
    const inside = x.shape.every((d, i) => {
      const [b, n] = [begin[i]!, size[i]!];
      return Number.isInteger(b) && Number.isInteger(n) && b >= 0 && n > 0 && b + n <= d;
    });
    if (!inside) {
      throw new ShapeError(
        `slice: begin [${begin}], size [${size}] is not a part of x [${x.shape}]`,
      );
    }
    return { shape: size, dtype: x.dtype };
  },
  forward: (run, { x, y }, { begin }) => copy(run, y.shape, partOf(x, begin), whole(y)),
  backward: (run, { dy, dx }, { begin }) => place(run, dy, dx, begin),
});

/** x with `padding[i] = [before, after]` zeros on axis i. */
export const pad = /* @__PURE__ */ defineOp({
  name: "pad",
  inputs: ["x"],
  saves: [],
  shape: ({ x }, { padding }: { readonly padding: readonly (readonly [number, number])[] }) => {
    wantLength("pad", "padding", padding, x);
    if (
      padding.some(
        (pair) => pair.length !== 2 || pair.some((n) => !(Number.isInteger(n) && n >= 0)),
      )
    ) {
      throw new ShapeError(
        `pad: padding ${JSON.stringify(padding)}, expected a pair of integers from 0 for each axis`,
      );
    }
    const shape = x.shape.map((d, i) => padding[i]![0] + d + padding[i]![1]);
    return { shape, dtype: x.dtype };
  },
  forward: (run, { x, y }, { padding }) =>
    place(
      run,
      x,
      y,
      padding.map(([before]) => before),
    ),
  backward: (run, { dy, dx }, { padding }) =>
    copy(
      run,
      dx.shape,
      partOf(
        dy,
        padding.map(([before]) => before),
      ),
      whole(dx),
    ),
});

/** x repeated to `shape` by NumPy's rule: axes that are missing in front, or of size 1, are repeated. */
export const broadcastTo = /* @__PURE__ */ defineOp({
  name: "broadcastTo",
  inputs: ["x"],
  saves: [],
  shape: ({ x }, { shape }: { readonly shape: Shape }) => {
    if (!sameShape(broadcastShapes("broadcastTo", x.shape, shape), shape)) {
      throw new ShapeError(`broadcastTo: x [${x.shape}] cannot be repeated to [${shape}]`);
    }
    return { shape, dtype: x.dtype };
  },
  forward: (run, { x, y }) => mapInto(run, "IDENTITY", [x], y),
  backward: (run, { dy, dx }) => sumTo(run, dy, dy.shape, dx),
});

interface FlipAttrs {
  readonly axis: number | readonly number[];
}
/** x in reverse order along one axis or several. */
export const flip = /* @__PURE__ */ defineOp({
  name: "flip",
  inputs: ["x"],
  saves: [],
  shape: ({ x }, { axis }: FlipAttrs) => {
    axesOf("flip", axis, x);
    return { shape: x.shape, dtype: x.dtype };
  },
  forward: (run, { x, y }, attrs) => flipInto(run, x, attrs, y),
  backward: (run, { dy, dx }, attrs) => flipInto(run, dy, attrs, dx),
});
function flipInto(run: Run, x: Tensor, { axis }: FlipAttrs, y: Tensor): void {
  const axes = axesOf("flip", axis, x);
  const last = partOf(
    x,
    x.shape.map((d, i) => (axes.includes(i) ? d - 1 : 0)),
  );
  const strides = last.strides.map((s, i) => (axes.includes(i) ? -s : s));
  copy(run, x.shape, { ...last, strides }, whole(y));
}
