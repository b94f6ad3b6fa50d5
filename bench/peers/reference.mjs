// What every library's values are held to, in f64 and the plainest form there is: convolutions by definition, gelu, and
// the operations of a Normalizer-Free Network with their gradients. Nothing of the engine is used.
import { crossEntropyF64, f64Tape } from "../../dist/bench/oracle.js";

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

/**
 * The operations of nets.mjs on a tape in f64. `backward` gives the gradients of inputs as `{ data, scale }`; the scale
 * is there where a gradient is one sum that may cancel.
 */
export function reference() {
  const t = f64Tape();
  const grads = new Map();
  const scales = new Map();
  const o = {
    input(data, shape) {
      const x = t.leaf(shape, data, (grad) => grads.set(x, grad));
      return x;
    },
    act: (x, scale = 1) => t.gelu(x, GAMMA * scale),
    conv: (x, w, b, options = {}) => t.conv2d(x, w, b, options),
    linear: t.linear,
    relu: t.relu,
    standardize: (w, gain) => t.standardize(w, gain),
    mean: t.mean,
    excite: t.excite,
    pool: t.avgPool,
    residual(x, shortcut, gain, alpha) {
      // A copy of the shortcut sees the gradient that arrives here: that of the gain is a sum of x times it.
      const seen = t.leaf(shortcut.shape, shortcut.data, (dy) => {
        shortcut.grad ??= new Float64Array(dy.length);
        let magnitude = 0;
        for (let i = 0; i < dy.length; i++) {
          shortcut.grad[i] += dy[i];
          magnitude += Math.abs(alpha * x.data[i] * dy[i]);
        }
        scales.set(gain, magnitude);
      });
      return t.residual(x, seen, gain, alpha);
    },
  };
  const backward = (y, dy, inputs) => {
    t.backward(y, dy);
    return inputs.map((x) => ({ data: grads.get(x), scale: scales.get(x) }));
  };
  return { o, backward };
}

/** The mean cross-entropy of labels that are numbers of classes, and its gradient by the logits. */
export const smoothedLoss = ({ data, shape: [, classes] }, labels, smoothing) =>
  crossEntropyF64(
    data,
    classes,
    (row, c) => (1 - smoothing) * (labels[row] === c ? 1 : 0) + smoothing / classes,
  );
