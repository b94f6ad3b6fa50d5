// Oracles count in f64 on the host, in the plainest form there is. Arrays, indexing, error measures and directional
// differences; no op lives here (each case file brings its own) and nothing of the engine is imported.

/** A host array in f64, row-major. Integers (labels, keys) are held as numbers too. */
export interface F64 {
  readonly data: Float64Array;
  readonly shape: readonly number[];
}
/** What an oracle gives back: one array, several by name, or a list. */
export type F64Out = F64 | { readonly [name: string]: F64 } | readonly F64[];
export type Numbers = ArrayLike<number>;

export const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);
export const isF64 = (x: unknown): x is F64 =>
  typeof x === "object" && x !== null && (x as F64).data instanceof Float64Array;

/** `values` (any array of numbers) as `shape`; without values zeros. */
export function f64(shape: readonly number[], values?: Numbers): F64 {
  const data = values ? Float64Array.from(values) : new Float64Array(sizeOf(shape));
  if (data.length !== sizeOf(shape))
    throw new Error(`f64: ${data.length} values do not fill [${shape}]`);
  return { data, shape };
}
export const scalar = (value: number): F64 => f64([], [value]);

/** Row-major strides, in elements. */
export function stridesOf(shape: readonly number[]): number[] {
  const out = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) out[i] = out[i + 1]! * shape[i + 1]!;
  return out;
}
/** The flat place of an index; throws outside of the shape, so that an oracle cannot read a neighbour by mistake. */
export function place(shape: readonly number[], index: readonly number[]): number {
  if (index.length !== shape.length) throw new Error(`index [${index}] in shape [${shape}]`);
  let at = 0;
  for (let i = 0; i < shape.length; i++) {
    if (!(index[i]! >= 0 && index[i]! < shape[i]!))
      throw new Error(`index [${index}] is outside of [${shape}]`);
    at = at * shape[i]! + index[i]!;
  }
  return at;
}
export const at = (x: F64, ...index: number[]): number => x.data[place(x.shape, index)]!;
/** The element, or `otherwise` outside of the shape: what padding reads. */
export function atOr(x: F64, otherwise: number, ...index: number[]): number {
  return index.every((v, i) => v >= 0 && v < x.shape[i]!) ? at(x, ...index) : otherwise;
}
/** The index of flat place `i`. */
export function indexOf(shape: readonly number[], i: number): number[] {
  const out = new Array<number>(shape.length);
  let rest = i;
  for (let d = shape.length - 1; d >= 0; d--) {
    out[d] = rest % shape[d]!;
    rest = Math.floor(rest / shape[d]!);
  }
  return out;
}
/** A new array of `shape`, each element from its index. */
export function build(shape: readonly number[], f: (index: readonly number[]) => number): F64 {
  const out = f64(shape);
  for (let i = 0; i < out.data.length; i++) out.data[i] = f(indexOf(shape, i));
  return out;
}
export const map = (x: F64, f: (v: number, i: number) => number): F64 => ({
  data: x.data.map((v, i) => f(v, i)),
  shape: x.shape,
});
/** The shape of two broadcast together, numpy's rule. */
export function broadcastShape(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [p, q] = [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1];
    if (p !== q && p !== 1 && q !== 1) throw new Error(`[${a}] and [${b}] do not broadcast`);
    return p === 1 ? q : p;
  });
}
/** `f` of two arrays, broadcast as numpy does. */
export function zip(a: F64, b: F64, f: (p: number, q: number) => number): F64 {
  const shape = broadcastShape(a.shape, b.shape);
  const of = (x: F64, index: readonly number[]): number => {
    const own = index
      .slice(index.length - x.shape.length)
      .map((v, d) => (x.shape[d] === 1 ? 0 : v));
    return x.data[place(x.shape, own)]!;
  };
  return build(shape, (index) => f(of(a, index), of(b, index)));
}
/** `f` of the values along `axes` (all without), which have size 1 afterwards, or are gone. */
export function reduce(
  x: F64,
  axes: readonly number[] | null,
  f: (values: Float64Array) => number,
  keepDims = false,
): F64 {
  const all = axes ?? x.shape.map((_, d) => d);
  const gone = all.map((d) => (d < 0 ? d + x.shape.length : d));
  const kept = x.shape.map((d, i) => (gone.includes(i) ? 1 : d));
  const groups = Array.from({ length: sizeOf(kept) }, () => [] as number[]);
  for (let i = 0; i < x.data.length; i++) {
    const index = indexOf(x.shape, i).map((v, d) => (gone.includes(d) ? 0 : v));
    groups[place(kept, index)]!.push(x.data[i]!);
  }
  const shape = keepDims ? kept : x.shape.filter((_, i) => !gone.includes(i));
  return f64(
    shape,
    groups.map((g) => f(Float64Array.from(g))),
  );
}
export const sumOf = (v: Numbers): number => {
  let sum = 0;
  for (let i = 0; i < v.length; i++) sum += v[i]!;
  return sum;
};
export const dot = (a: Numbers, b: Numbers): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};
export const norm = (v: Numbers): number => Math.sqrt(dot(v, v));

/** A small deterministic generator (mulberry32): uniform in [0, 1). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
/** Standard normal values. */
export function normals(n: number, seed: number): Float64Array {
  const random = generator(seed);
  return Float64Array.from({ length: n }, () => {
    const u = 1 - random();
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * random());
  });
}
/** A seed from words, so that the data of one case does not depend on other cases. */
export function seedOf(...words: readonly unknown[]): number {
  let h = 2166136261;
  for (const c of words.join("/")) h = Math.imul(h ^ c.codePointAt(0)!, 16777619) >>> 0;
  return h;
}

export interface Errors {
  /** |actual - expected| / |expected|, both as vectors; values that are not finite are left out. */
  readonly relL2: number;
  /** The greatest |actual - expected| over the greatest |expected|, and where. */
  readonly max: number;
  readonly at: number;
  /** Places where NaN, +inf or -inf stand on one side only. */
  readonly kinds: readonly number[];
}
const kind = (v: number): string => (Number.isFinite(v) ? "finite" : String(v));

/** Compares with the oracle rounded to f32's range: 1e40 is infinite there, and a NaN wants a NaN. */
export function measure(actual: Numbers, expected: Numbers): Errors {
  let [error, size, max, top, worst] = [0, 0, 0, 0, -1];
  const kinds: number[] = [];
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i]!, expected[i]!];
    if (kind(a) !== kind(Math.fround(e))) kinds.push(i);
    if (!Number.isFinite(a) || !Number.isFinite(Math.fround(e))) continue;
    const d = Math.abs(a - e);
    error += d * d;
    size += e * e;
    top = Math.max(top, Math.abs(e));
    if (d > max) [max, worst] = [d, i];
  }
  const tiny = 1e-30; // an expected zero takes nothing but a zero (or a flushed denormal)
  return {
    relL2: Math.sqrt(error) / Math.max(Math.sqrt(size), tiny),
    max: max / Math.max(top, tiny),
    at: worst,
    kinds,
  };
}

/** The derivative at `x` along `v` of `f`, by a central difference in f64. */
export function directional(f: (x: Float64Array) => number, x: Numbers, v: Numbers): number {
  const scale = norm(v) / Math.sqrt(v.length) || 1;
  const eps = (1e-5 * Math.max(1e-2, Math.sqrt(dot(x, x) / x.length))) / scale;
  const moved = (by: number) =>
    Float64Array.from({ length: x.length }, (_, i) => x[i]! + by * v[i]!);
  return (f(moved(eps)) - f(moved(-eps))) / (2 * eps);
}
