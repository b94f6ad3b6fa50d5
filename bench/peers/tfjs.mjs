// TensorFlow.js: the operations of nets.mjs, NHWC and HWIO, and a training step in its best form. It has no groups: it
// gets slices, convolutions and their concatenation.

import { unitAxes } from "./nets.mjs";
import { CUBE, GAMMA, ROOT } from "./reference.mjs";

/** The tanh form as `x * sigmoid(2u)`, and its derivative: the fewest operations there are. */
const inner = (tf, x, square) =>
  tf.sigmoid(tf.mul(x, tf.add(tf.mul(square, 2 * ROOT * CUBE), 2 * ROOT)));
export const tfGelu =
  (tf, scale = 1) =>
  (x) =>
    tf.mul(tf.mul(x, GAMMA * scale), inner(tf, x, tf.square(x)));
/** s + x * s * (1 - s) * (2u)', times dy. */
export const tfGeluGradient =
  (tf, scale = 1) =>
  (x, dy) => {
    const square = tf.square(x);
    const s = inner(tf, x, square);
    const slope = tf.mul(x, tf.add(tf.mul(square, 6 * ROOT * CUBE), 2 * ROOT));
    const rest = tf.add(tf.mul(slope, tf.sub(1, s)), 1);
    return tf.mul(tf.mul(tf.mul(dy, GAMMA * scale), s), rest);
  };

/** A convolution with SAME padding, with a bias if there is one. */
export const tfConv =
  (tf, { stride = 1, dilation = 1, groups = 1 } = {}) =>
  (x, w, b) => {
    const one = (filter, input, bias) =>
      bias
        ? tf.fused.conv2d({ x: input, filter, strides: stride, pad: "same", bias })
        : tf.conv2d(input, filter, stride, "same", "NHWC", dilation);
    if (groups === 1) return one(w, x, b);
    if (groups === x.shape[3] && w.shape[3] === groups) {
      const filter = tf.transpose(w, [0, 1, 3, 2]); // depthwise: [h, w, channels, 1]
      return tf.depthwiseConv2d(x, filter, stride, "same", "NHWC", dilation);
    }
    const biases = b ? tf.split(b, groups, 0) : [];
    const images = tf.split(x, groups, 3);
    const parts = tf.split(w, groups, 3).map((filter, i) => one(filter, images[i], biases[i]));
    return tf.concat(parts, 3);
  };

export function tfOperations(tf) {
  const gelus = new Map();
  /** Saves x alone. */
  const geluOf = (scale) => {
    const made =
      gelus.get(scale) ??
      tf.customGrad((x, save) => {
        save([x]);
        const gradFunc = (dy, [x]) => tfGeluGradient(tf, scale)(x, dy);
        return { value: tfGelu(tf, scale)(x), gradFunc };
      });
    gelus.set(scale, made);
    return made;
  };
  return {
    conv: (x, w, b, options) => tfConv(tf, options)(x, w, b),
    act: (x, scale = 1) => geluOf(scale)(x),
    linear: (x, w, b) => tf.fused.matMul({ a: x, b: w, bias: b }),
    relu: (x) => tf.relu(x),
    standardize(w, gain) {
      const axes = [0, 1, 2];
      const d = tf.sub(w, tf.mean(w, axes, true));
      const squares = tf.sum(tf.square(d), axes, true);
      return tf.mul(d, tf.mul(tf.rsqrt(tf.maximum(squares, 1e-4)), gain));
    },
    mean: (x) => tf.mean(x, [1, 2]),
    excite(x, logits) {
      const [n, channels] = logits.shape;
      return tf.mul(x, tf.mul(tf.reshape(tf.sigmoid(logits), [n, 1, 1, channels]), 2));
    },
    residual: (x, shortcut, gain, alpha) => tf.add(tf.mul(x, tf.mul(gain, alpha)), shortcut),
    pool: (x) => tf.avgPool(x, 2, 2, "same"),
    loss: (logits, labels, smoothing) =>
      tf.losses.softmaxCrossEntropy(
        tf.oneHot(labels, logits.shape[1]),
        logits,
        undefined,
        smoothing,
      ),
  };
}

/** `stepped` of nets.mjs, of variables in place. */
function update(tf, w, g, m, { weightDecay, clipping }, lr, momentum) {
  let d = g;
  if (clipping !== null) {
    const norm = (v) => tf.sqrt(tf.sum(tf.square(v), unitAxes(w.shape) ?? undefined, true));
    const most = tf.mul(tf.maximum(norm(w), 1e-3), clipping);
    const factor = tf.minimum(tf.div(most, tf.maximum(norm(g), 1e-6)), 1);
    d = tf.mul(d, w.shape.length === 0 ? tf.reshape(factor, []) : factor);
  }
  if (weightDecay) d = tf.add(d, tf.mul(w, weightDecay));
  const next = tf.add(tf.mul(m, momentum), d);
  w.assign(tf.sub(w, tf.mul(tf.add(d, tf.mul(next, momentum)), lr)));
  m.assign(next);
}

/** A step on variables: `(x, labels, lr) -> loss`; `loss` is a function of the variables, x and labels. */
export const tfStep = (tf, variables, momenta, loss, rules, momentum) => (x, labels, lr) => {
  const { value, grads } = tf.variableGrads(() => loss(variables, x, labels), variables);
  variables.forEach((w, i) => {
    update(tf, w, grads[w.name], momenta[i], rules[i], lr, momentum);
  });
  return value;
};
