// Small ops with naive kernels for the tests of the engine, so that these stand on the public core alone and not on the
// library of ops. Each is one thread an element (or one thread in all); nothing here is meant to be fast.
import { defineKernel, defineOp, type Kernel, ShapeError, type Tensor } from "../../src/index.ts";

interface Text {
  readonly read?: readonly string[];
  readonly write?: readonly string[];
  /** Beside `n`, the number of threads. */
  readonly params?: string;
  readonly body: string;
}
/** WGSL of one thread an element: `i` is the element, `p` the parameters. Names `u32...` bind integers. */
export function elementwise(
  name: string,
  { read = [], write = ["y"], params = "", body }: Text,
): Kernel {
  const binds = [...read, ...write].map((b, slot) => {
    const mode = slot < read.length ? "read" : "read_write";
    const type = /^(labels|key)$/.test(b) ? "u32" : "f32";
    return `@group(0) @binding(${slot}) var<storage, ${mode}> ${b}: array<${type}>;`;
  });
  return defineKernel(
    `// toy/${name}.wgsl: one thread an element.
struct Params { n: u32, ${params} }
${binds.join("\n")}
@group(0) @binding(${binds.length}) var<uniform> p: Params;
fn draw(key: u32, at: u32) -> f32 {
  var h = (key * 747796405u + at) * 2891336453u + 1u;
  h = ((h >> ((h >> 28u) + 4u)) ^ h) * 277803737u;
  return f32((h >> 8u) ^ (h >> 22u)) / 16777216.0;
}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = (wid.y * nwg.x + wid.x) * 64u + lid;
  if (i >= p.n) { return; }
  ${body}
}
`,
    { entry: "main" },
  );
}
/** Threads for kernels that loop: workgroups are dear on software adapters. */
export const few = (n: number): number => Math.min(n, 2 ** 14);
const d = (t: Tensor, i: number): number => t.shape[i]!;

const scaleK = elementwise("scale", { read: ["x"], params: "f: f32", body: "y[i] = x[i] * p.f;" });
export const scale = defineOp({
  name: "scale",
  inputs: ["x"],
  saves: [],
  shape: ({ x }) => x.shape,
  forward: (run, { x, y }, { by }: { by: number }) =>
    run(scaleK, { x, y }, { n: x.size, f: by }, [x.size]),
  backward: (run, { dy, dx }, { by }) =>
    run(scaleK, { x: dy, y: dx }, { n: dx.size, f: by }, [dx.size]),
});

const mulK = elementwise("mul", { read: ["x", "w"], body: "y[i] = x[i] * w[i];" });
export const mul = defineOp({
  name: "mul",
  inputs: ["x", "w"],
  shape: ({ x, w }) => {
    if (x.shape.join() !== w.shape.join())
      throw new ShapeError(`mul: w [${w.shape}] must be [${x.shape}]`);
    return x.shape;
  },
  forward: (run, { x, w, y }) => run(mulK, { x, w, y }, { n: x.size }, [x.size]),
  backward: (run, { x, w, dy, dx, dw }) => {
    if (dx) run(mulK, { x: dy, w, y: dx }, { n: x.size }, [x.size]);
    if (dw) run(mulK, { x: dy, w: x, y: dw }, { n: x.size }, [x.size]);
  },
});

const addK = elementwise("add", { read: ["x", "w"], body: "y[i] = x[i] + w[i];" });
/** Both gradients are dy itself: what the tape must not add into while another holds it. */
export const add = defineOp({
  name: "add",
  inputs: ["x", "w"],
  saves: [],
  passes: ["x", "w"],
  shape: ({ x }) => x.shape,
  forward: (run, { x, w, y }) => run(addK, { x, w, y }, { n: x.size }, [x.size]),
});

