// What every library's values are held to: convolutions and the operations of a Normalizer-Free Network in f64, in the
// plainest form there is, with gradients by reverse mode. Shares nothing with nfgrad.

export const sizeOf = (shape) => shape.reduce((n, d) => n * d, 1);

/** Sizes of a convolution with SAME padding, of NHWC images and an HWIO weight. */
function geometry([n, h, w, inCh], [kh, kw, perGroup, outCh], options) {
  const { stride = 1, dilation = 1 } = options;
  const groups = inCh / perGroup;
  const [oh, ow] = [Math.ceil(h / stride), Math.ceil(w / stride)];
  const pad = (out, size, k) =>
    Math.max((out - 1) * stride + (k - 1) * dilation + 1 - size, 0) >> 1;
  const [top, left] = [pad(oh, h, kh), pad(ow, w, kw)];
  return { n, h, w, inCh, kh, kw, perGroup, outCh, groups, oh, ow, top, left, stride, dilation };
}

/** The shape of a convolution's result. */
export function convShape(x, w, options) {
  const { n, oh, ow, outCh } = geometry(x, w, options);
  return [n, oh, ow, outCh];
}

/**
 * Adds one pass to its result: "forward" to y, "input" to x, "weight" to w. The other two are read.
 * x, w: `{ data, shape }`; y: data.
 */
export function conv(pass, { data: x, shape: xShape }, { data: w, shape: wShape }, y, options) {
  const g = geometry(xShape, wShape, options);
  const width = g.outCh / g.groups;
  for (let n = 0; n < g.n; n++)
    for (let oh = 0; oh < g.oh; oh++)
      for (let ow = 0; ow < g.ow; ow++) {
        const out = ((n * g.oh + oh) * g.ow + ow) * g.outCh;
        for (let r = 0; r < g.kh; r++) {
          const ih = oh * g.stride + r * g.dilation - g.top;
          if (ih < 0 || ih >= g.h) continue;
          for (let s = 0; s < g.kw; s++) {
            const iw = ow * g.stride + s * g.dilation - g.left;
            if (iw < 0 || iw >= g.w) continue;
            const from = ((n * g.h + ih) * g.w + iw) * g.inCh;
            const tap = (r * g.kw + s) * g.perGroup * g.outCh;
            for (let c = 0; c < g.inCh; c++) {
              const group = Math.floor(c / g.perGroup);
              const yi = out + group * width;
              const wi = tap + (c - group * g.perGroup) * g.outCh + group * width;
              if (pass === "forward") {
                const v = x[from + c];
                for (let k = 0; k < width; k++) y[yi + k] += v * w[wi + k];
              } else if (pass === "input") {
                let sum = 0;
                for (let k = 0; k < width; k++) sum += y[yi + k] * w[wi + k];
                x[from + c] += sum;
              } else {
                const v = x[from + c];
                for (let k = 0; k < width; k++) w[wi + k] += v * y[yi + k];
              }
            }
          }
        }
      }
}

export const ROOT = Math.sqrt(2 / Math.PI);
export const CUBE = 0.044715;
/** `base.py: nonlinearities`: keeps the variance of a unit normal. */
export const GAMMA = 1.7015043497085571;
/** The tanh form, scaled, and its derivative. */
export const gelu = (x) => GAMMA * 0.5 * x * (1 + Math.tanh(ROOT * (x + CUBE * x ** 3)));
export const geluSlope = (x) => {
  const t = Math.tanh(ROOT * (x + CUBE * x ** 3));
  return GAMMA * 0.5 * (1 + t + x * (1 - t * t) * ROOT * (1 + 3 * CUBE * x * x));
};

/** `y[i] = f(i)`. */
const fill = (y, f) => {
  for (let i = 0; i < y.length; i++) y[i] = f(i);
};
/** `y[to(i)] += f(i)` for `n` terms. */
const add = (y, n, f, to = (i) => i) => {
  for (let i = 0; i < n; i++) y[to(i)] += f(i);
};
/** From a place in `[n, h, w, c]` to its place in `[n, c]`. */
const imageOf = ([, h, w, ch]) => {
  const size = h * w * ch;
  return (i) => Math.floor(i / size) * ch + (i % ch);
};
/** From a place in `[n, h, w, c]` to that of its 2x2 window. */
const windowOf =
  ([, h, w, ch]) =>
  (i) => {
    const [c, x, y] = [i % ch, Math.floor(i / ch) % w, Math.floor(i / ch / w) % h];
    const row = Math.floor(i / ch / w / h) * (h / 2) + (y >> 1);
    return (row * (w / 2) + (x >> 1)) * ch + c;
  };

