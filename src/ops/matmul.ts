// Matrix products: `matmul` with transposed and batched operands, `linear` with a bias. Each is a 1x1 convolution, and
// a transposed operand is another pass of it (gemm.ts); only where both are transposed is one of them rearranged.
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import { type Shape, sameShape, type Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { wantDtype } from "./axes.ts";
import { gemm } from "./gemm.ts";
import { transposeInto } from "./rearrange.ts";
import { sumRows } from "./reduce.ts";
import type { Geometry } from "./variants.ts";

export interface MatmulAttrs {
  /** a is `[..., k, m]` instead of `[..., m, k]`. */
  readonly transposeA?: boolean;
  /** b is `[..., n, k]` instead of `[..., k, n]`. */
  readonly transposeB?: boolean;
}

/** A 1x1 convolution over `pixels`: x `[slices, pixels, ci]`, w `[slices, ci, co]`, y `[slices, pixels, co]`. */
function asConv(
  pixels: number,
  ci: number,
  co: number,
  slices: number,
  steps: Pick<Geometry, "xSlice" | "wSlice" | "ySlice">,
): Geometry {
  return {
    ...{ batch: 1, h: pixels, w: 1, oh: pixels, ow: 1 },
    ...{ kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [0, 0] },
    ...{ slices, ci, co, xPixel: ci, yPixel: co, wRow: co },
    ...steps,
  };
}

/** A tensor of matrices, perhaps to be read transposed. One matrix stands for all of a batch. */
interface Operand {
  readonly t: Tensor;
  readonly transposed: boolean;
}
const [height, width] = [(t: Tensor) => t.shape.at(-2)!, (t: Tensor) => t.shape.at(-1)!];
const batchOf = (t: Tensor): number => t.size / (height(t) * width(t));

/** c = a b, matrix by matrix; where c is a single matrix, the sum over the batch. */
function multiply(run: Run, a: Operand, b: Operand, c: Tensor): void {
  const [m, k] = a.transposed ? [width(a.t), height(a.t)] : [height(a.t), width(a.t)];
  const n = b.transposed ? height(b.t) : width(b.t);
  const [manyA, manyB] = [batchOf(a.t) > 1, batchOf(b.t) > 1];
  const batch = Math.max(batchOf(a.t), batchOf(b.t));
  const [sa, sb, sc] = [manyA ? m * k : 0, manyB ? k * n : 0, m * n];

  if (a.transposed && b.transposed) {
    const [rest, last] = [a.t.shape.slice(0, -2), a.t.shape.length - 1]; // no pass reads both across
    const upright = run.scratch([...rest, m, k]);
    transposeInto(run, a.t, [...rest.keys(), last, last - 1], upright);
    multiply(run, { t: upright, transposed: false }, b, c);
    return;
  }
  if (batch > batchOf(c)) {
    if (a.transposed && manyA && manyB) {
      // Sums over k and over the batch are one sum where both operands run along k first.
      const g = asConv(k * batch, m, n, 1, { xSlice: 0, wSlice: 0, ySlice: 0 });
      gemm(run, g, "weight", { a: a.t, b: b.t, c });
      return;
    }
    const each = run.scratch([batch, m, n]);
    multiply(run, a, b, each);
    sumRows(run, each, c);
    return;
  }
  if (a.transposed) {
    const g = asConv(k, m, n, batch, { xSlice: sa, ySlice: sb, wSlice: sc });
    gemm(run, g, "weight", { a: a.t, b: b.t, c });
    return;
  }
  const [rows, slices] = manyB ? [m, batch] : [m * batch, 1]; // a shared b sees one tall matrix
  if (b.transposed) {
    const g = asConv(rows, n, k, slices, { ySlice: sa, wSlice: sb, xSlice: sc });
    gemm(run, g, "data", { a: a.t, b: b.t, c });
  } else {
    const g = asConv(rows, k, n, slices, { xSlice: sa, wSlice: sb, ySlice: sc });
    gemm(run, g, "forward", { a: a.t, b: b.t, c });
  }
}

function matmulShape(a: Tensor, b: Tensor, { transposeA, transposeB }: MatmulAttrs): Shape {
  wantDtype("matmul", "a", a, "f32");
  wantDtype("matmul", "b", b, "f32");
  for (const [name, t] of [
    ["a", a],
    ["b", b],
  ] as const) {
    if (t.shape.length >= 2) continue;
    throw new ShapeError(
      `matmul: ${name} [${t.shape}] has rank ${t.shape.length}, expected at least 2`,
    );
  }
  const [m, k] = transposeA ? [width(a), height(a)] : [height(a), width(a)];
  const [kb, n] = transposeB ? [width(b), height(b)] : [height(b), width(b)];
  if (k !== kb) {
    const read = `${transposeA ? " (transposed)" : ""} times b [${b.shape}]${transposeB ? " (transposed)" : ""}`;
    throw new ShapeError(`matmul: a [${a.shape}]${read}: ${k} columns meet ${kb} rows`);
  }
  const [outerA, outerB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  if (outerA.length > 0 && outerB.length > 0 && !sameShape(outerA, outerB)) {
    throw new ShapeError(
      `matmul: a [${a.shape}] and b [${b.shape}] expect equal leading dimensions, or one of them none`,
    );
  }
  return [...(outerA.length > 0 ? outerA : outerB), m, n];
}

/**
 * `matmul(a, b, { transposeA?, transposeB? })`: a `[..., m, k]` times b `[..., k, n]` is `[..., m, n]`, all f32.
 * Leading dimensions are a batch: equal on both sides, or absent on one, whose matrix then serves all.
 *
 * @throws ShapeError for ranks, dtypes or sizes that do not fit.
 */
export const matmul = /* @__PURE__ */ defineOp({
  name: "matmul",
  inputs: ["a", "b"],
  shape: ({ a, b }, attrs: MatmulAttrs) => matmulShape(a, b, attrs),
  forward: (run, { a, b, y }, { transposeA = false, transposeB = false }) =>
    multiply(run, { t: a, transposed: transposeA }, { t: b, transposed: transposeB }, y),
  backward: (run, { a, b, dy, da, db }, { transposeA: ta = false, transposeB: tb = false }) => {
    const [g, gAcross] = [false, true].map((transposed) => ({ t: dy, transposed })) as [
      Operand,
      Operand,
    ];
    if (da && ta) multiply(run, { t: b, transposed: tb }, gAcross, da);
    else if (da) multiply(run, g, { t: b, transposed: !tb }, da);
    if (db && tb) multiply(run, gAcross, { t: a, transposed: ta }, db);
    else if (db) multiply(run, { t: a, transposed: !ta }, g, db);
  },
});

function linearShape(x: Tensor, w: Tensor, bias: Tensor | null): Shape {
  for (const [name, t] of [
    ["x", x],
    ["weight", w],
    ["bias", bias],
  ] as const) {
    if (t) wantDtype("linear", name, t, "f32");
  }
  if (x.shape.length < 1 || w.shape.length !== 2 || x.shape.at(-1) !== w.shape[0]) {
    throw new ShapeError(
      `linear: weight [${w.shape}] expects rank 2 and x [..., ${w.shape[0] ?? "in"}], x is [${x.shape}]`,
    );
  }
  const out = w.shape[1]!;
  if (bias && (bias.shape.length !== 1 || bias.size !== out)) {
    throw new ShapeError(`linear: bias is [${bias.shape}], weight [${w.shape}] expects [${out}]`);
  }
  return [...x.shape.slice(0, -1), out];
}
/** `linear` as a convolution, for `gemm`. */
export const linearConv = (x: Tensor, w: Tensor): Geometry =>
  asConv(x.size / w.shape[0]!, w.shape[0]!, w.shape[1]!, 1, { xSlice: 0, wSlice: 0, ySlice: 0 });

/**
 * `linear(x, w, bias?)`: x `[..., in]` times w `[in, out]`, plus bias `[out]`: `[..., out]`, all f32.
 *
 * @throws ShapeError for ranks, dtypes or sizes that do not fit.
 */
export const linear = /* @__PURE__ */ defineOp({
  name: "linear",
  inputs: ["x", "w", "bias?"],
  saves: ["x", "w"],
  shape: ({ x, w, bias }) => linearShape(x, w, bias),
  forward: (run, { x, w, bias, y }) =>
    gemm(run, linearConv(x, w), "forward", { a: x, b: w, bias, c: y }),
  backward: (run, { x, w, dy, dx, dw, dbias }) => {
    const g = linearConv(x, w);
    if (dx) gemm(run, g, "data", { a: dy, b: w, c: dx });
    if (dw) gemm(run, g, "weight", { a: x, b: dy, c: dw });
    if (dbias) sumRows(run, dy, dbias);
  },
});