const reluK = elementwise("relu", {
  read: ["x"],
  params: "f: f32",
  body: "y[i] = max(x[i], 0.0) * p.f;",
});
const reluBackK = elementwise("reluBackward", {
  read: ["x", "dy"],
  params: "f: f32",
  body: "y[i] = select(0.0, dy[i] * p.f, x[i] > 0.0);",
});
export const relu = defineOp({
  name: "relu",
  inputs: ["x"],
  shape: ({ x }) => x.shape,
  forward: (run, { x, y }, { gain }: { gain: number }) =>
    run(reluK, { x, y }, { n: x.size, f: gain }, [x.size]),
  backward: (run, { x, dy, dx }, { gain }) =>
    run(reluBackK, { x, dy, y: dx }, { n: x.size, f: gain }, [x.size]),
});

const matmulK = elementwise("matmul", {
  read: ["x", "w"],
  params: "cols: u32, k: u32, xt: u32, wt: u32",
  body: `let r = i / p.cols; let c = i % p.cols; let rows = p.n / p.cols;
  var sum = 0.0;
  for (var k = 0u; k < p.k; k++) {
    sum += x[select(r * p.k + k, k * rows + r, p.xt == 1u)] * w[select(k * p.cols + c, c * p.k + k, p.wt == 1u)];
  }
  y[i] = sum;`,
});
export const matmul = defineOp({
  name: "matmul",
  inputs: ["x", "w"],
  shape: ({ x, w }) => {
    if (x.shape.length !== 2 || w.shape.length !== 2 || d(x, 1) !== d(w, 0))
      throw new ShapeError(`matmul: w [${w.shape}] expects [n,${d(w, 0)}], x is [${x.shape}]`);
    return [d(x, 0), d(w, 1)];
  },
  forward: (run, { x, w, y }) =>
    run(matmulK, { x, w, y }, { n: y.size, cols: d(w, 1), k: d(x, 1), xt: 0, wt: 0 }, [y.size]),
  backward: (run, { x, w, dy, dx, dw }) => {
    const [m, k, n] = [d(x, 0), d(x, 1), d(w, 1)];
    if (dx) run(matmulK, { x: dy, w, y: dx }, { n: m * k, cols: k, k: n, xt: 0, wt: 1 }, [m * k]);
    if (dw) run(matmulK, { x, w: dy, y: dw }, { n: k * n, cols: n, k: m, xt: 1, wt: 0 }, [k * n]);
  },
});

const addBiasK = elementwise("addBias", {
  read: ["x", "w"],
  params: "cols: u32",
  body: "y[i] = x[i] + w[i % p.cols];",
});
const columnSumK = elementwise("columnSum", {
  read: ["x"],
  params: "rows: u32",
  body: "var sum = 0.0; for (var r = 0u; r < p.rows; r++) { sum += x[r * p.n + i]; } y[i] = sum;",
});
export const addBias = defineOp({
  name: "addBias",
  inputs: ["x", "w"],
  passes: ["x"],
  saves: ["w"],
  shape: ({ x }) => x.shape,
  forward: (run, { x, w, y }) => run(addBiasK, { x, w, y }, { n: x.size, cols: w.size }, [y.size]),
  backward: (run, { w, dy, dw }) => {
    if (dw) run(columnSumK, { x: dy, y: dw }, { n: w.size, rows: dy.size / w.size }, [w.size]);
  },
});

const meanK = elementwise("columnMean", {
  read: ["x"],
  params: "rows: u32",
  body: "var sum = 0.0; for (var r = 0u; r < p.rows; r++) { sum += x[r * p.n + i]; } y[i] = sum / f32(p.rows);",
});
const meanBackK = elementwise("columnMeanBackward", {
  read: ["x"],
  params: "cols: u32",
  body: "y[i] = x[i % p.cols] / f32(p.n / p.cols);",
});
/** [m, n] -> [n] */
export const columnMean = defineOp({
  name: "columnMean",
  inputs: ["x"],
  shape: ({ x }) => [d(x, 1)],
  forward: (run, { x, y }) => run(meanK, { x, y }, { n: y.size, rows: d(x, 0) }, [y.size]),
  backward: (run, { dy, dx }) =>
    run(meanBackK, { x: dy, y: dx }, { n: dx.size, cols: dy.size }, [dx.size]),
});

