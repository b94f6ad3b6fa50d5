// A small tape in f64 on the host, in plain loops: what whole blocks and networks are held to. Values and gradients by
// definition; nothing of the engine is used.
import type { Shape } from "../src/index.ts";
import { sizeOf } from "./case.ts";
import { forwardTap, inputTap, taps, weightTap } from "./oracleConv.ts";

type Four = [number, number, number, number];
type Numbers = Float64Array<ArrayBuffer>;

export interface Value {
  readonly shape: Shape;
  readonly data: Numbers;
  /** Filled while `backward` goes through. */
  grad: Numbers | null;
}

interface ConvAttrs {
  readonly stride?: number;
  readonly groups?: number;
}

const value = (shape: Shape, data = new Float64Array(sizeOf(shape))): Value => ({
  shape,
  data,
  grad: null,
});
const gradOf = (v: Value): Numbers => {
  v.grad ??= new Float64Array(v.data.length);
  return v.grad;
};

/** Operations that remember how to pull gradients back. */
export function f64Tape() {
  const steps: (() => void)[] = [];
  /** A new value whose gradient `back` hands on. */
  const made = (y: Value, back: (dy: Float64Array) => void): Value => {
    steps.push(() => {
      if (y.grad) back(y.grad);
      y.grad = null;
    });
    return y;
  };
  /** Each element by itself. */
  const each = (x: Value, f: (v: number, i: number) => number, slope: typeof f): Value =>
    made(value(x.shape, x.data.map(f)), (dy) => {
      const dx = gradOf(x);
      for (let i = 0; i < dy.length; i++) dx[i]! += dy[i]! * slope(x.data[i]!, i);
    });

  function conv2d(
    x: Value,
    w: Value,
    b: Value | null,
    { stride = 1, groups = 1 }: ConvAttrs,
  ): Value {
    const [n, h, v] = x.shape as [number, number, number, number];
    const [, , ci, outCh] = w.shape as [number, number, number, number];
    const out = [Math.ceil(h / stride), Math.ceil(v / stride)];
    const y = value([n, ...out, outCh]);
    const co = outCh / groups;
    const slices = Array.from({ length: groups }, (_, g) => {
      return { ci, co, outCh, from: g * ci, to: g * co };
    });
    if (b) for (let i = 0; i < y.data.length; i++) y.data[i] = b.data[i % outCh]!;
    for (const tap of taps(x.shape, w.shape, out, stride))
      for (const slice of slices) forwardTap(tap, slice, x.data, w.data, y.data);
    return made(y, (dy) => {
      const [dx, dw] = [gradOf(x), gradOf(w)];
      for (const tap of taps(x.shape, w.shape, out, stride))
        for (const slice of slices) {
          inputTap(tap, slice, dx, w.data, dy);
          weightTap(tap, slice, x.data, dw, dy);
        }
      if (!b) return;
      const db = gradOf(b);
      for (let i = 0; i < dy.length; i++) db[i % outCh]! += dy[i]!;
    });
  }

  return {
    /** An input; `take` gets its gradient, when there can be no more of it. */
    leaf(shape: Shape, data: ArrayLike<number>, take?: (grad: Float64Array) => void): Value {
      const x = value(shape, Float64Array.from(data));
      return made(x, (dx) => take?.(dx));
    },
    conv2d,
    /** `[n, i]` by `[i, o]`. */
    linear(x: Value, w: Value, b: Value): Value {
      const [n, i] = x.shape as [number, number];
      const flat = made(value([n, 1, 1, i], x.data), (dy) => add(gradOf(x), dy));
      const square = made(value([1, 1, ...w.shape], w.data), (dy) => add(gradOf(w), dy));
      const y = conv2d(flat, square, b, {});
      return made(value([n, w.shape[1]!], y.data), (dy) => add(gradOf(y), dy));
    },
    /** `(w - mean) * gain / sqrt(max(sum of squares, eps))`, column by column. */
    standardize(w: Value, gain: Value, eps = 1e-4): Value {
      const cols = w.shape.at(-1)!;
      const rows = w.data.length / cols;
      const y = value(w.shape);
      const [hat, roots] = [new Float64Array(w.data.length), new Float64Array(cols)];
      for (let c = 0; c < cols; c++) {
        let [mean, squares] = [0, 0];
        for (let i = c; i < hat.length; i += cols) mean += w.data[i]! / rows;
        for (let i = c; i < hat.length; i += cols) squares += (w.data[i]! - mean) ** 2;
        if (squares < eps) throw new RangeError("below eps the gradient is another one");
        roots[c] = 1 / Math.sqrt(squares);
        for (let i = c; i < hat.length; i += cols) {
          hat[i] = (w.data[i]! - mean) * roots[c]!;
          y.data[i] = hat[i]! * gain.data[c]!;
        }
      }
      return made(y, (dy) => {
        const [dw, dgain] = [gradOf(w), gradOf(gain)];
        for (let c = 0; c < cols; c++) {
          let [mean, along] = [0, 0];
          for (let i = c; i < hat.length; i += cols) {
            mean += dy[i]! / rows;
            along += dy[i]! * hat[i]!;
          }
          dgain[c]! += along;
          const factor = roots[c]! * gain.data[c]!;
          for (let i = c; i < hat.length; i += cols)
            dw[i]! += factor * (dy[i]! - mean - hat[i]! * along);
        }
      });
    },
    /** The tanh form, times a constant. */
    gelu(x: Value, factor: number): Value {
      const k = Math.sqrt(2 / Math.PI);
      const t = x.data.map((v) => Math.tanh(k * (v + 0.044715 * v ** 3)));
      return each(
        x,
        (v, i) => (factor * v * (1 + t[i]!)) / 2,
        (v, i) => {
          const inner = k * (1 + 3 * 0.044715 * v * v);
          return (factor * (1 + t[i]! + v * (1 - t[i]! ** 2) * inner)) / 2;
        },
      );
    },
    relu: (x: Value): Value =>
      each(
        x,
        (v) => Math.max(v, 0),
        (v) => (v > 0 ? 1 : 0),
      ),
    /** Each element by a constant of its own. */
    mask: (x: Value, factor: (i: number) => number): Value =>
      each(
        x,
        (v, i) => v * factor(i),
        (_, i) => factor(i),
      ),
    /** `[n, h, w, c]` -> `[n, c]` */
    mean(x: Value): Value {
      const [n, h, w, c] = x.shape as Four;
      const y = value([n, c]);
      const place = (i: number) => Math.floor(i / (h * w * c)) * c + (i % c);
      for (let i = 0; i < x.data.length; i++) y.data[place(i)]! += x.data[i]! / (h * w);
      return made(y, (dy) => {
        const dx = gradOf(x);
        for (let i = 0; i < dx.length; i++) dx[i]! += dy[place(i)]! / (h * w);
      });
    },
    /** 2x2 by 2, what lies outside not counted. */
    avgPool(x: Value): Value {
      const [n, h, w, c] = x.shape as Four;
      const [oh, ow] = [Math.ceil(h / 2), Math.ceil(w / 2)];
      const y = value([n, oh, ow, c]);
      const counts = (i: number, size: number) => Math.min(2, size - 2 * Math.floor(i / 2));
      const visit = (f: (from: number, to: number, count: number) => void) => {
        for (let i = 0; i < x.data.length; i++) {
          const pixel = Math.floor(i / c);
          const [v, u] = [pixel % w, Math.floor(pixel / w) % h];
          const row = Math.floor(pixel / w / h) * oh + (u >> 1);
          f(i, (row * ow + (v >> 1)) * c + (i % c), counts(u, h) * counts(v, w));
        }
      };
      visit((from, to, count) => {
        y.data[to]! += x.data[from]! / count;
      });
      return made(y, (dy) => {
        const dx = gradOf(x);
        visit((from, to, count) => {
          dx[from]! += dy[to]! / count;
        });
      });
    },
    /** `x * 2 * sigmoid(h)`, h `[n, c]`. */
    excite(x: Value, h: Value): Value {
      const c = x.shape.at(-1)!;
      const image = x.data.length / x.shape[0]!;
      const gate = h.data.map((v) => 1 / (1 + Math.exp(-v)));
      const place = (i: number) => Math.floor(i / image) * c + (i % c);
      const y = value(
        x.shape,
        x.data.map((v, i) => 2 * v * gate[place(i)]!),
      );
      return made(y, (dy) => {
        const [dx, dh] = [gradOf(x), gradOf(h)];
        for (let i = 0; i < dy.length; i++) {
          const g = gate[place(i)]!;
          dx[i]! += 2 * dy[i]! * g;
          dh[place(i)]! += 2 * dy[i]! * x.data[i]! * g * (1 - g);
        }
      });
    },
    /** `x * alpha * gain + shortcut` */
    residual(x: Value, shortcut: Value, gain: Value, alpha: number): Value {
      const by = alpha * gain.data[0]!;
      const y = value(
        x.shape,
        x.data.map((v, i) => v * by + shortcut.data[i]!),
      );
      return made(y, (dy) => {
        const [dx, ds, dgain] = [gradOf(x), gradOf(shortcut), gradOf(gain)];
        for (let i = 0; i < dy.length; i++) {
          dx[i]! += dy[i]! * by;
          ds[i]! += dy[i]!;
          dgain[0]! += dy[i]! * alpha * x.data[i]!;
        }
      });
    },
    /** Pulls `dy` back from y to all leaves, in reverse order. */
    backward(y: Value, dy: ArrayLike<number>): void {
      gradOf(y).set(dy);
      for (let step = steps.pop(); step; step = steps.pop()) step();
    },
  };
}

export type F64Tape = ReturnType<typeof f64Tape>;

function add(to: Float64Array, from: Float64Array): void {
  for (let i = 0; i < from.length; i++) to[i]! += from[i]!;
}

/** The mean over rows of `-sum(target * logSoftmax(logits))`, with its gradient by the logits. */
export function crossEntropyF64(
  logits: Float64Array,
  classes: number,
  target: (row: number, c: number) => number,
): { loss: number; grad: Float64Array } {
  const rows = logits.length / classes;
  const grad = new Float64Array(logits.length);
  let loss = 0;
  for (let r = 0; r < rows; r++) {
    const row = logits.subarray(r * classes, (r + 1) * classes);
    const most = row.reduce((a, b) => Math.max(a, b));
    const sum = row.reduce((s, v) => s + Math.exp(v - most), 0);
    let weight = 0;
    for (let c = 0; c < classes; c++) {
      weight += target(r, c);
      loss += (target(r, c) * (most + Math.log(sum) - row[c]!)) / rows;
    }
    for (let c = 0; c < classes; c++) {
      const softmax = Math.exp(row[c]! - most) / sum;
      grad[r * classes + c] = (weight * softmax - target(r, c)) / rows;
    }
  }
  return { loss, grad };
}
