// Matrix products against plain loops in f64: every way to transpose and to batch, on every core.
import { ShapeError } from "../../src/index.ts";
import { linear, type MatmulAttrs, matmul } from "../../src/ops/matmul.ts";
import { type Case, opCase, rand, throws } from "../harness.ts";
import { type F64, f64, sizeOf } from "../oracle.ts";
import { onCore } from "./conv2d.ts";

function matmulF64(a: F64, b: F64, { transposeA = false, transposeB = false }: MatmulAttrs): F64 {
  const [ra, ca] = a.shape.slice(-2) as [number, number];
  const [rb, cb] = b.shape.slice(-2) as [number, number];
  const [m, k, n] = [transposeA ? ca : ra, transposeA ? ra : ca, transposeB ? rb : cb];
  const outer = (a.shape.length > 2 ? a.shape : b.shape).slice(0, -2);
  const y = f64([...outer, m, n]);
  for (let z = 0; z < sizeOf(outer); z++) {
    const [fromA, fromB] = [
      a.shape.length > 2 ? z * ra * ca : 0,
      b.shape.length > 2 ? z * rb * cb : 0,
    ];
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let l = 0; l < k; l++) {
          const left = a.data[fromA + (transposeA ? l * ca + i : i * ca + l)]!;
          sum += left * b.data[fromB + (transposeB ? j * cb + l : l * cb + j)]!;
        }
        y.data[(z * m + i) * n + j] = sum;
      }
  }
  return y;
}

type Shape = readonly number[];
function product(
  a: Shape,
  b: Shape,
  attrs: MatmulAttrs = {},
  core?: Parameters<typeof onCore>[0],
): Case {
  const shown = `${attrs.transposeA ? "'" : ""} [${b}]${attrs.transposeB ? "'" : ""}`;
  const made = opCase({
    name: `matmul [${a}]${shown}${core ? `, ${core}` : ""}`,
    inputs: { a: rand(a), b: rand(b) },
    apply: (t) => matmul(t.a, t.b, attrs),
    oracle: (t) => matmulF64(t.a, t.b, attrs),
    grads: ["a", "b"],
    tolerance: 1e-6,
  });
  return core ? onCore(core, made) : made;
}
const [aT, bT] = [{ transposeA: true }, { transposeB: true }];
const abT = { ...aT, ...bT };

const products = [
  product([1, 1], [1, 1]),
  product([5, 7], [7, 3]),
  product([9, 8], [8, 12]),
  product([1, 40], [40, 10]),
  product([7, 5], [7, 3], aT),
  product([8, 12], [8, 4], aT),
  product([5, 7], [3, 7], bT),
  product([9, 8], [12, 8], bT),
  product([7, 5], [3, 7], abT),
  product([8, 12], [4, 8], abT),
  product([64, 36], [36, 132]),
  product([2, 3, 5, 4], [2, 3, 4, 8]),
  product([3, 6, 5], [3, 5, 7]),
  product([3, 5, 6], [3, 7, 5], abT),
  product([3, 4, 8], [3, 4, 12], aT),
  product([3, 4, 8], [3, 12, 8], bT),
  product([4, 5, 6], [6, 3]),
  product([4, 6, 5], [6, 3], aT),
  product([2, 4, 8], [12, 8], bT),
  product([2, 8, 4], [12, 8], abT),
  product([5, 6], [4, 6, 3]),
  product([8, 5], [4, 8, 12], aT),
  product([5, 6], [4, 3, 6], bT),
  product([6, 5], [4, 3, 6], abT),
  product([1, 4, 8], [8, 4]),
  ...(["lanes", "tile", "registers"] as const).flatMap((core) => [
    product([2, 33, 20], [2, 20, 24], {}, core),
    product([2, 5, 33], [2, 7, 5], abT, core),
  ]),
];

const dense = (x: Shape, w: Shape, withBias: boolean) =>
  opCase({
    name: `linear [${x}] [${w}]${withBias ? " bias" : ""}`,
    inputs: { x: rand(x), w: rand(w), bias: rand([w[1]!]) },
    apply: (t) => linear(t.x, t.w, withBias ? t.bias : null),
    oracle: (t) => {
      const rows = { data: t.x.data, shape: [t.x.data.length / w[0]!, w[0]!] };
      const { data } = matmulF64(rows, t.w, {});
      const y = withBias ? data.map((v, i) => v + t.bias.data[i % w[1]!]!) : data;
      return { data: y, shape: [...x.slice(0, -1), w[1]!] };
    },
    grads: withBias ? ["x", "w", "bias"] : ["x", "w"],
    tolerance: 1e-6,
    dispatches: { forward: 1, backward: withBias ? 3 : 2 },
  });
const layers = [
  dense([1, 1], [1, 1], true),
  dense([6], [6, 4], true),
  dense([5, 20], [20, 10], true),
  dense([2, 3, 12], [12, 16], false),
  dense([33, 100], [100, 64], true),
];

const refused: readonly (readonly [string, Shape, Shape, MatmulAttrs, RegExp])[] = [
  ["rank", [4], [4, 4], {}, /a \[4\] has rank 1, expected at least 2/],
  ["columns and rows", [3, 4], [5, 6], {}, /a \[3,4\] times b \[5,6\]: 4 columns meet 5 rows/],
  [
    "transposed sizes",
    [3, 4],
    [4, 6],
    aT,
    /\[3,4\] \(transposed\) times b \[4,6\]: 3 columns meet 4 rows/,
  ],
  ["batches", [2, 3, 4], [3, 4, 5], {}, /expect equal leading dimensions/],
];
const errors: readonly Case[] = refused.map(([what, a, b, attrs, message]) => ({
  name: `matmul refuses: ${what}`,
  run: async (gpu) => {
    const [ta, tb] = [gpu.zeros(a), gpu.zeros(b)];
    await throws(what, () => matmul(ta, tb, attrs), ShapeError, message);
    for (const t of [ta, tb]) t.dispose();
  },
}));
const linearErrors: readonly Case[] = [
  {
    name: "linear refuses: sizes",
    run: async (gpu) => {
      const [x, w, bias] = [gpu.zeros([2, 3]), gpu.zeros([4, 5]), gpu.zeros([4])];
      await throws("x", () => linear(x, w), ShapeError, /weight \[4,5\] expects .*x is \[2,3\]/);
      const good = gpu.zeros([2, 4]);
      await throws("bias", () => linear(good, w, bias), ShapeError, /bias is \[4\].*expects \[5\]/);
      await throws("rank", () => linear(good, bias), ShapeError, /expects rank 2/);
      for (const t of [x, w, bias, good]) t.dispose();
    },
  },
];

export const cases: readonly Case[] = [...products, ...layers, ...errors, ...linearErrors];
