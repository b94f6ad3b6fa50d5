// Cases of every op called badly: with tensors of other ranks, sizes and dtypes, without tensors, with attributes that
// are none. Each call works or throws one of our errors that names the op, before the device has anything to complain of.
import { type Gpu, NfgradError, ops, type Tensor } from "../../src/index.ts";
import { type Case, fail } from "../harness.ts";

type Attrs = Readonly<Record<string, unknown>>;
type Call = (...args: unknown[]) => unknown;
/** A good call: the shapes of its tensors ("u" in front: u32; a list of strings: a list of tensors), and attributes. */
interface Good {
  readonly tensors: readonly (string | readonly string[])[];
  readonly attrs?: Attrs;
}
const unary: Good = { tensors: ["2,3"] };
const binary: Good = { tensors: ["2,3", "2,3"] };
const image: Good = { tensors: ["1,4,4,2"], attrs: { window: 2, stride: 1, padding: "VALID" } };
const reduced: Good = { tensors: ["2,3"], attrs: { axis: 1, keepDims: false } };
const drawn: Good = { tensors: ["2,3", "u4,2"], attrs: { at: 1, rate: 0.5 } };
const convolution: Good = {
  tensors: ["1,4,4,2", "3,3,1,4", "4"],
  attrs: { stride: 1, padding: "SAME", dilation: 1, groups: 2 },
};
const good: Readonly<Record<string, Good>> = {
  abs: unary,
  add: binary,
  argmax: { tensors: ["2,3"], attrs: { axis: -1 } },
  avgPool: image,
  batchNorm: { tensors: ["2,3", "3", "3"], attrs: { axes: [0], eps: 1e-5 } },
  batchNormEval: { tensors: ["2,3", "3", "3", "3", "3"], attrs: { axes: [0], eps: 1e-5 } },
  broadcastTo: { tensors: ["1,3"], attrs: { shape: [2, 3] } },
  cast: { tensors: ["2,3"], attrs: { dtype: "u32" } },
  celu: unary,
  clip: { tensors: ["2,3"], attrs: { min: 0, max: 1 } },
  concat: { tensors: [["2,3", "2,3"]], attrs: { axis: 0 } },
  conv2d: convolution,
  convTranspose2d: convolution,
  div: binary,
  dropout: drawn,
  elu: unary,
  equal: binary,
  exp: unary,
  flip: { tensors: ["2,3"], attrs: { axis: 1 } },
  gelu: { tensors: ["2,3"], attrs: { approximate: true } },
  glu: { tensors: ["2,4"] },
  greater: binary,
  leakyRelu: unary,
  less: binary,
  linear: { tensors: ["2,3", "3,4", "4"] },
  log: unary,
  logSigmoid: unary,
  logSoftmax: { tensors: ["2,3"], attrs: { axis: -1 } },
  matmul: { tensors: ["2,3", "3,4"], attrs: { transposeA: false, transposeB: false } },
  max: reduced,
  maximum: binary,
  maxPool: image,
  mean: reduced,
  min: reduced,
  minimum: binary,
  movingAverage: { tensors: ["3", "1", "3"], attrs: { decay: 0.9 } },
  mul: binary,
  neg: unary,
  oneHot: { tensors: ["u4"], attrs: { classes: 3 } },
  pad: {
    tensors: ["2,3"],
    attrs: {
      padding: [
        [0, 1],
        [2, 0],
      ],
    },
  },
  pow: binary,
  relu: unary,
  relu6: unary,
  reshape: { tensors: ["2,3"], attrs: { shape: [3, 2] } },
  residual: { tensors: ["2,3", "2,3", ""], attrs: { alpha: 0.5 } },
  rsqrt: unary,
  squeezeExcite: { tensors: ["2,4,4,8", "8,4", "4", "4,8", "8"], attrs: { scale: 2 } },
  scaleChannels: { tensors: ["2,4,4,3", "2,3"], attrs: { scale: 2, gate: "sigmoid" } },
  scaledActivation: { tensors: ["2,3"], attrs: { kind: "gelu", scale: 1 } },
  selu: unary,
  sigmoid: unary,
  sigmoidCrossEntropy: { tensors: ["2,3", "2,3"], attrs: { reduction: "mean" } },
  silu: unary,
  slice: { tensors: ["2,3"], attrs: { begin: [0, 1], size: [2, 2] } },
  softmax: { tensors: ["2,3"], attrs: { axis: -1 } },
  softmaxCrossEntropy: { tensors: ["2,3", "u2"], attrs: { smoothing: 0.1, reduction: "mean" } },
  softplus: unary,
  softSign: unary,
  sqrt: unary,
  square: unary,
  standardize: { tensors: ["3,3,2,4", "4"], attrs: { eps: 1e-4 } },
  standardizeAll: {
    tensors: [
      ["3,3,2,4", "2,5"],
      ["4", "5"],
    ],
    attrs: { eps: 1e-4 },
  },
  stochDepth: { tensors: ["2,3", "u4,2"], attrs: { at: 1, rate: 0.5, scaleByKeep: false } },
  sub: binary,
  sum: reduced,
  tanh: unary,
  topK: { tensors: ["2,3"], attrs: { k: 2 } },
  topKAccuracy: { tensors: ["4,3", "u4"], attrs: { k: 2 } },
  transpose: { tensors: ["2,3"], attrs: { perm: [1, 0] } },
  variance: reduced,
  where: { tensors: ["u2,3", "2,3", "2,3"] },
};
/** Values that are wrong for most attributes. */
const nonsense: readonly unknown[] = [
  null,
  0,
  -1,
  1.5,
  7,
  2 ** 31,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  "nonsense",
  true,
  [],
  [0],
  [-1, -1],
  [1, 2, 3, 4, 5],
  [Number.NaN, 1],
  {},
];
const otherShapes = ["", "1", "5", "3,2", "2,3,1,1", "2,3,1,1,1,1,1"];

