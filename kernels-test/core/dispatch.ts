// Cases of dispatches: what is checked, how grids are split, what is bound, shared and counted.

import {
  DeviceError,
  defineKernel,
  KernelError,
  type KernelOptions,
  LimitError,
  openGpu,
  type Tensor,
  tree,
} from "../../src/index.ts";
import { alike } from "../alike.ts";
import { assert, type Case, equal, equalBits, throws } from "../harness.ts";
import { f32, params, softCap } from "./net.ts";
import { elementwise, scale } from "./toy.ts";

const source = `// k.wgsl: y = A * x + B, for the tests of knobs.
struct Params { n: u32, b: f32, c: i32 }
override WG: u32 = 64u;
const TWICE: bool = false;
const STEP: u32 = 1u;
const GAIN: f32 = 1;
alias Elem = f32;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;
/* override NOT: u32 = 1u; */ // const NOT: u32 = 1u;
@compute @workgroup_size(WG) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= p.n) { return; }
  var v = f32(Elem(x[id.x])) * GAIN * f32(STEP) + p.b + f32(p.c);
  if (TWICE) { v *= 2.0; }
  y[id.x] = v;
}
@compute @workgroup_size(4, 2) fn square(@builtin(global_invocation_id) id: vec3u) { y[id.y * 4u + id.x] = f32(id.x); }
fn plain() {}
`;
const kernel = (o: Partial<KernelOptions> = {}, text = source) =>
  defineKernel(text, { entry: "main", ...o });
