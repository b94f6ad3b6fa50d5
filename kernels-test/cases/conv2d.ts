// Convolutions and their gradients against plain loops in f64, on every core that variants.ts can choose.
import { ShapeError } from "../../src/index.ts";
import { type Conv2dAttrs, conv2d } from "../../src/ops/conv2d.ts";
import { lanesOf, pinChoice, type Variant } from "../../src/ops/variants.ts";
import { type Case, opCase, rand, throws } from "../harness.ts";
import { type F64, f64 } from "../oracle.ts";

type Pair = readonly [number, number];
const both = (v: number | Pair | undefined): Pair => (typeof v === "object" ? v : [v ?? 1, v ?? 1]);

/** TensorFlow's rule, written from its definition. */
function pads(
  size: number,
  k: number,
  s: number,
  d: number,
  p: Conv2dAttrs["padding"],
  axis: 0 | 1,
) {
  if (p === "VALID") return [0, 0] as const;
  if (typeof p === "object") return p[axis];
  const out = Math.ceil(size / s);
  const total = Math.max((out - 1) * s + (k - 1) * d + 1 - size, 0);
  return [Math.floor(total / 2), total - Math.floor(total / 2)] as const;
}

function conv2dF64(x: F64, w: F64, bias: F64 | null, attrs: Conv2dAttrs): F64 {
  const [n, h, width, c] = x.shape as [number, number, number, number];
  const [kh, kw, ci, k] = w.shape as [number, number, number, number];
  const [s, d, groups] = [both(attrs.stride), both(attrs.dilation), attrs.groups ?? 1];
  const [top, bottom] = pads(h, kh, s[0], d[0], attrs.padding, 0);
  const [left, right] = pads(width, kw, s[1], d[1], attrs.padding, 1);
  const oh = Math.floor((h + top + bottom - (kh - 1) * d[0] - 1) / s[0]) + 1;
  const ow = Math.floor((width + left + right - (kw - 1) * d[1] - 1) / s[1]) + 1;
  const y = f64([n, oh, ow, k]);
  const perGroup = k / groups;
  let at = 0;
  for (let b = 0; b < n; b++)
    for (let i = 0; i < oh; i++)
      for (let j = 0; j < ow; j++)
        for (let o = 0; o < k; o++) {
          let sum = bias?.data[o] ?? 0;
          const first = Math.floor(o / perGroup) * ci;
          for (let r = 0; r < kh; r++) {
            const row = i * s[0] + r * d[0] - top;
            if (row < 0 || row >= h) continue;
            for (let q = 0; q < kw; q++) {
              const column = j * s[1] + q * d[1] - left;
              if (column < 0 || column >= width) continue;
              const from = ((b * h + row) * width + column) * c + first;
              const weight = (r * kw + q) * ci;
              for (let m = 0; m < ci; m++) sum += x.data[from + m]! * w.data[(weight + m) * k + o]!;
            }
          }
          y.data[at++] = sum;
        }
  return y;
}

type Shape4 = readonly [number, number, number, number];
/** Small tiles: what is tested is the text, and large ones take a software adapter's compiler seconds. */
const BASE = {
  wx: 1,
  wy: 1,
  quads: 1,
  depth: 4,
  prefetch: false,
  images: false,
  splits: 1,
} as const;
const CORES = {
  lanes: { ...BASE, core: "lanes", wx: 2, wy: 2, rows: 2 },
  tile: { ...BASE, core: "tile", wx: 8, wy: 4, rows: 4, depth: 8, prefetch: true, splits: 3 },
  registers: { ...BASE, core: "registers", wx: 32, rows: 4, quads: 2, splits: 2 },
  alone: { ...BASE, core: "registers", rows: 4 },
} as const satisfies Record<string, Omit<Variant, "lanes">>;
interface Spec extends Conv2dAttrs {
  readonly bias?: boolean;
  readonly core?: keyof typeof CORES;
  readonly note?: string;
  /** For large ones, whose differences in f64 take long. */
  readonly forwardOnly?: boolean;
}
function conv(
  x: Shape4,
  w: Shape4,
  { bias = false, core, note, forwardOnly, ...attrs }: Spec = {},
): Case {
  const shown =
    Object.keys(attrs).length > 0 ? ` ${JSON.stringify(attrs).replaceAll('"', "")}` : "";
  const name = `conv2d [${x}] * [${w}]${shown}${bias ? " bias" : ""}${core ? `, ${core}` : ""}`;
  const inputs = { x: rand(x), w: rand(w), bias: rand([w[3]]) };
  const made = opCase({
    name: note ? `${name}: ${note}` : name,
    inputs,
    apply: (t) => conv2d(t.x, t.w, bias ? t.bias : null, attrs),
    oracle: (t) => conv2dF64(t.x, t.w, bias ? t.bias : null, attrs),
    grads: forwardOnly ? [] : bias ? ["x", "w", "bias"] : ["x", "w"],
    tolerance: 1e-6,
  });
  return core ? onCore(core, made) : made;
}

