// The operations that are compared: inputs, the f64 values they are held to, and how each library says them.
// `ours` gives what is recorded; `without` is what it does besides and is subtracted (a gradient's forward pass).
import { sample, worstSum } from "../../dist/bench/case.js";
import { element } from "../../dist/bench/conv2d.js";
import { ops, tree, vjp } from "../../dist/index.js";

const M4 = 2 ** 22;
/** Peers may round as they like; a wrong kernel is off by far more than 64 roundings of our bound. */
const SLACK = 64;

const close = (actual, places, value) => {
  let worst = 0;
  for (const i of places) {
    const expected = value(i);
    const part = Math.abs(actual[i] - expected) / (1e-4 * Math.abs(expected) + 1e-5);
    if (!(part <= worst)) worst = part;
  }
  return worst;
};
const places = (name, n) => sample(name, n, 64);

function matmul(n) {
  const name = `matmul ${n}`;
  return {
    name,
    flops: 2 * n ** 3,
    inputs: { a: { shape: [n, n] }, b: { shape: [n, n] } },
    out: { shape: [n, n] },
    check: ([actual], { a, b }) =>
      worstSum(actual, places(name, n * n), (i) => {
        let [value, magnitude] = [0, 0];
        for (let k = 0; k < n; k++) {
          const term = a[Math.floor(i / n) * n + k] * b[k * n + (i % n)];
          value += term;
          magnitude += Math.abs(term);
        }
        return { value, magnitude };
      }) / SLACK,
    ours: ({ a, b }) => ops.matmul(a, b),
    jax:
      ({ numpy: np }) =>
      (a, b) =>
        np.matmul(a, b),
    tfjs: (tf) => (a, b) => tf.matMul(a, b),
    ort: { op: "MatMul" },
  };
}

function convs(title, { size, inCh, outCh, kernel, groups = 1 }) {
  const conv = { batch: 1, size, inCh, outCh, kernel, stride: 1, groups };
  const image = (c) => ({ shape: [1, size, size, c], kind: "image" });
  const x = image(inCh);
  const w = { shape: [kernel, kernel, inCh / groups, outCh], kind: "weight" };
  const dy = image(outCh);
  const pad = (kernel - 1) / 2;
  const forward = (a, b) => ops.conv2d(a, b, { groups });
  const jaxConv =
    ({ lax }) =>
    (a, b) =>
      lax.convGeneralDilated(
        a,
        b,
        [1, 1],
        [
          [pad, pad],
          [pad, pad],
        ],
        { featureGroupCount: groups },
      );
  const jaxGrad = (argnums) => (jax) =>
    jax.grad((a, b, d) => jax.numpy.sum(jaxConv(jax)(a, b).mul(d)), { argnums });
  // TensorFlow.js has no groups: slices, convolutions, and their concatenation.
  const tfConv = (tf) => (a, b) => {
    if (groups === 1) return tf.conv2d(a, b, 1, "same");
    const weights = tf.split(b, groups, 3);
    const parts = tf.split(a, groups, 3).map((part, i) => tf.conv2d(part, weights[i], 1, "same"));
    return tf.concat(parts, 3);
  };
  const flops = 2 * size ** 2 * outCh * (inCh / groups) * kernel ** 2;
  const common = (pass, out) => ({
    flops,
    out,
    check: ([actual], data) => {
      const size = out.shape.reduce((n, d) => n * d, 1);
      return worstSum(actual, places(title, size), (i) => element(conv, pass, data, i)) / SLACK;
    },
  });
  return [
    {
      ...common("forward", dy),
      name: `${title}: forward`,
      inputs: { x, w },
      ours: (t) => forward(t.x, t.w),
      jax: jaxConv,
      tfjs: tfConv,
      ort: {
        op: "Conv",
        attributes: {
          group: groups,
          kernel_shape: [kernel, kernel],
          pads: [pad, pad, pad, pad],
          strides: [1, 1],
        },
      },
    },
    {
      ...common("input", x),
      name: `${title}: by input`,
      inputs: { x, w, dy },
      ours: (t) => vjp((a) => forward(a, t.w))(t.x, t.dy).grads,
      without: (t) => forward(t.x, t.w),
      jax: jaxGrad(0),
      tfjs: (tf) => (a, b, d) => tf.grad((q) => tfConv(tf)(q, b))(a, d),
    },
    {
      ...common("weight", w),
      name: `${title}: by weight`,
      inputs: { x, w, dy },
      ours: (t) => vjp((b) => forward(t.x, b))(t.w, t.dy).grads,
      without: (t) => forward(t.x, t.w),
      jax: jaxGrad(1),
      tfjs: (tf) => (a, b, d) => tf.grad((q) => tfConv(tf)(a, q))(b, d),
    },
  ];
}

