// The operations that are compared, named as in the table of bars: inputs, f64 values, and how each library says them.
import { blockOperation, stepOperation } from "./blocks.mjs";
import { convs, matmul, oddOperations } from "./convolutions.mjs";
import { jaxGelu } from "./jax.mjs";
import { GAMMA, gelu, geluSlope } from "./reference.mjs";
import { tfGelu, tfGeluGradient } from "./tfjs.mjs";

const M4 = 2 ** 22;
/** `f(i)` in f64, for all elements. */
const values = (n, f) => {
  const data = new Float64Array(n);
  for (let i = 0; i < n; i++) data[i] = f(i);
  return [{ data }];
};

function elementwise() {
  const x = { shape: [M4], scale: 4 };
  return [
    {
      name: "scaled gelu 4M",
      kind: "elementwise",
      bytes: 8 * M4,
      inputs: { x },
      outs: [x],
      expected: ({ x }) => values(M4, (i) => gelu(x[i])),
      ours: (t, { ops }) => ops.scaledActivation(t.x, { kind: "gelu" }),
      "jax-js": jaxGelu,
      tfjs: (tf) => tfGelu(tf),
      // ONNX has no constant for it: its results are scaled on the host, which is not timed.
      ort: { op: "Gelu", attributes: { approximate: "tanh" }, factor: GAMMA },
    },
    {
      name: "scaled gelu 4M: its gradient",
      kind: "elementwise",
      bytes: 12 * M4,
      inputs: { x, dy: { shape: [M4] } },
      outs: [x],
      expected: ({ x, dy }) => values(M4, (i) => geluSlope(x[i]) * dy[i]),
      ours: (t, { ops, vjp }) =>
        vjp((a) => ops.scaledActivation(a, { kind: "gelu" }))(t.x, t.dy).grads,
      "jax-js": (jax) => jax.grad((a, d) => jax.numpy.sum(jaxGelu(jax)(a).mul(d))),
      tfjs: (tf) => tfGeluGradient(tf),
    },
  ];
}

function sum() {
  return {
    name: "sum 4M",
    kind: "total",
    bytes: 4 * M4,
    inputs: { x: { shape: [M4] } },
    outs: [{ shape: [] }],
    expected: ({ x }) => {
      const magnitude = x.reduce((a, b) => a + Math.abs(b), 0);
      return [{ data: [x.reduce((a, b) => a + b, 0)], scale: magnitude }];
    },
    ours: (t, { ops }) => ops.sum(t.x),
    "jax-js":
      ({ numpy: np }) =>
      (a) =>
        np.sum(a),
    tfjs: (tf) => (a) => tf.sum(a),
    ort: { op: "ReduceSum", attributes: { keepdims: 0 } },
  };
}

function softmax() {
  const [rows, width] = [1024, 1000];
  const shape = [rows, width];
  return {
    name: "softmax 1024x1000",
    kind: "elementwise",
    bytes: 8 * rows * width,
    inputs: { x: { shape, scale: 4 } },
    outs: [{ shape }],
    expected: ({ x }) => {
      const sums = new Float64Array(rows);
      x.forEach((v, i) => {
        sums[Math.floor(i / width)] += Math.exp(v);
      });
      return values(rows * width, (i) => Math.exp(x[i]) / sums[Math.floor(i / width)]);
    },
    ours: (t, { ops }) => ops.softmax(t.x),
    "jax-js": (jax) => (a) => jax.nn.softmax(a, -1),
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
    kind: "chain",
    inputs: { x: { shape } },
    outs: [{ shape }],
    expected: ({ x }) => values(4096, (i) => x[i] + 30),
    ours: (t, { ops }) => chain(t.x, (y) => ops.add(y, 0.1)),
    // One jitted function would fuse them all: what is compared is the cost of a dispatch.
    "jax-js": (jax) => {
      const step = jax.jit((x) => x.add(0.1));
      return Object.assign((x) => chain(x, step), { whole: true });
    },
    tfjs: (tf) => (x) => chain(x, (y) => tf.add(y, 0.1)),
  };
}

/** The table's rows, and with "odd" others than those. */
export const shapes = {
  table: () => [
    matmul("matmul 512", 512),
    matmul("matmul 1024", 1024),
    ...convs("conv 1x1 28x28 256>512", { size: 28, inCh: 256, outCh: 512, kernel: 1 }),
    ...convs("conv 3x3 56x56 64>64", { size: 56, inCh: 64, outCh: 64, kernel: 3 }),
    ...convs("grouped 3x3 24x24 256 g2", { size: 24, inCh: 256, outCh: 256, kernel: 3, groups: 2 }),
    blockOperation(),
    ...elementwise(),
    sum(),
    softmax(),
    tiny(),
    stepOperation(),
  ],
  odd: oddOperations,
};
