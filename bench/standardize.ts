// Scaled weight standardization of NFNet-F0's convolutions, forward and backward, layer by layer.
import { nn, ops, type Shape, type Tensor, vjp } from "../src/index.ts";
import { type Case, opCase, type Sum, sizeOf, sumOf } from "./case.ts";

export const EPS = 1e-4;

type Numbers = ArrayLike<number>;

/** One column of `[rows, cols]` in f64, standardized. */
function column(w: Numbers, shape: Shape, c: number) {
  const cols = shape.at(-1)!;
  const rows = sizeOf(shape) / cols;
  const at = (r: number) => w[r * cols + c]!;
  const sum = sumOf(rows, at);
  const mean = sum.value / rows;
  const centred = (r: number) => at(r) - mean;
  const squares = sumOf(rows, (r) => centred(r) ** 2).value; // variance times fan-in
  if (squares < EPS) throw new RangeError("a case below eps has another gradient");
  const size = sum.magnitude / rows;
  return { cols, rows, at, mean, size, centred, root: 1 / Math.sqrt(squares) };
}

/** Element i of the result. */
export function forward(w: Numbers, gain: Numbers, shape: Shape, i: number): Sum {
  const c = i % shape.at(-1)!;
  const { cols, at, mean, size, root } = column(w, shape, c);
  const [value, factor] = [at((i - c) / cols), root * gain[c]!];
  return {
    value: (value - mean) * factor,
    magnitude: (Math.abs(value) + size) * Math.abs(factor),
  };
}

/** Element i of dw; with i < 0 element -1 - i of dgain. */
export function backward(w: Numbers, gain: Numbers, dy: Numbers, shape: Shape, i: number): Sum {
  const c = i < 0 ? -1 - i : i % shape.at(-1)!;
  const { cols, rows, centred, root } = column(w, shape, c);
  const g = (r: number) => dy[r * cols + c]!;
  const along = sumOf(rows, (r) => g(r) * centred(r) * root);
  if (i < 0) return along;
  const r = (i - c) / cols;
  const mean = sumOf(rows, g);
  const hat = centred(r) * root;
  const factor = root * gain[c]!;
  return {
    value: factor * (g(r) - mean.value / rows - hat * along.value),
    magnitude:
      Math.abs(factor) * (Math.abs(g(r)) + mean.magnitude / rows + Math.abs(hat) * along.magnitude),
  };
}

/** The weights of all convolutions of F0, in order. */
export function f0Weights(): Shape[] {
  const { spec } = nn.nfnet({ variant: "F0", numClasses: 1000 });
  const convs = [
    ...Object.values(spec.stem),
    ...spec.blocks.flatMap((block) =>
      [block.convShortcut, block.conv0, block.conv1, block.conv1b, block.conv2].flatMap((conv) =>
        conv ? [conv] : [],
      ),
    ),
    spec.finalConv,
  ];
  return convs.map(({ w }) => w.shape);
}

const label = (shape: Shape) => shape.join("x");
// Forward: 2 for the mean and the centred difference, 2 for the squares, 2 for the result. Backward: 4 for two sums, 4
// for the result. What must move: w, y; w, dy, dw. Gains are as nothing.
export const work = (n: number) => ({
  forward: { flops: 6 * n, bytes: 8 * n },
  both: { flops: 14 * n, bytes: 20 * n },
});

function pulled(f: typeof plain, p: { w: Tensor; gain: Tensor }, dy: Tensor) {
  const { value, grads } = vjp((q: typeof p) => f(q))(p, dy);
  return { y: value, ...grads };
}

/** As the reference writes it, by plain ops. */
function plain({ w, gain }: { w: Tensor; gain: Tensor }): Tensor {
  const over = { axis: [0, 1, 2], keepDims: true };
  const fanIn = w.size / w.shape.at(-1)!;
  const root = ops.rsqrt(ops.maximum(ops.mul(ops.variance(w, over), fanIn), EPS));
  const scale = ops.mul(root, gain);
  return ops.sub(ops.mul(w, scale), ops.mul(ops.mean(w, over), scale));
}

function one(shape: Shape, quick: boolean): Case[] {
  const gains = [shape.at(-1)!];
  const { forward: there, both: back } = work(sizeOf(shape));
  const f = (p: { w: Tensor; gain: Tensor }) => ops.standardize(p.w, p.gain, { eps: EPS });
  return [
    opCase({
      name: `standardize ${label(shape)} forward`,
      ...there,
      quick,
      inputs: { w: shape, gain: gains },
      apply: (p) => ({ y: f(p) }),
      plain: (p) => ({ y: plain(p) }),
      oracle: ({ w, gain }) => ({ y: (i) => forward(w, gain, shape, i) }),
    }),
    opCase({
      name: `standardize ${label(shape)} forward + backward`, // which reads the statistics that forward kept
      ...back,
      quick,
      inputs: { w: shape, gain: gains, dy: shape },
      apply: ({ w, gain, dy }) => pulled(f, { w, gain }, dy),
      plain: ({ w, gain, dy }) => pulled(plain, { w, gain }, dy),
      oracle: ({ w, gain, dy }) => ({
        y: (i) => forward(w, gain, shape, i),
        w: (i) => backward(w, gain, dy, shape, i),
        gain: (c) => backward(w, gain, dy, shape, -1 - c),
      }),
    }),
  ];
}

export function cases(): Case[] {
  const distinct = [...new Map(f0Weights().map((shape) => [label(shape), shape])).values()];
  return distinct.flatMap((shape) => one(shape, label(shape) === "3x3x128x768"));
}