const ROOT = Math.sqrt(2 / Math.PI);
const gelu = (x) => 0.5 * x * (1 + Math.tanh(ROOT * (x + 0.044715 * x ** 3)));
const geluSlope = (x) => {
  const t = Math.tanh(ROOT * (x + 0.044715 * x ** 3));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * ROOT * (1 + 3 * 0.044715 * x * x);
};
const GAMMA = 1.7015043497085571; // base.py's constant for gelu

const tfGelu = (tf) => (x) => {
  const inner = tf.mul(ROOT, tf.add(x, tf.mul(0.044715, tf.mul(x, tf.square(x)))));
  return tf.mul(tf.mul(0.5 * GAMMA, x), tf.add(1, tf.tanh(inner)));
};
const jaxGelu = (jax) => (x) => jax.nn.gelu(x, { approximate: true }).mul(GAMMA);

function elementwise() {
  const x = { shape: [M4] };
  const at = places("gelu", M4);
  const scaled = (t) => ops.scaledActivation(t, { kind: "gelu" });
  return [
    {
      name: "scaled gelu 4M",
      bytes: 8 * M4,
      inputs: { x },
      out: x,
      check: ([y], { x }) => close(y, at, (i) => GAMMA * gelu(x[i])),
      ours: (t) => scaled(t.x),
      jax: jaxGelu,
      tfjs: tfGelu,
      // ONNX Runtime leaves the constant out: less work than ours.
      ort: { op: "Gelu", attributes: { approximate: "tanh" }, factor: GAMMA },
    },
    {
      name: "scaled gelu 4M: its gradient",
      bytes: 12 * M4,
      inputs: { x, dy: x },
      out: x,
      check: ([dx], { x, dy }) => close(dx, at, (i) => GAMMA * geluSlope(x[i]) * dy[i]),
      ours: (t) => vjp(scaled)(t.x, t.dy).grads,
      without: (t) => scaled(t.x),
      jax: (jax) => jax.grad((a, d) => jax.numpy.sum(jaxGelu(jax)(a).mul(d))),
      tfjs: (tf) => (a, d) => tf.grad(tfGelu(tf))(a, d),
    },
    {
      name: "sum 4M",
      bytes: 4 * M4,
      inputs: { x },
      out: { shape: [1] },
      check: ([y], { x }) => {
        const value = x.reduce((a, b) => a + b, 0);
        const magnitude = x.reduce((a, b) => a + Math.abs(b), 0);
        return worstSum(y, [0], () => ({ value, magnitude })) / SLACK;
      },
      ours: (t) => ops.sum(t.x),
      jax:
        ({ numpy: np }) =>
        (a) =>
          np.sum(a),
      tfjs: (tf) => (a) => tf.sum(a),
      ort: { op: "ReduceSum" },
    },
  ];
}

function softmax() {
  const [rows, width] = [1024, 1000];
  const shape = [rows, width];
  return {
    name: "softmax 1024x1000",
    bytes: 8 * rows * width,
    inputs: { x: { shape } },
    out: { shape },
    check: ([y], { x }) =>
      close(y, places("softmax", rows * width), (i) => {
        const row = x.subarray(i - (i % width), i - (i % width) + width);
        return Math.exp(x[i]) / row.reduce((a, v) => a + Math.exp(v), 0);
      }),
    ours: (t) => ops.softmax(t.x),
    jax: (jax) => (a) => jax.nn.softmax(a, -1),
    tfjs: (tf) => (a) => tf.softmax(a),
    ort: { op: "Softmax", attributes: { axis: 1 } },
  };
}

