// Transposed convolutions against lax.conv_transpose's definition in f64: x with zeros between its pixels, padded, then
// correlated with the weight as it stands.
import { ShapeError } from "../../src/index.ts";
import type { Conv2dAttrs } from "../../src/ops/conv2d.ts";
import { convTranspose2d } from "../../src/ops/convTranspose2d.ts";
import { type Case, opCase, rand, throws } from "../harness.ts";
import { type F64, f64 } from "../oracle.ts";
import { onCore } from "./conv2d.ts";

type Pair = readonly [number, number];
const both = (v: number | Pair | undefined): Pair => (typeof v === "object" ? v : [v ?? 1, v ?? 1]);

/** Zeros before the spread pixels, and the result's size: `lax.convolution._conv_transpose_padding`. */
function axisOf(
  size: number,
  k: number,
  s: number,
  d: number,
  p: Conv2dAttrs["padding"],
  axis: 0 | 1,
) {
  const reach = (k - 1) * d + 1;
  if (typeof p === "object") {
    const [low, high] = p[axis];
    return { before: reach - 1 - low, out: (size - 1) * s + reach - low - high };
  }
  const total = p === "VALID" ? reach + s - 2 + Math.max(reach - s, 0) : reach + s - 2;
  const before = p === "VALID" || s > reach - 1 ? reach - 1 : Math.ceil(total / 2);
  return { before, out: (size - 1) * s + 1 + total - reach + 1 };
}

function oracle(x: F64, w: F64, bias: F64 | null, attrs: Conv2dAttrs): F64 {
  const [n, h, width, c] = x.shape as [number, number, number, number];
  const [kh, kw, ci, k] = w.shape as [number, number, number, number];
  const [s, d, groups] = [both(attrs.stride), both(attrs.dilation), attrs.groups ?? 1];
  const rows = axisOf(h, kh, s[0], d[0], attrs.padding, 0);
  const columns = axisOf(width, kw, s[1], d[1], attrs.padding, 1);
  const y = f64([n, rows.out, columns.out, k]);
  let at = 0;
  for (let b = 0; b < n; b++)
    for (let i = 0; i < rows.out; i++)
      for (let j = 0; j < columns.out; j++)
        for (let o = 0; o < k; o++) {
          let sum = bias?.data[o] ?? 0;
          const first = Math.floor(o / (k / groups)) * ci;
          for (let r = 0; r < kh; r++)
            for (let q = 0; q < kw; q++) {
              const [u, v] = [
                (i + r * d[0] - rows.before) / s[0],
                (j + q * d[1] - columns.before) / s[1],
              ];
              if (!Number.isInteger(u) || !Number.isInteger(v)) continue;
              if (u < 0 || v < 0 || u >= h || v >= width) continue;
              for (let m = 0; m < ci; m++)
                sum +=
                  x.data[((b * h + u) * width + v) * c + first + m]! *
                  w.data[((r * kw + q) * ci + m) * k + o]!;
            }
          y.data[at++] = sum;
        }
  return y;
}

type Shape4 = readonly [number, number, number, number];
interface Spec extends Conv2dAttrs {
  readonly bias?: boolean;
}
function conv(x: Shape4, w: Shape4, { bias = false, ...attrs }: Spec = {}): Case {
  const shown = Object.keys(attrs).length ? ` ${JSON.stringify(attrs).replaceAll('"', "")}` : "";
  return opCase({
    name: `convTranspose2d [${x}] * [${w}]${shown}${bias ? " bias" : ""}`,
    inputs: { x: rand(x), w: rand(w), bias: rand([w[3]]) },
    apply: (t) => convTranspose2d(t.x, t.w, bias ? t.bias : null, attrs),
    oracle: (t) => oracle(t.x, t.w, bias ? t.bias : null, attrs),
    grads: bias ? ["x", "w", "bias"] : ["x", "w"],
    tolerance: 1e-6,
  });
}

const usual = [
  conv([1, 1, 1, 1], [1, 1, 1, 1], { bias: true }),
  conv([2, 3, 4, 8], [3, 3, 8, 12], { stride: 2, bias: true }),
  conv([1, 4, 3, 5], [3, 3, 5, 3], { bias: true }),
  conv([1, 3, 4, 4], [4, 4, 4, 8], { stride: 2, padding: "VALID" }),
  conv([1, 3, 2, 6], [2, 2, 6, 10], { stride: 3, bias: true }), // pixels that only the bias reaches
  conv([1, 3, 4, 4], [5, 3, 4, 4], { stride: [2, 1], dilation: [1, 2] }),
  conv([2, 4, 3, 4], [3, 3, 4, 8], {
    stride: 2,
    padding: [
      [1, 0],
      [0, 2],
    ],
    bias: true,
  }),
  conv([1, 4, 3, 8], [3, 3, 4, 12], { groups: 2, stride: 2, bias: true }),
  conv([1, 4, 3, 6], [3, 3, 2, 9], { groups: 3, padding: "VALID", bias: true }),
  conv([1, 4, 5, 8], [3, 3, 1, 8], { groups: 8, stride: 2, bias: true }),
  conv([1, 4, 5, 6], [3, 3, 2, 3], { groups: 3, stride: 2, bias: true }),
];
const cores = (["lanes", "tile", "registers"] as const).flatMap((core) =>
  [
    conv([2, 3, 4, 12], [3, 3, 12, 20], { stride: 2, bias: true }),
    conv([1, 4, 3, 10], [3, 3, 5, 6], { groups: 2, bias: true }),
  ].map(({ name, run }) => onCore(core, { name: `${name}, ${core}`, run })),
);

const refusals: readonly (readonly [
  string,
  readonly number[],
  readonly number[],
  Conv2dAttrs,
  RegExp,
])[] = [
  ["rank of x", [4, 4, 4], [3, 3, 4, 8], {}, /convTranspose2d: x \[4,4,4\] has rank 3/],
  ["rank of w", [1, 4, 4, 4], [3, 4, 8], {}, /convTranspose2d: weight \[3,4,8\] has rank 3/],
  [
    "channels",
    [1, 4, 4, 8],
    [3, 3, 4, 8],
    {},
    /weight \[3,3,4,8\] expects 4·groups input channels/,
  ],
  [
    "outputs",
    [1, 4, 4, 8],
    [3, 3, 4, 9],
    { groups: 2 },
    /9 output channels, not divisible by groups=2/,
  ],
  ["groups", [1, 4, 4, 8], [3, 3, 4, 8], { groups: 0.5 }, /groups is 0.5/],
  ["stride", [1, 4, 4, 8], [3, 3, 8, 8], { stride: 0 }, /convTranspose2d: stride is 0/],
  [
    "padding",
    [1, 1, 1, 8],
    [1, 1, 8, 8],
    {
      padding: [
        [1, 0],
        [0, 0],
      ],
    },
    /leaves nothing of x \[1,1,1,8\].*0 x 1/,
  ],
];
const errors: readonly Case[] = refusals.map(([what, x, w, attrs, message]) => ({
  name: `convTranspose2d refuses: ${what}`,
  run: async (gpu) => {
    const [tx, tw] = [gpu.zeros(x), gpu.zeros(w)];
    await throws(what, () => convTranspose2d(tx, tw, null, attrs), ShapeError, message);
    for (const t of [tx, tw]) t.dispose();
  },
}));

export const cases: readonly Case[] = [...usual, ...cores, ...errors];