/** The operations of nets.mjs on `{ data, shape, grad }`, recorded for `backward`. */
export function tape() {
  const backs = [];
  const node = (shape, data = new Float64Array(sizeOf(shape))) => {
    return { shape, data, grad: new Float64Array(data.length) };
  };
  /** A node of `shape` that `f(y)` fills; `back(dy)` adds to the gradients of what went in. */
  const op = (shape, f, back) => {
    const y = node(shape);
    f(y.data);
    backs.push(() => back(y.grad));
    return y;
  };
  const map = (x, f, slope) =>
    op(
      x.shape,
      (y) => fill(y, (i) => f(x.data[i])),
      (dy) => add(x.grad, dy.length, (i) => dy[i] * slope(x.data[i])),
    );
  const biased = (x, b) => {
    const to = (i) => i % b.data.length;
    return op(
      x.shape,
      (y) => fill(y, (i) => x.data[i] + b.data[to(i)]),
      (dy) => {
        add(x.grad, dy.length, (i) => dy[i]);
        add(b.grad, dy.length, (i) => dy[i], to);
      },
    );
  };
  /** Means over windows of `x`, to which `to` maps. */
  const averaged = (x, shape, to) => {
    const n = x.data.length;
    const part = sizeOf(shape) / n;
    return op(
      shape,
      (y) => add(y, n, (i) => x.data[i] * part, to),
      (dy) => add(x.grad, n, (i) => dy[to(i)] * part),
    );
  };
  const o = {
    input: (data, shape) => node(shape, Float64Array.from(data)),
    act: (x, scale = 1) =>
      map(
        x,
        (v) => scale * gelu(v),
        (v) => scale * geluSlope(v),
      ),
    conv(x, w, b, options) {
      const y = op(
        convShape(x.shape, w.shape, options),
        (y) => conv("forward", x, w, y, options),
        (dy) => {
          conv("input", { data: x.grad, shape: x.shape }, w, dy, options);
          conv("weight", x, { data: w.grad, shape: w.shape }, dy, options);
        },
      );
      return biased(y, b);
    },
    linear(x, w, b) {
      const [n, ch] = x.shape;
      const y = o.conv({ ...x, shape: [n, 1, 1, ch] }, { ...w, shape: [1, 1, ...w.shape] }, b, {});
      return { ...y, shape: [n, w.shape[1]] };
    },
    relu: (x) =>
      map(
        x,
        (v) => Math.max(v, 0),
        (v) => (v > 0 ? 1 : 0),
      ),
    /** Scaled weight standardization: `(w - mean) * gain / sqrt(max(sum of squares, eps))`. */
    standardize(w, gain) {
      const [n, cols, eps] = [w.data.length, w.shape.at(-1), 1e-4];
      const rows = n / cols;
      const column = (i) => i % cols;
      const sums = (f) => {
        const out = new Float64Array(cols);
        add(out, n, f, column);
        return out;
      };
      const mean = sums((i) => w.data[i] / rows);
      const d = w.data.map((v, i) => v - mean[column(i)]);
      const squares = sums((i) => d[i] ** 2);
      const scale = squares.map((v) => 1 / Math.sqrt(Math.max(v, eps)));
      return op(
        w.shape,
        (y) => fill(y, (i) => d[i] * scale[column(i)] * gain.data[column(i)]),
        (dy) => {
          const average = sums((i) => dy[i] / rows);
          const along = sums((i) => dy[i] * d[i] * scale[column(i)]);
          add(gain.grad, cols, (c) => along[c]);
          const own = (i, c) => (squares[c] > eps ? d[i] * scale[c] * along[c] : 0);
          add(w.grad, n, (i) => {
            const c = column(i);
            return gain.data[c] * scale[c] * (dy[i] - average[c] - own(i, c));
          });
        },
      );
    },
    /** Over H and W: `[n, c]`. */
    mean: (x) => averaged(x, [x.shape[0], x.shape[3]], imageOf(x.shape)),
    /** 2x2 windows, stride 2, of even sizes. */
    pool: ({ shape: [n, h, w, ch], ...x }) =>
      averaged(x, [n, h / 2, w / 2, ch], windowOf([n, h, w, ch])),
    /** `2 * sigmoid(logits) * x`, of each image's channels. */
    excite(x, logits) {
      const to = imageOf(x.shape);
      const gate = logits.data.map((v) => 1 / (1 + Math.exp(-v)));
      return op(
        x.shape,
        (y) => fill(y, (i) => 2 * gate[to(i)] * x.data[i]),
        (dy) => {
          add(x.grad, dy.length, (i) => 2 * gate[to(i)] * dy[i]);
          const slope = (s) => 2 * s * (1 - s);
          add(logits.grad, dy.length, (i) => slope(gate[to(i)]) * x.data[i] * dy[i], to);
        },
      );
    },
    residual(x, shortcut, gain, alpha) {
      const n = x.data.length;
      return op(
        x.shape,
        (y) => fill(y, (i) => alpha * gain.data[0] * x.data[i] + shortcut.data[i]),
        (dy) => {
          add(x.grad, n, (i) => alpha * gain.data[0] * dy[i]);
          add(shortcut.grad, n, (i) => dy[i]);
          const first = () => 0;
          add(gain.grad, n, (i) => alpha * x.data[i] * dy[i], first);
        },
      );
    },
    /** The mean over rows, of labels that are numbers of classes. */
    loss(logits, labels, smoothing) {
      const [n, classes] = logits.shape;
      const row = (i) => Math.floor(i / classes);
      const target = (i) =>
        (1 - smoothing) * (labels[row(i)] === i % classes ? 1 : 0) + smoothing / classes;
      const sums = new Float64Array(n);
      add(sums, n * classes, (i) => Math.exp(logits.data[i]), row);
      const log = (i) => logits.data[i] - Math.log(sums[row(i)]);
      const first = () => 0;
      return op(
        [],
        (y) => add(y, n * classes, (i) => (-target(i) * log(i)) / n, first),
        ([dy]) => add(logits.grad, n * classes, (i) => (dy * (Math.exp(log(i)) - target(i))) / n),
      );
    },
  };
  /** Fills `grad` of everything that `y` depends on. */
  const backward = (y, dy) => {
    y.grad.set(dy);
    for (const back of backs.reverse()) back();
  };
  return { o, backward };
}
