// jax-js: the operations of nets.mjs, NCHW and OIHW, and a training step in its best form: all of it under one `jit`.
// Arrays are used up by what takes them; here everything is kept by `ref`, since tracing happens once.
import { GAMMA } from "./reference.mjs";

/** A scaled gelu. */
export const jaxGelu = (jax) => (x) => jax.nn.gelu(x, { approximate: true }).mul(GAMMA);

/** SAME padding of both spatial axes. */
const padding = (x, w, stride, dilation) =>
  [2, 3].map((axis) => {
    const out = Math.ceil(x.shape[axis] / stride);
    const need = (out - 1) * stride + (w.shape[axis] - 1) * dilation + 1 - x.shape[axis];
    const before = Math.max(need, 0) >> 1;
    return [before, Math.max(need, 0) - before];
  });

/** A convolution with SAME padding. */
export const jaxConv =
  ({ lax }, { stride = 1, dilation = 1, groups = 1 } = {}) =>
  (x, w) =>
    lax.convGeneralDilated(x, w, [stride, stride], padding(x, w, stride, dilation), {
      rhsDilation: [dilation, dilation],
      featureGroupCount: groups,
    });

export function jaxOperations(jax) {
  const { nn, numpy: np } = jax;
  const gelu = jaxGelu(jax);
  const channels = (v) => v.ref.reshape([1, v.shape[0], 1, 1]);
  return {
    conv: (x, w, b, options) => jaxConv(jax, options)(x.ref, w.ref).add(channels(b)),
    act: (x, scale = 1) => (scale === 1 ? gelu(x.ref) : gelu(x.ref).mul(scale)),
    linear: (x, w, b) => np.matmul(x.ref, w.ref).add(b.ref),
    relu: (x) => nn.relu(x.ref),
    standardize(w, gain) {
      const axes = [1, 2, 3];
      const d = w.ref.sub(np.mean(w.ref, axes, { keepdims: true }));
      const squares = np.sum(np.square(d.ref), axes, { keepdims: true });
      const scale = np.reciprocal(np.sqrt(np.maximum(squares, 1e-4)));
      return d.mul(scale.mul(gain.ref.reshape([gain.shape[0], 1, 1, 1])));
    },
    mean: (x) => np.mean(x.ref, [2, 3]),
    excite: (x, logits) =>
      x.ref.mul(
        nn
          .sigmoid(logits.ref)
          .mul(2)
          .reshape([...logits.shape, 1, 1]),
      ),
    residual: (x, shortcut, gain, alpha) => x.ref.mul(gain.ref.mul(alpha)).add(shortcut.ref),
    pool(x) {
      const [n, c, h, w] = x.shape;
      return np.mean(x.ref.reshape([n, c, h / 2, 2, w / 2, 2]), [3, 5]);
    },
    loss(logits, labels, smoothing) {
      const [, classes] = logits.shape;
      const target = nn
        .oneHot(labels.ref, classes)
        .mul(1 - smoothing)
        .add(smoothing / classes);
      return np.mean(np.sum(target.mul(nn.logSoftmax(logits.ref, -1)), -1)).mul(-1);
    },
  };
}

/** `stepped` of nets.mjs; a convolution's unit is its first axis here. */
function update(np, w, g, m, { weightDecay, clipping }, lr, momentum) {
  let d = g;
  if (clipping !== null) {
    const axes = w.shape.length === 4 ? [1, 2, 3] : w.shape.length === 2 ? [0] : null;
    const norm = (v) => np.sqrt(np.sum(np.square(v.ref), axes, { keepdims: true }));
    const most = np.maximum(norm(w), 1e-3).mul(clipping);
    const factor = np.minimum(most.div(np.maximum(norm(g), 1e-6)), 1);
    d = d.mul(factor.reshape(w.shape.length === 0 ? [] : factor.shape));
  }
  if (weightDecay) d = d.add(w.ref.mul(weightDecay));
  const next = m.ref.mul(momentum).add(d.ref);
  return [w.ref.sub(d.add(next.ref.mul(momentum)).mul(lr.ref)), next];
}

/**
 * A compiled step: `(params, momenta, x, labels, lr) -> [loss, params, momenta]`, lists of arrays. `loss` is a function
 * of the list of parameters, x and labels.
 */
export function jaxStep(jax, loss, rules, momentum) {
  const { numpy: np } = jax;
  const both = jax.valueAndGrad(loss);
  return jax.jit((params, momenta, x, labels, lr) => {
    const [value, grads] = both(
      params.map((p) => p.ref),
      x,
      labels,
    );
    const pairs = params.map((p, i) => update(np, p, grads[i], momenta[i], rules[i], lr, momentum));
    return [value, pairs.map(([w]) => w), pairs.map(([, m]) => m)];
  });
}
