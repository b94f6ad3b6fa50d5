// A product of matrices by its definition: how large its operands are, and elements of its result in f64.
import type { tuning } from "../src/index.ts";
import { randomData, type Sum, sumOf } from "./case.ts";

type Product = tuning.Product;

/** Elements of x, w and y: up to the last one that the product touches. */
function extents({ geometry: g }: Product) {
  const last = (pixels: number, step: number, slice: number, channels: number) =>
    (pixels - 1) * step + (g.slices - 1) * slice + channels;
  const [kh, kw] = g.kernel;
  return {
    x: last(g.batch * g.h * g.w, g.xPixel, g.xSlice, g.ci),
    w: last(kh * kw * g.ci, g.wRow, g.wSlice, g.co),
    y: last(g.batch * g.oh * g.ow, g.yPixel, g.ySlice, g.co),
  };
}

/** Elements of the operands a and b and of the result c. */
export function sizes(product: Product): { a: number; b: number; c: number } {
  const { x, w, y } = extents(product);
  if (product.pass === "forward") return { a: x, b: w, c: y };
  return product.pass === "data" ? { a: y, b: w, c: x } : { a: x, b: y, c: w };
}

/** Terms of the longest sum. */
export function depth({ pass, geometry: g }: Product): number {
  const taps = g.kernel[0] * g.kernel[1];
  if (pass === "weight") return g.batch * g.oh * g.ow;
  return taps * (pass === "forward" ? g.ci : g.co);
}

/** Floating-point operations as the op's definition counts them; those of padding are among them. */
export const flops = ({ geometry: g }: Product): number =>
  2 * g.batch * g.oh * g.ow * g.slices * g.kernel[0] * g.kernel[1] * g.ci * g.co;

/** A place in the result, and what has to stand there. */
export interface Element extends Sum {
  readonly at: number;
}

/** `count` elements of the result at random, the first and the last among them, in f64. */
export function elements(
  product: Product,
  a: Float32Array,
  b: Float32Array,
  count: number,
): Element[] {
  const { pass, geometry: g } = product;
  const [kh, kw] = g.kernel;
  const [rows, columns] = {
    forward: [g.batch * g.oh * g.ow, g.co],
    data: [g.batch * g.h * g.w, g.ci],
    weight: [kh * kw * g.ci, g.co],
  }[pass] as [number, number];
  const picks = randomData(`elements ${pass}`, 3 * count);
  return Array.from({ length: count }, (_, i) => {
    const pick = (n: number, j: number) =>
      i === 0
        ? 0
        : i === 1
          ? n - 1
          : Math.min(n - 1, Math.floor(((picks[3 * i + j]! + 1) / 2) * n));
    const at = { slice: pick(g.slices, 0), row: pick(rows, 1), column: pick(columns, 2) };
    return element(product, a, b, at);
  });
}

/** The element of one slice's result: row and column as in shaders/conv2d.wgsl's table, channels not padded. */
function element(
  { pass, geometry: g }: Product,
  a: Float32Array,
  b: Float32Array,
  at: { readonly slice: number; readonly row: number; readonly column: number },
): Element {
  const { slice, row, column } = at;
  const [kh, kw] = g.kernel;
  const inside = (v: number, size: number) => Number.isInteger(v) && v >= 0 && v < size;
  const x = (n: number, h: number, w: number, ci: number) =>
    ((n * g.h + h) * g.w + w) * g.xPixel + slice * g.xSlice + ci;
  const y = (n: number, h: number, w: number, co: number) =>
    ((n * g.oh + h) * g.ow + w) * g.yPixel + slice * g.ySlice + co;
  const w = (r: number, s: number, ci: number, co: number) =>
    ((r * kw + s) * g.ci + ci) * g.wRow + slice * g.wSlice + co;
  const split = (i: number, h: number, v: number) =>
    [Math.floor(i / h / v), Math.floor(i / v) % h, i % v] as const;
  /** The input's pixel that output (oh, ow) reads at tap (r, s), and the other way round. */
  const from = (o: number, r: number, axis: 0 | 1) =>
    o * g.stride[axis] + r * g.dilation[axis] - g.pad[axis];
  const to = (i: number, r: number, axis: 0 | 1) =>
    (i + g.pad[axis] - r * g.dilation[axis]) / g.stride[axis];

  if (pass === "weight") {
    const [r, s, ci] = split(row, kw, g.ci);
    const sum = sumOf(g.batch * g.oh * g.ow, (i) => {
      const [n, oh, ow] = split(i, g.oh, g.ow);
      const [h, v] = [from(oh, r, 0), from(ow, s, 1)];
      if (!inside(h, g.h) || !inside(v, g.w)) return 0;
      return a[x(n, h, v, ci)]! * b[y(n, oh, ow, column)]!;
    });
    return { ...sum, at: w(r, s, ci, column) };
  }
  if (pass === "forward") {
    const [n, oh, ow] = split(row, g.oh, g.ow);
    const sum = sumOf(kh * kw * g.ci, (i) => {
      const [r, s, ci] = split(i, kw, g.ci);
      const [h, v] = [from(oh, r, 0), from(ow, s, 1)];
      if (!inside(h, g.h) || !inside(v, g.w)) return 0;
      return a[x(n, h, v, ci)]! * b[w(r, s, ci, column)]!;
    });
    return { ...sum, at: y(n, oh, ow, column) };
  }
  const [n, h, v] = split(row, g.h, g.w);
  const sum = sumOf(kh * kw * g.co, (i) => {
    const [r, s, co] = split(i, kw, g.co);
    const [oh, ow] = [to(h, r, 0), to(v, s, 1)];
    if (!inside(oh, g.oh) || !inside(ow, g.ow)) return 0;
    return a[y(n, oh, ow, co)]! * b[w(r, s, column, co)]!;
  });
  return { ...sum, at: x(n, h, v, column) };
}