/**
 * The case with all products on one core, forward and backward. Where an adapter's subgroups do not fit the lanes core,
 * what the engine runs in its place.
 */
export function onCore(core: keyof typeof CORES, made: Case): Case {
  return {
    name: made.name,
    run: async (gpu) => {
      const lanes = lanesOf(gpu.info);
      const variant = { ...CORES[core === "lanes" && !lanes ? "alone" : core], lanes: lanes || 8 };
      const before = pinChoice(gpu.info, (_, pass) => ({
        ...variant,
        splits: pass === "weight" ? variant.splits : 1,
      }));
      try {
        await made.run(gpu);
      } finally {
        pinChoice(gpu.info, before);
      }
    },
  };
}

const usual = [
  conv([1, 1, 1, 1], [1, 1, 1, 1], { bias: true, note: "single elements" }),
  conv([2, 6, 7, 8], [3, 3, 8, 16], { bias: true }),
  conv([1, 7, 6, 3], [3, 3, 3, 5], { bias: true }),
  conv([2, 9, 7, 6], [3, 3, 6, 10], { stride: 2, bias: true }),
  conv([1, 9, 8, 4], [3, 3, 4, 8], { stride: 2 }),
  conv([1, 10, 9, 4], [3, 3, 4, 8], { stride: 3 }),
  conv([1, 5, 8, 5], [3, 3, 5, 8], { stride: [1, 2] }),
  conv([1, 9, 10, 4], [3, 3, 4, 8], { dilation: 2 }),
  conv([1, 11, 10, 4], [3, 3, 4, 8], { dilation: [3, 2], stride: 2 }),
  conv([1, 11, 10, 4], [4, 3, 4, 8], { dilation: [2, 3], stride: [4, 3] }),
  conv([1, 6, 6, 8], [3, 3, 8, 8], { padding: "VALID" }),
  conv([1, 9, 8, 8], [2, 2, 8, 8], {
    stride: 2,
    padding: "VALID",
    note: "pixels that no output reads",
  }),
  conv([1, 3, 2, 4], [7, 7, 4, 4], { note: "a kernel larger than its input" }),
  conv([2, 12, 11, 3], [7, 7, 3, 16], { stride: 2 }),
  conv([1, 6, 7, 4], [2, 2, 4, 8]),
  conv([1, 7, 6, 4], [4, 4, 4, 8], { stride: 2 }),
  conv([1, 8, 7, 4], [5, 5, 4, 4]),
  conv([1, 5, 4, 4], [3, 3, 4, 4], {
    padding: [
      [5, 0],
      [1, 6],
    ],
    note: "padding beyond the kernel",
  }),
  conv([1, 1, 9, 4], [1, 3, 4, 4], {
    padding: [
      [0, 0],
      [2, 0],
    ],
    dilation: [1, 2],
    note: "causal",
  }),
  conv([2, 4, 5, 24], [1, 1, 24, 40], { bias: true }),
  conv([2, 5, 5, 12], [1, 1, 12, 8], { stride: 2 }),
  conv([1, 5, 7, 70], [3, 3, 70, 33]),
  conv([3, 12, 12, 16], [1, 1, 16, 128]),
  conv([1, 9, 9, 128], [3, 3, 64, 128], { groups: 2, stride: 2, bias: true }),
  conv([1, 48, 48, 8], [1, 1, 8, 36], { note: "many rows" }),
];
const grouped = [
  conv([2, 5, 6, 8], [3, 3, 4, 8], { groups: 2 }),
  conv([1, 6, 5, 6], [3, 3, 3, 10], { groups: 2, stride: 2, bias: true }),
  conv([1, 7, 6, 32], [3, 3, 8, 32], { groups: 4, stride: 2 }),
  conv([2, 7, 6, 8], [3, 3, 1, 8], { groups: 8, bias: true, note: "depthwise" }),
  conv([1, 9, 10, 6], [5, 5, 1, 6], { groups: 6, stride: 2, note: "depthwise" }),
  conv([1, 7, 7, 4], [3, 3, 1, 8], { groups: 4, bias: true, note: "depthwise, multiplier 2" }),
  conv([1, 7, 7, 5], [3, 3, 1, 15], { groups: 5, dilation: 2, note: "depthwise, multiplier 3" }),
  conv([3, 13, 18, 64], [3, 3, 1, 64], { groups: 64, note: "depthwise, parts of pixels" }),
  conv([1, 2, 3, 4], [5, 4, 1, 4], { groups: 4, stride: 3, note: "depthwise, a large kernel" }),
  conv([1, 8, 6, 3], [3, 3, 1, 12], { groups: 3, stride: [2, 1], note: "depthwise, multiplier 4" }),
  conv([1, 11, 12, 4], [9, 2, 1, 4], { groups: 4, bias: true, note: "depthwise, blocks of taps" }),
  conv([1, 12, 13, 8], [3, 2, 1, 8], { groups: 8, stride: 2, dilation: [2, 3], note: "depthwise" }),
  conv([1, 9, 13, 4], [2, 2, 1, 4], {
    groups: 4,
    stride: [3, 4],
    note: "depthwise, unread pixels",
  }),
];
const cores = (["lanes", "tile", "registers"] as const).flatMap((core) => [
  conv([2, 6, 7, 12], [3, 3, 12, 20], { core, stride: 2, bias: true }),
  conv([1, 7, 6, 6], [3, 3, 3, 10], { core, groups: 2, bias: true }),
  conv([2, 9, 9, 20], [1, 1, 20, 36], { core }),
]);