const sumK = elementwise("sum", {
  read: ["x"],
  params: "count: u32",
  body: "var s = 0.0; for (var r = 0u; r < p.count; r++) { s += x[r]; } y[0] = s;",
});
const fillK = elementwise("fill", { read: ["x"], body: "y[i] = x[0];" });
/** Everything, to a scalar. */
export const sum = defineOp({
  name: "sum",
  inputs: ["x"],
  shape: () => [],
  forward: (run, { x, y }) => run(sumK, { x, y }, { n: 1, count: x.size }, [1]),
  backward: (run, { dy, dx }) => run(fillK, { x: dy, y: dx }, { n: dx.size }, [dx.size]),
});

const lse = `var top = x[r * p.cols];
    for (var c = 1u; c < p.cols; c++) { top = max(top, x[r * p.cols + c]); }
    var sum = 0.0;
    for (var c = 0u; c < p.cols; c++) { sum += exp(x[r * p.cols + c] - top); }
    let lse = top + log(sum);`;
const crossK = elementwise("crossEntropy", {
  read: ["x", "labels"],
  params: "rows: u32, cols: u32",
  body: `var total = 0.0;
  for (var r = 0u; r < p.rows; r++) {
    ${lse}
    total += lse - x[r * p.cols + labels[r]];
  }
  y[0] = total / f32(p.rows);`,
});
const crossBackK = elementwise("crossEntropyBackward", {
  read: ["x", "labels", "dy"],
  params: "rows: u32, cols: u32",
  body: `let r = i / p.cols;
    ${lse}
  y[i] = (exp(x[i] - lse) - select(0.0, 1.0, labels[r] == i % p.cols)) * dy[0] / f32(p.rows);`,
});
export const crossEntropy = defineOp({
  name: "crossEntropy",
  inputs: ["x", "labels"],
  shape: () => [],
  forward: (run, { x, labels, y }) =>
    run(crossK, { x, labels, y }, { n: 1, rows: d(x, 0), cols: d(x, 1) }, [1]),
  backward: (run, { x, labels, dy, dx }) => {
    const params = { n: x.size, rows: d(x, 0), cols: d(x, 1) };
    if (dx) run(crossBackK, { x, labels, dy, y: dx }, params, [x.size]);
  },
});

const dropoutK = elementwise("dropout", {
  read: ["x", "key"],
  params: "rate: f32, stream: u32",
  body: "y[i] = select(x[i] / (1.0 - p.rate), 0.0, draw(key[0] * 31u + p.stream, i) < p.rate);",
});
/** Its own backward: the mask is drawn again from the key. */
export const dropout = defineOp({
  name: "dropout",
  inputs: ["x", "key"],
  saves: ["key"],
  shape: ({ x }) => x.shape,
  forward: (run, { x, key, y }, { rate, stream }: { rate: number; stream: number }) =>
    run(dropoutK, { x, key, y }, { n: x.size, rate, stream }, [x.size]),
  backward: (run, { key, dy, dx }, { rate, stream }) => {
    if (dx) run(dropoutK, { x: dy, key, y: dx }, { n: dx.size, rate, stream }, [dx.size]);
  },
});

const cubeK = elementwise("cube", { read: ["x", "w"], body: "y[i] = x[i] * x[i] * w[i];" });
/** x * x * w with no backward of its own: the gradient comes from the composition. */
export const squareMul = defineOp({
  name: "squareMul",
  inputs: ["x", "w"],
  shape: ({ x }) => x.shape,
  forward: (run, { x, w, y }) => run(cubeK, { x, w, y }, { n: x.size }, [x.size]),
  reference: ({ x, w }) => mul(mul(x, x), w),
});

const momentumK = elementwise("momentum", {
  read: ["g", "lr"],
  write: ["w", "m"],
  params: "count: u32, mu: f32",
  body: `for (var j = i; j < p.count; j += p.n) {
    let v = p.mu * m[j] + g[j];
    m[j] = v;
    w[j] -= lr[0] * v;
  }`,
});

export { momentumK };