/** Three hundred additions to 4096 numbers, each a dispatch of its own in every library. */
function tiny() {
  const shape = [4096];
  const chain = (x, step) => {
    let y = x;
    for (let i = 0; i < 300; i++) y = step(y);
    return y;
  };
  return {
    name: "300 tiny dispatches",
    inputs: { x: { shape } },
    out: { shape },
    check: ([y], { x }) => close(y, places("tiny", 4096), (i) => x[i] + 30),
    ours: (t) => chain(t.x, (y) => ops.add(y, 0.1)),
    // One jitted function would fuse them all: what is compared is the cost of a dispatch.
    jax: (jax) => {
      const step = jax.jit((x) => x.add(0.1));
      return Object.assign((x) => chain(x, step), { whole: true });
    },
    tfjs: (tf) => (x) => chain(x, (y) => tf.add(y, 0.1)),
  };
}

/** What an NF block's branch computes, with the same arithmetic in both libraries, and all five gradients. */
function block() {
  const [size, ch, width, groups] = [24, 512, 256, 2];
  const x = { shape: [1, size, size, ch], kind: "image" };
  const weight = (...shape) => ({
    shape,
    kind: "weight",
    scale: 1.7 / Math.sqrt(shape[0] * shape[1] * shape[2]),
  });
  const inputs = {
    x,
    w0: weight(1, 1, ch, width),
    w1: weight(3, 3, width / groups, width),
    w2: weight(3, 3, width / groups, width),
    w3: weight(1, 1, width, ch),
  };
  const flops = 3 * 2 * size ** 2 * (2 * ch * width + (2 * 9 * width * width) / groups);
  const act = (t) => ops.scaledActivation(t, { kind: "gelu" });
  const loss = ({ x, w0, w1, w2, w3 }) => {
    let h = ops.conv2d(act(x), w0);
    h = ops.conv2d(act(h), w1, { groups });
    h = ops.conv2d(act(h), w2, { groups });
    h = ops.conv2d(act(h), w3);
    return ops.sum(ops.residual(h, x, null, { alpha: 0.2 }));
  };
  return {
    name: "NF block forward + backward (1,24,24,512)",
    flops,
    inputs,
    out: Object.values(inputs),
    agree: true,
    ours: (t, { grad }) => grad(loss)(t),
    jax: (jax) => {
      const { lax, numpy: np } = jax;
      const gelu = jaxGelu(jax);
      const cv = (a, w, g, p, pads = [p, p]) =>
        lax.convGeneralDilated(a, w, [1, 1], [pads, pads], { featureGroupCount: g });
      const f = (x, w0, w1, w2, w3) => {
        let h = cv(gelu(x.ref), w0, 1, 0);
        h = cv(gelu(h), w1, groups, 1);
        h = cv(gelu(h), w2, groups, 1);
        h = cv(gelu(h), w3, 1, 0);
        return np.sum(h.mul(0.2).add(x));
      };
      return jax.grad(f, { argnums: [0, 1, 2, 3, 4] });
    },
  };
}

/** A recorded function's results, in a list. */
export const listed = (result) => tree.leaves(result).map(({ tensor }) => tensor);

export const operations = [
  matmul(512),
  matmul(1024),
  ...convs("conv 1x1 28x28 256>512", { size: 28, inCh: 256, outCh: 512, kernel: 1 }),
  ...convs("conv 3x3 56x56 64>64", { size: 56, inCh: 64, outCh: 64, kernel: 3 }),
  ...convs("grouped 3x3 24x24 256 g2", { size: 24, inCh: 256, outCh: 256, kernel: 3, groups: 2 }),
  block(),
  ...elementwise(),
  softmax(),
  tiny(),
];
