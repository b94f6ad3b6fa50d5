// SGD, adaptive gradient clipping and EMA in f64, and trees to try them on. No case is here, and nothing of the engine
// but types.
import type { Gpu, Host, Tensor } from "../src/index.ts";
import { type F64, f64, generator, normals, seedOf, sizeOf } from "./oracle.ts";

export interface Settings {
  readonly momentum?: number | null;
  readonly dampening?: number;
  readonly nesterov?: boolean;
  readonly weightDecay?: number | null;
  readonly clipping?: number | null;
  readonly eps?: number;
  readonly lrScale?: number;
  readonly ema?: { readonly decay: number; readonly warmup?: boolean };
}
export interface One {
  readonly w: F64;
  readonly m: F64;
  readonly ema: F64;
}

const zip = (a: F64, b: F64, f: (p: number, q: number, i: number) => number): F64 => ({
  data: a.data.map((v, i) => f(v, b.data[i]!, i)),
  shape: a.shape,
});

/** The number of units; element i belongs to unit i % units. */
function unitsOf(shape: readonly number[]): number {
  if (shape.filter((d) => d !== 1).length <= 1) return 1;
  return shape.length === 4 ? shape[3]! : sizeOf(shape) / shape[0]!;
}
function unitNorms({ data, shape }: F64): Float64Array {
  const squares = new Float64Array(unitsOf(shape));
  data.forEach((v, i) => {
    squares[i % squares.length]! += v * v;
  });
  return squares.map(Math.sqrt);
}

export function clipped(w: F64, g: F64, clipping: number, eps: number): F64 {
  const most = unitNorms(w).map((n) => clipping * Math.max(n, eps));
  const factors = unitNorms(g).map((n, u) => (n > most[u]! ? most[u]! / Math.max(n, 1e-6) : 1));
  return { data: g.data.map((v, i) => v * factors[i % factors.length]!), shape: g.shape };
}

export function averaged(ema: F64, w: F64, decay: number, warmup: boolean, step: number): F64 {
  const keep = warmup ? Math.min(decay, (1 + step) / (10 + step)) : decay;
  return zip(ema, w, (e, n) => e * keep + n * (1 - keep));
}

/** One step of one parameter. */
export function stepF64(at: One, grad: F64, s: Settings, lr: number, step: number): One {
  const { w, m, ema } = at;
  const clipping = s.clipping === undefined ? 0.01 : s.clipping;
  let g = clipping === null ? grad : clipped(w, grad, clipping, s.eps ?? 1e-3);
  g = zip(g, w, (v, x) => v + (s.weightDecay ?? 0) * x);
  let moved = m;
  if (s.momentum != null) {
    const mu = s.momentum;
    moved = zip(m, g, (v, d) => mu * v + (1 - (s.dampening ?? 0)) * d);
    g = s.nesterov ? zip(g, moved, (d, v) => d + mu * v) : moved;
  }
  const next = zip(w, g, (x, d) => x - lr * (s.lrScale ?? 1) * d);
  const { decay, warmup = true } = s.ema ?? { decay: 1, warmup: false };
  return { w: next, m: moved, ema: averaged(ema, next, decay, warmup, step) };
}

export type Shapes = Readonly<Record<string, readonly number[]>>;
/** A parameter of each kind of unit, with odd sizes and tails. */
export const mixed: Shapes = {
  "conv/w": [3, 3, 4, 7],
  "conv/gain": [1, 1, 1, 9],
  pair: [2, 1, 1, 9],
  depthwise: [3, 3, 1, 5],
  wide: [3, 3, 5, 36],
  narrow: [5, 7, 1, 4],
  one: [1, 1, 1, 1],
  outone: [3, 3, 4, 1],
  "fc/w": [33, 5],
  "fc/b": [7],
  row: [1, 6],
  rows: [1, 3, 40],
  cube: [4, 3, 5],
  block: [21, 4, 8],
  skip: [],
};
/** Units longer than a workgroup takes alone: columns of vec4, odd columns, a vector. */
export const long: Shapes = {
  columns: [5003, 40],
  odd: [4101, 3],
  vector: [30_011],
  small: [3, 2],
};

export type Flat = Record<string, Host>;
const filled = (shapes: Shapes, seed: number, scale: (random: number) => number): Flat => {
  const random = generator(seed);
  const one = (name: string, shape: readonly number[]): Host => {
    const s = scale(random());
    const data = Float32Array.from(normals(sizeOf(shape), seedOf(seed, name)), (v) => v * s);
    return { data, shape };
  };
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, one(name, shape)]),
  );
};
export const weights = (shapes: Shapes): Flat => filled(shapes, 1, (r) => 0.1 + r);
/** Some far above the clipping threshold, some below it. */
export const gradient = (shapes: Shapes, step: number): Flat =>
  filled(shapes, 100 + step, (r) => 10 ** (4 * r - 4));

export type Params = Record<string, Tensor>;
const given = (host: Host) => ({
  shape: host.shape,
  init: Object.assign(() => host.data as Float32Array<ArrayBuffer>, { random: false }),
});
/** Values in arenas. */
export const inArenas = (gpu: Gpu, values: Flat, arenaBytes?: number): Params => {
  const spec = Object.fromEntries(Object.entries(values).map(([name, v]) => [name, given(v)]));
  return gpu.init(spec, arenaBytes === undefined ? {} : { arenaBytes });
};
/** Values in a buffer each. */
export const apart = (gpu: Gpu, values: Flat): Params =>
  Object.fromEntries(Object.entries(values).map(([name, v]) => [name, gpu.tensor(v)]));

export const start = (values: Flat): Record<string, One> =>
  Object.fromEntries(
    Object.entries(values).map(([name, { data, shape }]) => {
      const w = f64(shape, data);
      return [name, { w, m: f64(shape), ema: w }];
    }),
  );