const make = (gpu: Gpu, text: string): Tensor => {
  const shape = text
    .replace("u", "")
    .split(",")
    .filter((w) => w)
    .map(Number);
  const n = shape.reduce((p, d) => p * d, 1);
  const data = text.startsWith("u") ? new Uint32Array(n).fill(1) : new Float32Array(n).fill(0.5);
  return gpu.tensor(data, shape);
};
const turned = (text: string): string => (text.startsWith("u") ? text.slice(1) : `u${text}`);

/** Calls `op` and gives its error, if any. */
function attempt(gpu: Gpu, name: string, args: (g: Gpu) => unknown[]): unknown {
  const op = (ops as unknown as Record<string, Call>)[name]!;
  try {
    gpu.scope(() => {
      const given = args(gpu);
      try {
        op(...given);
      } catch (error) {
        throw { error };
      }
      return null;
    });
    return null;
  } catch (thrown) {
    return (thrown as { error: unknown }).error;
  }
}
/** What is wrong with an error: only our own may come out, with the op's name and an explanation. */
function complaint(name: string, error: unknown): string | null {
  if (error === null) return null;
  const text = String(error);
  if (!(error instanceof NfgradError) || error.name === "KernelError") return `got ${text}`;
  if (!error.message.startsWith(`${name}: `)) return `does not begin with its name: ${text}`;
  return error.message.length < name.length + 12 ? `explains nothing: ${text}` : null;
}

async function abuse(gpu: Gpu, name: string, { tensors, attrs = {} }: Good): Promise<void> {
  const make1 = (g: Gpu, t: string | readonly string[]) =>
    typeof t === "string" ? make(g, t) : t.map((s) => make(g, s));
  type Change = { at: number; to: (g: Gpu) => unknown };
  const all = (g: Gpu, change?: Change, a: unknown = attrs): unknown[] => [
    ...tensors.map((t, i) => (change?.at === i ? change.to(g) : make1(g, t))),
    a,
  ];
  const faults: string[] = [];
  const judge = (what: string, args: (g: Gpu) => unknown[], want?: "error" | "success") => {
    const error = attempt(gpu, name, args);
    const bad = complaint(name, error);
    if (bad) faults.push(`${what} ${bad}`);
    else if (want && (want === "error") !== (error !== null))
      faults.push(`${what} gives ${error ?? "no error"}`);
  };
  judge("a good call", (g) => all(g), "success");
  for (const [at, t] of tensors.entries()) {
    const plain = typeof t === "string" ? t : t[0]!;
    for (const to of [undefined, null, 3, "x", {}, [], [null], new Float32Array(6)])
      judge(`tensor ${at} = ${String(JSON.stringify(to))}`, (g) => all(g, { at, to: () => to }));
    for (const shape of [...otherShapes, turned(plain)])
      judge(`tensor ${at} = [${shape}]`, (g) => all(g, { at, to: (h) => make(h, shape) }));
    const gone = make(gpu, plain);
    gone.dispose();
    const late = typeof t === "string" ? gone : [gone];
    judge(`tensor ${at} released`, (g) => all(g, { at, to: () => late }), "error");
  }
  for (const key of Object.keys(attrs))
    for (const value of nonsense)
      judge(`${key} = ${typeof value === "number" ? value : JSON.stringify(value)}`, (g) =>
        all(g, undefined, { ...attrs, [key]: value }),
      );
  for (const value of [3, "x", [], null])
    judge(`attributes = ${JSON.stringify(value)}`, (g) => all(g, undefined, value));
  judge("no arguments", () => [], "error");
  judge("too many arguments", (g) => [...all(g), {}, 7]);
  await gpu.sync(); // nothing of it was an error of the device
  if (faults.length)
    throw new Error(`${name}: ${faults.length} bad calls\n  ${faults.join("\n  ")}`);
}

export const cases: readonly Case[] = [
  {
    name: "the table has every op",
    async run() {
      const missing = Object.keys(ops).filter((name) => !(name in good));
      if (missing.length) fail("ops without a good call here", [], missing);
    },
  },
  ...Object.entries(good).map(([name, call]) => ({
    name: `${name} called badly`,
    run: (gpu: Gpu) => abuse(gpu, name, call),
  })),
];
