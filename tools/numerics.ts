// What an adapter's arithmetic gives: each built-in function over a fixed range, with a digest of the result's bits and its
// error in units of the last place of the f32 result. Two drivers with equal digests compute the same.
//
//   node tools/run.mjs tools/numerics.ts
import { createHash } from "node:crypto";
import { defineKernel, openGpu } from "../src/index.ts";

const N = 1 << 16;
const f32 = Math.fround;

interface Measured {
  readonly name: string;
  readonly wgsl: string;
  /** Of a, b and c as they are in f32. */
  readonly exact: (a: number, b: number, c: number) => number;
  readonly range: readonly [number, number];
}
const small = f32(0.1);
const MEASURED: readonly Measured[] = [
  {
    name: "fma(a, b, c)",
    wgsl: "fma(a, b, c)",
    exact: (a, b, c) => f32(a * b) + c,
    range: [-3, 3],
  },
  { name: "a * b + c", wgsl: "a * b + c", exact: (a, b, c) => f32(a * b) + c, range: [-3, 3] },
  { name: "a / b", wgsl: "a / b", exact: (a, b) => a / b, range: [0.1, 3] },
  { name: "sqrt(a)", wgsl: "sqrt(a)", exact: (a) => Math.sqrt(a), range: [0.1, 9] },
  {
    name: "inverseSqrt(a)",
    wgsl: "inverseSqrt(a)",
    exact: (a) => 1 / Math.sqrt(a),
    range: [0.1, 9],
  },
  { name: "exp(a), |a| < 1", wgsl: "exp(a)", exact: Math.exp, range: [-1, 1] },
  { name: "exp(a), |a| < 20", wgsl: "exp(a)", exact: Math.exp, range: [-20, 20] },
  { name: "tanh(a), 0.1 to 4", wgsl: "tanh(a)", exact: Math.tanh, range: [0.1, 4] },
  { name: "log(a), 2 to 50", wgsl: "log(a)", exact: Math.log, range: [2, 50] },
  {
    name: "log(a), 0.9 to 1.1",
    wgsl: "log(a + 0.1)",
    exact: (a) => Math.log(f32(a + small)),
    range: [0.8, 1],
  },
];

const source = (wgsl: string) => `// numerics.wgsl: one function of a, b and c.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = x[id.x];
  let b = x[(id.x * 7u + 13u) % ${N}u];
  let c = x[(id.x * 5u + 3u) % ${N}u];
  y[id.x] = ${wgsl};
}
`;
const ulps = (got: number, want: number) =>
  Math.abs(got - want) / 2 ** (Math.floor(Math.log2(Math.abs(want))) - 23);

const gpu = await openGpu();
const { vendor, architecture, description } = gpu.info;
console.log(`${vendor} ${architecture} ${description}`);
console.log(
  "| | digest | worst, ulp | mean, ulp | correctly rounded |\n| --- | --- | --- | --- | --- |",
);
for (const { name, wgsl, exact, range } of MEASURED) {
  const [from, to] = range;
  const xs = Float32Array.from(
    { length: N },
    (_, i) => from + ((to - from) * ((i * 40503) % N)) / N,
  );
  const kernel = defineKernel(source(wgsl), { entry: "main" });
  const [x, y] = [gpu.tensor(xs), gpu.zeros([N])];
  gpu.dispatch(kernel, { x, y }, {}, [N]);
  const got = await y.data();
  let [worst, sum, right] = [0, 0, 0];
  for (let i = 0; i < N; i++) {
    const want = exact(xs[i]!, xs[(i * 7 + 13) % N]!, xs[(i * 5 + 3) % N]!);
    if (got[i] === f32(want)) right++;
    if (want === 0) continue;
    const error = ulps(got[i]!, want);
    worst = Math.max(worst, error);
    sum += error;
  }
  const digest = createHash("sha256").update(new Uint8Array(got.buffer)).digest("hex").slice(0, 8);
  const figures = [worst.toFixed(1), (sum / N).toFixed(2), `${((100 * right) / N).toFixed(1)} %`];
  console.log(`| ${name} | ${digest} | ${figures.join(" | ")} |`);
}
await gpu.close();