export const cases: readonly Case[] = [
  {
    name: "what a dispatch refuses",
    async run(gpu) {
      const [x, y] = [gpu.tensor(f32(1, 2)), gpu.zeros([2])];
      const k = kernel();
      const all = { n: 2, b: 0, c: 0 };
      const run =
        (t: Record<string, Tensor | null>, p: Record<string, number>, n = 2) =>
        () =>
          gpu.dispatch(k, t, p, [n]);
      await throws("missing field", run({ x, y }, { n: 2, b: 0 }), KernelError, /Params\.c/);
      await throws("extra field", run({ x, y }, { ...all, q: 1 }), KernelError, /'q'/, /n, b, c/);
      await throws("fraction", run({ x, y }, { ...all, n: 1.5 }), KernelError, /Params\.n/, /1\.5/);
      await throws("negative u32", run({ x, y }, { ...all, n: -1 }), KernelError, /u32/, /-1/);
      await throws("NaN as u32", run({ x, y }, { ...all, n: Number.NaN }), KernelError, /NaN/);
      await throws("unknown binding", run({ x, z: y }, all), KernelError, /'z'/, /x, y/);
      await throws("null", run({ x, y: null }, all), KernelError, /'y'/);
      await throws("no threads", run({ x, y }, all, 0), KernelError, /\b0\b/);
      await throws("read and write", run({ x, y: x }, all), KernelError, /'x'/, /whole buffers/);
      await throws("NaN threads", run({ x, y }, all, Number.NaN), KernelError, /NaN/);
      const other = await openGpu(alike(gpu));
      const foreign = other.tensor(f32(1));
      await throws("another gpu", run({ x: foreign, y }, all), DeviceError, /'x'/, /another gpu/);
      await other.close();
      gpu.dispatch(k, { x, y }, { ...all, c: -2 }, [2]);
      equalBits("and works then", await y.data(), [-1, 0]);
      tree.dispose([x, y]);
    },
  },
  {
    name: "two writable windows of one buffer",
    async run(gpu) {
      const k = elementwise("two", { write: ["y", "z"], body: "y[i] = 1.0; z[i] = 2.0;" });
      const p = params(gpu, { a: { data: f32(0), shape: [1] }, b: { data: f32(0), shape: [1] } });
      gpu.dispatch(k, { y: p.a, z: p.b }, { n: 1 }, [1]);
      equalBits("both", [await p.a.item(), await p.b.item()], [1, 2]);
      const mixed = elementwise("mixed", { read: ["x"], body: "y[i] = x[i];" });
      const f = () => gpu.dispatch(mixed, { x: p.a, y: p.b }, { n: 1 }, [1]);
      await throws("reading one window and writing another", f, KernelError, /whole buffers/);
      tree.dispose(p);
    },
  },
  {
    name: "more than 65,535 workgroups",
    async run(gpu) {
      const max = gpu.info.limits.maxComputeWorkgroupsPerDimension!;
      const n = 64 * (max + 1);
      const x = gpu.tensor(new Float32Array(n + 5).fill(3));
      const f = () => gpu.scope(() => softCap(x, { cap: 1 }));
      await throws("without a split", f, LimitError, /workgroups/, new RegExp(String(max)));
      using y = gpu.scope(() => scale(x, { by: 2 }));
      const d = await y.data();
      equal("with a split", [d[0], d[n - 1], d[n], d[n + 4]], [6, 6, 6, 6]);
      assert(
        d.every((v) => v === 6),
        "every element is written",
      );
      x.dispose();
    },
  },
  {
    name: "any tensor can be read as vec4f",
    async run(gpu) {
      const k = defineKernel(
        `// vec.wgsl: y = sum of the first n.
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;
@compute @workgroup_size(1) fn main() {
  var s = 0.0;
  for (var i = 0u; i < p.n; i++) { s += x[i / 4u][i % 4u]; }
  y[0] = s + f32(arrayLength(&x)) * 100.0;
}
`,
        { entry: "main" },
      );
      for (const n of [1, 3, 4, 5, 7]) {
        const [x, y] = [gpu.tensor(new Float32Array(n).fill(1)), gpu.zeros([])];
        gpu.dispatch(k, { x, y }, { n }, [1]);
        equal(`${n} values`, await y.item(), n + 100 * Math.ceil(n / 4));
        tree.dispose([x, y]);
      }
    },
  },
  {
    name: "Params and bind groups are shared, and their tables are bounded",
    async run(gpu) {
      const [x, y] = [gpu.tensor(f32(1)), gpu.zeros([1])];
      const k = kernel();
      gpu.dispatch(k, { x, y }, { n: 1, b: 0, c: 0 }, [1]);
      const before = gpu.memory();
      for (let i = 0; i < 100; i++) gpu.dispatch(k, { x, y }, { n: 1, b: 0, c: 0 }, [1]);
      const same = gpu.memory();
      equal("equal ones", [same.bindGroups, same.params], [before.bindGroups, before.params]);
      let most = 0;
      for (let i = 0; i < 17_000; i++) {
        gpu.dispatch(k, { x, y }, { n: 1, b: i, c: 0 }, [1]);
        if (i % 1000 === 0) {
          await gpu.sync();
          const { bindGroups, params: slices } = gpu.memory();
          most = Math.max(most, bindGroups, slices);
        }
      }
      const { bindGroups, params: slices } = gpu.memory();
      assert(Math.max(most, bindGroups, slices) <= 16_384, "entries", [most, bindGroups, slices]);
      equalBits("the last value", await y.data(), [17_000]);
      tree.dispose([x, y]);
    },
  },
  {
    name: "dispatches, submits and copies are counted",
    async run(gpu) {
      const x = gpu.tensor(f32(1));
      await gpu.sync();
      const before = gpu.counts();
      const y = gpu.scope(() => {
        let h = x;
        for (let i = 0; i < 10; i++) h = scale(h, { by: 2 });
        return h;
      });
      equal("value", await y.item(), 1024);
      const after = gpu.counts();
      equal("dispatches", after.dispatches - before.dispatches, 10);
      assert(after.submits - before.submits >= 1, "submits", after.submits - before.submits);
      equal("copies: the readback's", after.copies - before.copies, 1);
      tree.dispose([x, y]);
    },
  },
];