// 65,792 workgroups of one thread.
const wideGrid = conv([1, 514, 512, 1], [1, 1, 1, 1], {
  core: "alone",
  note: "a split grid",
  forwardOnly: true,
});

type Numbers = readonly number[];
/** Calls that must fail before any GPU work, and what their message says. */
const refused: readonly (readonly [
  string,
  Numbers,
  Numbers,
  Numbers | null,
  Conv2dAttrs,
  RegExp,
])[] = [
  ["rank of x", [4, 4, 4], [3, 3, 4, 8], null, {}, /x \[4,4,4\] has rank 3/],
  ["rank of w", [1, 4, 4, 4], [3, 3, 8], null, {}, /weight \[3,3,8\] has rank 3/],
  [
    "channels",
    [2, 8, 8, 96],
    [3, 3, 64, 128],
    null,
    {},
    /weight \[3,3,64,128\] expects 64·groups input channels, x is \[2,8,8,96\] \(groups=1\)/,
  ],
  ["groups", [1, 4, 4, 8], [3, 3, 4, 9], null, { groups: 2 }, /9 output channels.*groups=2/],
  ["groups 0", [1, 4, 4, 8], [3, 3, 8, 8], null, { groups: 0 }, /groups is 0/],
  ["stride 0", [1, 4, 4, 4], [3, 3, 4, 4], null, { stride: 0 }, /stride is 0/],
  ["stride 1.5", [1, 4, 4, 4], [3, 3, 4, 4], null, { stride: [1, 1.5] }, /stride is \[1,1\.5\]/],
  ["dilation", [1, 4, 4, 4], [3, 3, 4, 4], null, { dilation: -1 }, /dilation is -1/],
  [
    "padding",
    [1, 4, 4, 4],
    [3, 3, 4, 4],
    null,
    {
      padding: [
        [-1, 0],
        [0, 0],
      ],
    },
    /padding is \[\[-1,0\]/,
  ],
  ["no output", [1, 2, 4, 4], [3, 3, 4, 4], null, { padding: "VALID" }, /larger than x.*0 x 2/],
  ["bias", [1, 4, 4, 4], [3, 3, 4, 8], [4], {}, /bias is \[4\], expected \[8\]/],
];
const errors: readonly Case[] = refused.map(([what, x, w, bias, attrs, message]) => ({
  name: `conv2d refuses: ${what}`,
  run: async (gpu) => {
    const [tx, tw] = [gpu.zeros(x), gpu.zeros(w)];
    const tb = bias && gpu.zeros(bias);
    await throws(what, () => conv2d(tx, tw, tb, attrs), ShapeError, message);
    for (const t of [tx, tw, tb]) t?.dispose();
  },
}));
const dtype: Case = {
  name: "conv2d refuses: dtype",
  run: async (gpu) => {
    const [x, w] = [gpu.zeros([1, 4, 4, 4], "u32"), gpu.zeros([3, 3, 4, 4])];
    await throws("dtype", () => conv2d(x, w), ShapeError, /x is u32, expected f32/);
    for (const t of [x, w]) t.dispose();
  },
};
export const cases: readonly Case[] = [...usual, ...grouped, ...cores, wideGrid, ...errors, dtype];
