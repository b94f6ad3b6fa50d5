// Squeeze-and-excite at NFNet-F0's shapes, the whole of it: mean, two linear layers, sigmoid, scaling of the channels.
import { ops, type Tensor, vjp } from "../src/index.ts";
import { type Case, opCase, sizeOf } from "./case.ts";
import { exciteF64 } from "./nfnet.ts";
import { f64Tape } from "./oracle.ts";

/** Images, height, width, channels; half of the channels are hidden. */
type Size = readonly [n: number, h: number, w: number, c: number];
type Given<T> = Readonly<Record<"x" | "w0" | "b0" | "w1" | "b1", T>>;

const apply = ({ x, w0, b0, w1, b1 }: Given<Tensor>): Tensor =>
  ops.squeezeExcite(x, w0, b0, w1, b1, { scale: 2 });

/** The layers one by one. */
function plain({ x, w0, b0, w1, b1 }: Given<Tensor>): Tensor {
  const hidden = ops.relu(ops.linear(ops.mean(x, { axis: [1, 2] }), w0, b0));
  return ops.scaleChannels(x, ops.linear(hidden, w1, b1), { scale: 2 });
}
const pulled = (f: typeof apply, { dy, ...given }: Given<Tensor> & { readonly dy: Tensor }) => {
  const { value, grads } = vjp((p: Given<Tensor>) => f(p))(given, dy);
  return { y: value, ...grads };
};

function both(size: Size, quick: boolean): Case[] {
  const [n, , , c] = size;
  const shapes = { x: size, w0: [c, c / 2], b0: [c / 2], w1: [c / 2, c], b1: [c] } as const;
  const range = { w0: Math.sqrt(3 / c), w1: Math.sqrt(6 / c) };
  const names = {
    "linear/w": "w0",
    "linear/b": "b0",
    "linear1/w": "w1",
    "linear1/b": "b1",
  } as const;
  const inF64 = (given: Given<Float32Array>, dy?: Float32Array) => {
    const grads: Record<string, Float64Array> = {};
    const t = f64Tape();
    const leaf = (name: keyof typeof shapes) =>
      t.leaf(shapes[name], given[name], (grad) => {
        grads[name] = grad;
      });
    const y = exciteF64(t, (path) => leaf(names[path as keyof typeof names]), leaf("x"));
    if (dy) t.backward(y, dy);
    return { y: y.data, grads };
  };
  const label = size.join("x");
  const [activations, weights] = [sizeOf(size), c * c + 1.5 * c];
  const linears = 2 * n * c * c; // multiply-adds of two layers, two operations each
  return [
    opCase({
      name: `excite ${label} forward`,
      flops: linears + 3 * activations,
      bytes: 4 * (2 * activations + weights),
      quick,
      inputs: shapes,
      range,
      apply: (given) => ({ y: apply(given) }),
      plain: (given) => ({ y: plain(given) }),
      whole: (given) => ({ y: inF64(given).y }),
    }),
    opCase({
      name: `excite ${label} forward + backward`,
      flops: 3 * linears + 8 * activations,
      bytes: 4 * (5 * activations + 3 * weights),
      quick,
      inputs: { ...shapes, dy: size },
      range,
      apply: (given) => pulled(apply, given),
      plain: (given) => pulled(plain, given),
      whole({ dy, ...given }) {
        const { y, grads } = inF64(given, dy);
        const { x, w0, b0, w1, b1 } = grads as Given<Float64Array>;
        return { y, x, w0, b0, w1, b1 };
      },
    }),
  ];
}

/** A block of the second stage, and the ends of the four stages at 192x192. */
export const cases = (): Case[] => [
  ...both([1, 24, 24, 512], true),
  ...both([8, 48, 48, 256], false),
  ...both([8, 24, 24, 512], false),
  ...both([8, 12, 12, 1536], false),
  ...both([8, 6, 6, 1536], false),
];
