// A toy network and its training step, written as a user would: only the public surface and ops of one's own.

import { reshapeView } from "../../src/core/op.ts";
import {
  defineKernel,
  defineOp,
  type Gpu,
  type Host,
  type Initializer,
  openGpu,
  type SpecTree,
  type Tensor,
  type Tree,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { alike } from "../alike.ts";
import { generator, normals, sizeOf } from "../oracle.ts";
import {
  addBias,
  columnMean,
  crossEntropy,
  dropout,
  elementwise,
  few,
  matmul,
  momentumK,
  relu,
} from "./toy.ts";

const source = `// soft_cap.wgsl: y = cap * tanh(x / cap), one thread an element.
struct Params { n: u32, cap: f32 }
override WG: u32 = 64u;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;
fn t(v: f32) -> f32 { return tanh(clamp(v / p.cap, -20.0, 20.0)); }
@compute @workgroup_size(WG) fn forward(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < p.n) { y[id.x] = p.cap * t(x[id.x]); }
}
@compute @workgroup_size(WG) fn backward(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < p.n) { let v = t(x[id.x]); dx[id.x] = dy[id.x] * (1.0 - v * v); }
}
`;
const forward = defineKernel(source, { entry: "forward" });
const backward = defineKernel(source, { entry: "backward", knobs: { WG: 128 } });
/** The example of api.md: its kernel cannot be split, one slot has two names. */
export const softCap = defineOp({
  name: "softCap",
  inputs: ["x"],
  shape: ({ x }) => x.shape,
  forward: (run, { x, y }, { cap }: { cap: number }) =>
    run(forward, { x, y }, { n: x.size, cap }, [x.size]),
  backward: (run, { x, dy, dx }, { cap }) =>
    run(backward, { x, dy, dx }, { n: x.size, cap }, [x.size]),
});

type HostTree = Host | { readonly [name: string]: HostTree };
type TensorsOf<T> = T extends Host ? Tensor : { readonly [K in keyof T]: TensorsOf<T[K]> };
/** Parameters with given values, in arenas. */
export function params<const T extends HostTree>(
  gpu: Gpu,
  hosts: T,
  options: { arenaBytes?: number } = {},
): TensorsOf<T> {
  const specOf = (h: HostTree): SpecTree => {
    if ("data" in h && "shape" in h) {
      const { data, shape } = h as Host;
      const init = Object.assign(() => data as Float32Array<ArrayBuffer>, { random: false });
      return { shape, init: init satisfies Initializer };
    }
    return Object.fromEntries(Object.entries(h).map(([k, v]) => [k, specOf(v as HostTree)]));
  };
  const init = gpu.init.bind(gpu) as unknown as (spec: SpecTree, o: object) => unknown;
  return init(specOf(hosts), options) as TensorsOf<T>;
}

const normal = (seed: number, shape: readonly number[]): Host => ({
  data: Float32Array.from(normals(sizeOf(shape), seed), (v) => v / Math.sqrt(shape[0]!)),
  shape,
});
const hosts = (seed: number) => ({
  first: { w: normal(seed * 8 + 1, [64, 16]) },
  hidden: { w: normal(seed * 8 + 2, [16, 16]), b: normal(seed * 8 + 3, [16]) },
  head: { w: normal(seed * 8 + 4, [16, 4]), b: normal(seed * 8 + 5, [4]) },
});
/** The network's parameters, in an arena. */
export const initNet = (gpu: Gpu, seed: number, options: { arenaBytes?: number } = {}) =>
  params(gpu, hosts(seed), options);
export type Net = ReturnType<typeof initNet>;

/** [n, 64] -> [n, 4]. `first.w` is used twice, once through two views. */
export function net(p: Net, x: Tensor, key?: Tensor): Tensor {
  let h = relu(matmul(x, p.first.w), { gain: 1.7 });
  h = addBias(h, columnMean(reshapeView(reshapeView(p.first.w, [1024]), [64, 16])));
  h = relu(addBias(matmul(h, p.hidden.w), p.hidden.b), { gain: 1.7 });
  if (key) h = dropout(h, key, { rate: 0.25, stream: 3 });
  return softCap(addBias(matmul(h, p.head.w), p.head.b), { cap: 30 });
}
export const lossOf = (p: Net, x: Tensor, y: Tensor, key?: Tensor) => {
  const logits = net(p, x, key);
  return [crossEntropy(logits, y), { logits }] as const;
};

/** Momentum on whole arenas, two in-place tensors a dispatch. */
export function momentum<P>(gpu: Gpu, p: P & Tree<P>, mu = 0.9) {
  const state = gpu.zerosLike(p);
  const [weights, moments] = [tree.arenas(p), tree.arenas(state)];
  return {
    state,
    update(grads: P, { lr }: { lr: number | Tensor }): void {
      const rate = typeof lr === "number" ? gpu.tensor(Float32Array.of(lr), []) : lr;
      tree.arenas(tree.pack(grads, p)).forEach((g, i) => {
        const [w, m] = [weights[i]!, moments[i]!];
        gpu.dispatch(momentumK, { g, lr: rate, w, m }, { n: few(w.size), count: w.size, mu }, [
          few(w.size),
        ]);
      });
      if (typeof lr === "number") rate.dispose();
    },
  };
}

const pickK = elementwise("pick", {
  read: ["x"],
  params: "stride: u32",
  body: "var s = 0.0; for (var j = 0u; j < 64u; j++) { s += x[j * p.stride]; } y[0] = s;",
});
const unpickK = elementwise("unpick", {
  read: ["x"],
  params: "count: u32, stride: u32",
  body: `for (var j = i; j < p.count; j += p.n) {
    y[j] = select(0.0, x[0], j % p.stride == 0u && j / p.stride < 64u);
  }`,
});
/** The sum of 64 elements of a large tensor: a loss that costs nothing. */
export const pick = defineOp({
  name: "pick",
  inputs: ["x"],
  shape: () => [],
  forward: (run, { x, y }) => run(pickK, { x, y }, { n: 1, stride: Math.floor(x.size / 64) }, [1]),
  backward: (run, { x, dy, dx }) => {
    const params = { n: few(x.size), count: x.size, stride: Math.floor(x.size / 64) };
    run(unpickK, { x: dy, y: dx }, params, [few(x.size)]);
  },
});

/** A training step, recorded or not. Takes batches of `batch`, a learning rate and a key. */
export function trainer(gpu: Gpu, p: Net, options: { replay: boolean }) {
  const lossAndGrad = valueAndGrad(lossOf);
  const opt = momentum(gpu, p);
  const step = gpu.record(function trainStep(x: Tensor, y: Tensor, lr: Tensor, key: Tensor) {
    const { value, grads } = lossAndGrad(p, x, y, key);
    opt.update(grads, { lr });
    return value;
  }, options);
  const dispose = () => {
    step.dispose();
    tree.dispose(opt.state);
  };
  return { step, dispose };
}
/** Stripes of four kinds under noise: what the network can learn. */
export function batch(seed: number, n = 16): { x: Host; y: Host } {
  const random = generator(seed * 7919 + 17);
  const y = new Uint32Array(n);
  const x = new Float32Array(n * 64);
  for (let b = 0; b < n; b++) {
    y[b] = Math.floor(random() * 4);
    for (let i = 0; i < 64; i++) {
      const [row, column] = [i >> 3, i % 8];
      const stripe = [column % 2, row % 2, (row + column) % 2, (i >> 1) % 2][y[b]!]!;
      x[b * 64 + i] = stripe * 2 - 1 + (random() - 0.5);
    }
  }
  return { x: { data: x, shape: [n, 64] }, y: { data: y, shape: [n] } };
}
/** The values of all tensors of a tree, one behind the other. */
export async function flat(t: unknown): Promise<number[]> {
  const out: number[] = [];
  for (const { tensor } of tree.leaves(t)) for (const v of await tensor.data()) out.push(v);
  return out;
}

export const f32 = (...v: number[]) => Float32Array.from(v);
/** Runs `f` on a gpu of its own, whose pool nobody else has used. */
export async function own<R>(gpu: Gpu, f: (g: Gpu) => Promise<R>, debug = true): Promise<R> {
  const g = await openGpu({ ...alike(gpu), debug });
  try {
    return await f(g);
  } finally {
    await g.close();
  }
}
