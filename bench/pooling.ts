// Pooling: the shortcut's average, NF-ResNet's maximum, and the mean over an image, forward and gradient.
import { ops, type Shape, type Tensor, vjp } from "../src/index.ts";
import { type Case, opCase, type Sum, sizeOf, sumOf } from "./case.ts";

interface Pool {
  readonly kind: "avg" | "max";
  readonly window: number;
  readonly shape: readonly [n: number, h: number, w: number, c: number];
  readonly quick: boolean;
}

/** The places in x of the window of output element o; SAME padding with stride 2 of even sizes. */
function places({ window, shape: [, h, w, c] }: Pool, o: number): number[] {
  const pad = Math.max(window - 2, 0) >> 1;
  const channel = o % c;
  const pixel = Math.floor(o / c);
  const ow = pixel % (w / 2);
  const oh = Math.floor(pixel / (w / 2)) % (h / 2);
  const image = Math.floor(pixel / (w / 2) / (h / 2));
  const along = (out: number, size: number) =>
    Array.from({ length: window }, (_, k) => 2 * out - pad + k).filter((v) => v >= 0 && v < size);
  return along(oh, h).flatMap((r) =>
    along(ow, w).map((s) => ((image * h + r) * w + s) * c + channel),
  );
}

/** The outputs whose windows may hold element i of x. */
function outputs({ window, shape: [, h, w, c] }: Pool, i: number): number[] {
  const pixel = Math.floor(i / c);
  const [v, u] = [pixel % w, Math.floor(pixel / w) % h];
  const image = Math.floor(pixel / w / h);
  const near = (at: number, size: number) =>
    Array.from({ length: window + 1 }, (_, k) => Math.floor(at / 2) - window + 1 + k).filter(
      (o) => o >= 0 && o < size / 2,
    );
  return near(u, h).flatMap((oh) =>
    near(v, w).map((ow) => ((image * (h / 2) + oh) * (w / 2) + ow) * c + (i % c)),
  );
}

function pool(p: Pool): Case[] {
  const { kind, window, shape, quick } = p;
  const [n, h, w, c] = shape;
  const out = [n, h / 2, w / 2, c];
  const [size, outSize] = [sizeOf(shape), sizeOf(out)];
  const f = (x: Tensor) => ops[`${kind}Pool`](x, { window, stride: 2, padding: "SAME" });
  const name = `pool ${kind} ${window}x${window} ${shape.join("x")}`;
  const greatest = (x: ArrayLike<number>, at: readonly number[]) =>
    at.reduce((a, b) => (x[b]! > x[a]! ? b : a));
  const one = (value: number): Sum => ({ value, magnitude: Math.abs(value) });
  return [
    opCase({
      name: `${name} forward`,
      flops: window ** 2 * outSize,
      bytes: 4 * (size + outSize),
      quick,
      inputs: { x: shape },
      apply: ({ x }) => ({ y: f(x) }),
      oracle: ({ x }) => ({
        y: (o) => {
          const at = places(p, o);
          if (kind === "max") return one(x[greatest(x, at)]!);
          const { value, magnitude } = sumOf(at.length, (k) => x[at[k]!]!);
          return { value: value / at.length, magnitude: magnitude / at.length };
        },
      }),
    }),
    opCase({
      name: `${name} gradient`,
      flops: window ** 2 * outSize,
      bytes: 4 * ((kind === "max" ? 2 : 1) * size + outSize), // the maximum's must look for its place in x
      quick,
      inputs: { x: shape, dy: out },
      apply: ({ x, dy }) => vjp((q: { x: Tensor }) => f(q.x))({ x }, dy).grads,
      oracle: ({ x, dy }) => ({
        x: (i) => {
          const terms = outputs(p, i).flatMap((o) => {
            const at = places(p, o);
            if (kind === "avg") return at.includes(i) ? [dy[o]! / at.length] : [];
            return greatest(x, at) === i ? [dy[o]!] : []; // the first of equal ones, as ours
          });
          return sumOf(terms.length, (k) => terms[k]!);
        },
      }),
    }),
  ];
}

/** The mean over height and width, in front of the classifier. */
function mean(shape: Shape): Case[] {
  const [n, h, w, c] = shape as [number, number, number, number];
  const pixels = h * w;
  const f = (x: Tensor) => ops.mean(x, { axis: [1, 2] });
  const name = `pool mean ${shape.join("x")}`;
  const bytes = 4 * (sizeOf(shape) + n * c);
  return [
    opCase({
      name: `${name} forward`,
      flops: sizeOf(shape),
      bytes,
      quick: true,
      inputs: { x: shape },
      apply: ({ x }) => ({ y: f(x) }),
      oracle: ({ x }) => ({
        y: (i) => {
          const start = Math.floor(i / c) * pixels * c + (i % c);
          const { value, magnitude } = sumOf(pixels, (k) => x[start + k * c]!);
          return { value: value / pixels, magnitude: magnitude / pixels };
        },
      }),
    }),
    opCase({
      name: `${name} gradient`,
      flops: n * c,
      bytes,
      inputs: { x: shape, dy: [n, c] },
      apply: ({ x, dy }) => vjp((q: { x: Tensor }) => f(q.x))({ x }, dy).grads,
      oracle: ({ dy }) => ({
        x: (i) => sumOf(1, () => dy[Math.floor(i / c / pixels) * c + (i % c)]! / pixels),
      }),
    }),
  ];
}

/** F0's at 192x192: the shortcuts of two stages; NF-ResNet's first; F0's last. */
export const cases = (): Case[] => [
  ...pool({ kind: "avg", window: 2, shape: [8, 48, 48, 256], quick: true }),
  ...pool({ kind: "avg", window: 2, shape: [8, 24, 24, 512], quick: false }),
  ...pool({ kind: "max", window: 3, shape: [4, 96, 96, 64], quick: true }),
  ...mean([8, 6, 6, 3072]),
];
