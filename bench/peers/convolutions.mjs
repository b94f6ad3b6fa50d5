// Convolutions and matrix products, all passes: how each library says them, and their f64 values.
import { jaxConv } from "./jax.mjs";
import { conv, convShape, sizeOf } from "./reference.mjs";
import { tfConv } from "./tfjs.mjs";

const zeros = (shape) => ({ data: new Float64Array(sizeOf(shape)), shape });

/** `[m, k] x [k, n]`: what a 1x1 convolution computes, which is its reference. */
export function matmul(name, m, k = m, n = m) {
  return {
    name,
    kind: "sum",
    flops: 2 * m * k * n,
    inputs: { a: { shape: [m, k] }, b: { shape: [k, n] } },
    outs: [{ shape: [m, n] }],
    expected({ a, b }) {
      const y = new Float64Array(m * n);
      const x = { data: a, shape: [1, m, 1, k] };
      conv("forward", x, { data: b, shape: [1, 1, k, n] }, y, {});
      return [{ data: y }];
    },
    ours: ({ a, b }, { ops }) => ops.matmul(a, b),
    "jax-js":
      ({ numpy: np }) =>
      (a, b) =>
        np.matmul(a, b),
    tfjs: (tf) => (a, b) => tf.matMul(a, b),
    ort: { op: "MatMul" },
  };
}

/** SAME padding in ONNX's words: begins, then ends. */
function onnxPads(size, kernel, { stride, dilation }) {
  const need = (Math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size;
  const before = Math.max(need, 0) >> 1;
  const after = Math.max(need, 0) - before;
  return [before, before, after, after];
}

/** The three passes of a convolution with SAME padding. */
export function convs(title, given) {
  const { batch = 1, size, inCh, outCh, kernel, groups = 1, stride = 1, dilation = 1 } = given;
  const options = { groups, stride, dilation };
  const x = { shape: [batch, size, size, inCh], kind: "image" };
  const w = { shape: [kernel, kernel, inCh / groups, outCh], kind: "weight" };
  const dy = { shape: convShape(x.shape, w.shape, options), kind: "image" };
  const flops = (2 * sizeOf(dy.shape) * inCh * kernel ** 2) / groups;
  const common = (pass, out) => ({
    name: `${title}: ${pass === "forward" ? pass : `by ${pass}`}`,
    kind: "sum",
    flops,
    inputs: pass === "forward" ? { x, w } : { x, w, dy },
    outs: [out],
    expected({ x: a, w: b, dy: d }) {
      const at = { x: { data: a, shape: x.shape }, w: { data: b, shape: w.shape } };
      const result = zeros(out.shape);
      if (pass === "forward") conv(pass, at.x, at.w, result.data, options);
      else if (pass === "input") conv(pass, result, at.w, d, options);
      else conv(pass, at.x, result, d, options);
      return [result];
    },
  });
  const jaxGrad = (argnums) => (jax) => {
    const forward = jaxConv(jax, options);
    // The forward pass of it is dead code, which `jit` removes.
    return jax.grad((a, b, d) => jax.numpy.sum(forward(a, b).mul(d)), { argnums });
  };
  const tf1 = (tf) => tfConv(tf, options);
  const plain = groups === 1 && dilation === 1;
  const differentiable = dilation === 1; // TensorFlow.js has no gradient of a dilated convolution
  return [
    {
      ...common("forward", dy),
      ours: (t, { ops }) => ops.conv2d(t.x, t.w, options),
      "jax-js": (jax) => jaxConv(jax, options),
      tfjs: (tf) => (a, b) => tf1(tf)(a, b),
      ort: {
        op: "Conv",
        attributes: {
          group: groups,
          kernel_shape: [kernel, kernel],
          pads: onnxPads(size, kernel, options),
          strides: [stride, stride],
          dilations: [dilation, dilation],
        },
      },
    },
    {
      ...common("input", x),
      ours: (t, { ops, vjp }) => vjp((a) => ops.conv2d(a, t.w, options))(t.x, t.dy).grads,
      "jax-js": jaxGrad(0),
      // Its gradient by itself has a name of its own; where it has not, forward and gradient.
      tfjs:
        differentiable &&
        ((tf) =>
          plain
            ? (_, b, d) => tf.conv2dTranspose(d, b, x.shape, stride, "same")
            : (a, b, d) => tf.grad((q) => tf1(tf)(q, b))(a, d)),
    },
    {
      ...common("weight", w),
      ours: (t, { ops, vjp }) => vjp((b) => ops.conv2d(t.x, b, options))(t.w, t.dy).grads,
      "jax-js": jaxGrad(1),
      tfjs:
        differentiable &&
        ((tf) =>
          plain
            ? (a, _, d) =>
                tf.engine().runKernel(
                  "Conv2DBackpropFilter",
                  { x: a, dy: d },
                  {
                    strides: [stride, stride],
                    pad: "same",
                    dataFormat: "NHWC",
                    filterShape: w.shape,
                  },
                )
            : (a, b, d) => tf.grad((q) => tf1(tf)(a, q))(b, d)),
    },
  ];
}

/** Shapes that nobody tuned for, and that must not fall off a cliff. */
export function oddOperations() {
  const odd = (title, given) => convs(`odd: ${title}`, given);
  return [
    matmul("odd: matmul 1000x17 x 17x1000", 1000, 17, 1000),
    matmul("odd: matmul 64x1000 x 1000x64", 64, 1000, 64),
    matmul("odd: matmul 33x77 x 77x5", 33, 77, 5),
    matmul("odd: matmul 1x2048 x 2048x1000", 1, 2048, 1000),
    ...odd("conv 3x3 30x30 37>53", { size: 30, inCh: 37, outCh: 53, kernel: 3 }),
    ...odd("conv 3x3 30x30 37>53 batch 3", { batch: 3, size: 30, inCh: 37, outCh: 53, kernel: 3 }),
    ...odd("conv 5x5 28x28 48>64", { size: 28, inCh: 48, outCh: 64, kernel: 5 }),
    ...odd("conv 3x3 28x28 64>64 dilation 2", {
      ...{ size: 28, inCh: 64, outCh: 64, kernel: 3, dilation: 2 },
    }),
    ...odd("conv 3x3 56x56 64>128 stride 2", {
      ...{ size: 56, inCh: 64, outCh: 128, kernel: 3, stride: 2 },
    }),
    ...odd("conv 3x3 64x64 3>16 stride 2", {
      ...{ size: 64, inCh: 3, outCh: 16, kernel: 3, stride: 2 },
    }),
    ...odd("conv 1x1 7x7 1536>384", { size: 7, inCh: 1536, outCh: 384, kernel: 1 }),
    ...odd("depthwise 3x3 56x56 64", { size: 56, inCh: 64, outCh: 64, kernel: 3, groups: 64 }),
    ...odd("grouped 3x3 25x25 60>84 g3", { size: 25, inCh: 60, outCh: 84, kernel: 3, groups: 3 }),
    ...odd("conv 3x3 8x8 8>8", { size: 8, inCh: 8, outCh: 8, kernel: 3 }),
  ];
}
