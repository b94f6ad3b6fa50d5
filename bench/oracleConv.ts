// Convolutions in f64, in plain loops, one tap after another: the inner part of oracle.ts. Four terms at a time, since
// networks are large.
import type { Shape } from "../src/index.ts";

/** One tap of a convolution: the pixels of x and y that it joins, as offsets of their first channels. */
export interface Tap {
  readonly xs: Int32Array;
  readonly ys: Int32Array;
  readonly count: number;
  /** Offset of the tap's weights. */
  readonly w: number;
}

/** SAME padding; NHWC and HWIO. */
export function* taps(x: Shape, w: Shape, out: number[], stride: number): Generator<Tap> {
  const [n, h, v, inCh] = x as [number, number, number, number];
  const [kh, kw, ci, outCh] = w as [number, number, number, number];
  const [oh, ow] = out as [number, number];
  const top = Math.max((oh - 1) * stride + kh - h, 0) >> 1;
  const left = Math.max((ow - 1) * stride + kw - v, 0) >> 1;
  for (let r = 0; r < kh; r++)
    for (let s = 0; s < kw; s++) {
      const [xs, ys] = [new Int32Array(n * oh * ow), new Int32Array(n * oh * ow)];
      let count = 0;
      for (let image = 0; image < n; image++)
        for (let i = 0; i < oh; i++)
          for (let j = 0; j < ow; j++) {
            const [a, b] = [i * stride + r - top, j * stride + s - left];
            if (a < 0 || a >= h || b < 0 || b >= v) continue;
            xs[count] = ((image * h + a) * v + b) * inCh;
            ys[count++] = ((image * oh + i) * ow + j) * outCh;
          }
      yield { xs, ys, count, w: (r * kw + s) * ci * outCh };
    }
}

export interface Slice {
  readonly ci: number;
  readonly co: number;
  readonly outCh: number;
  /** First channels of the group. */
  readonly from: number;
  readonly to: number;
}

export function forwardTap(
  tap: Tap,
  s: Slice,
  x: Float64Array,
  w: Float64Array,
  y: Float64Array,
): void {
  const { ci, co, outCh } = s;
  for (let p = 0; p < tap.count; p++) {
    const [xo, yo] = [tap.xs[p]! + s.from, tap.ys[p]! + s.to];
    for (let k = 0; k < ci; k += 4) {
      const m = Math.min(4, ci - k);
      const a = x[xo + k]!;
      const b = m > 1 ? x[xo + k + 1]! : 0;
      const c = m > 2 ? x[xo + k + 2]! : 0;
      const d = m > 3 ? x[xo + k + 3]! : 0;
      const w0 = tap.w + s.to + k * outCh;
      const w1 = m > 1 ? w0 + outCh : w0;
      const w2 = m > 2 ? w1 + outCh : w0;
      const w3 = m > 3 ? w2 + outCh : w0;
      for (let o = 0; o < co; o++)
        y[yo + o]! += a * w[w0 + o]! + b * w[w1 + o]! + c * w[w2 + o]! + d * w[w3 + o]!;
    }
  }
}

export function inputTap(
  tap: Tap,
  s: Slice,
  dx: Float64Array,
  w: Float64Array,
  dy: Float64Array,
): void {
  const { ci, co, outCh } = s;
  for (let p = 0; p < tap.count; p++) {
    const [xo, yo] = [tap.xs[p]! + s.from, tap.ys[p]! + s.to];
    for (let k = 0; k < ci; k += 4) {
      const m = Math.min(4, ci - k);
      const w0 = tap.w + s.to + k * outCh;
      const w1 = m > 1 ? w0 + outCh : w0;
      const w2 = m > 2 ? w1 + outCh : w0;
      const w3 = m > 3 ? w2 + outCh : w0;
      let [a, b, c, d] = [0, 0, 0, 0];
      for (let o = 0; o < co; o++) {
        const g = dy[yo + o]!;
        a += g * w[w0 + o]!;
        b += g * w[w1 + o]!;
        c += g * w[w2 + o]!;
        d += g * w[w3 + o]!;
      }
      dx[xo + k]! += a;
      if (m > 1) dx[xo + k + 1]! += b;
      if (m > 2) dx[xo + k + 2]! += c;
      if (m > 3) dx[xo + k + 3]! += d;
    }
  }
}

export function weightTap(
  tap: Tap,
  s: Slice,
  x: Float64Array,
  dw: Float64Array,
  dy: Float64Array,
): void {
  const { ci, co, outCh } = s;
  for (let p = 0; p < tap.count; p += 4) {
    const m = Math.min(4, tap.count - p);
    const at = (j: number) => (j < m ? p + j : p);
    const [x0, x1, x2, x3] = [at(0), at(1), at(2), at(3)].map((q) => tap.xs[q]! + s.from) as Four;
    const [y0, y1, y2, y3] = [at(0), at(1), at(2), at(3)].map((q) => tap.ys[q]! + s.to) as Four;
    for (let k = 0; k < ci; k++) {
      const a = x[x0 + k]!;
      const b = m > 1 ? x[x1 + k]! : 0;
      const c = m > 2 ? x[x2 + k]! : 0;
      const d = m > 3 ? x[x3 + k]! : 0;
      const wo = tap.w + s.to + k * outCh;
      for (let o = 0; o < co; o++)
        dw[wo + o]! += a * dy[y0 + o]! + b * dy[y1 + o]! + c * dy[y2 + o]! + d * dy[y3 + o]!;
    }
  }
}
type Four = [number, number, number, number];
