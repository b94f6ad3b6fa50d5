// Cases of kernels: how they are declared and specialised, and what a compiler's error says.
import {
  defineKernel,
  defineOp,
  type Gpu,
  KernelError,
  type KernelOptions,
  type Tensor,
  tree,
} from "../../src/index.ts";
import { assert, type Case, equal, equalBits, throws } from "../harness.ts";
import { f32, own } from "./net.ts";
import { scale } from "./toy.ts";

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
/** y of one run of `k` on x. */
async function once(gpu: Gpu, k: ReturnType<typeof kernel>, x: number[], b = 0, c = 0) {
  const [i, y] = [gpu.tensor(x), gpu.zeros([x.length])];
  gpu.dispatch(k, { x: i, y }, { n: x.length, b, c }, [x.length]);
  const out = await y.data();
  tree.dispose([i, y]);
  return out;
}
const broken = (line: string) => `// shaders/broken.wgsl: a mistake in line 4.
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1) fn main() {
  ${line}
}
`;

export const cases: readonly Case[] = [
  {
    name: "knobs specialise override, const and alias",
    async run(gpu) {
      equalBits("at rest", await once(gpu, kernel(), [1, 2], 0.5, -3), [-1.5, -0.5]);
      const knobs = { WG: 32, TWICE: true, STEP: 3, GAIN: 2, Elem: "i32" };
      equalBits("all", await once(gpu, kernel({ knobs }), [1.5, -2.5]), [12, -24]);
      equal("workgroup", kernel({ knobs: { WG: 16 } }).workgroup, [16, 1, 1]);
      equal("two axes", kernel({ entry: "square" }).workgroup, [4, 2, 1]);
    },
  },
  {
    name: "what a declaration refuses",
    async run() {
      const knob = () => kernel({ knobs: { NO: 1 } });
      await throws("unknown knob", knob, KernelError, /k\.wgsl:main/, /'NO'/, /\b0\b/);
      const comment = () => kernel({ knobs: { NOT: 1 } });
      await throws("a knob in a comment", comment, KernelError, /'NOT'/, /\b0\b/);
      const two = () => kernel({ knobs: { STEP: 2 } }, `${source}\nconst STEP: u32 = 2u;`);
      await throws("two of one name", two, KernelError, /'STEP'/, /\b2\b/);
      const local = () => kernel({ knobs: { v: 2 } });
      await throws("a local variable", local, KernelError, /'v'/);
      const entry = () => kernel({ entry: "nothing" });
      await throws("entry", entry, KernelError, /no function 'nothing'/);
      const plain = () => kernel({ entry: "plain" });
      await throws("no workgroup size", plain, KernelError, /workgroup_size/);
      const vector = source.replace("b: f32", "b: vec2f");
      await throws("Params type", () => kernel({}, vector), KernelError, /Params\.b/, /vec2f/);
    },
  },
  {
    name: "a kernel that does not compile: file, line, column and the source",
    async run(gpu) {
      const bad = defineKernel(broken("y[0] = nope(1.0);"), { entry: "main" });
      const op = defineOp({
        name: "bad",
        inputs: ["x"],
        shape: ({ x }) => x.shape,
        forward: (run, { y }) => run(bad, { y }, {}, [1]),
      });
      const x = gpu.tensor(f32(1));
      const first = async () => {
        using y = gpu.scope(() => op(x));
        await y.data();
      };
      const where = /^shaders\/broken\.wgsl:4:10 /;
      await throws("awaited", first, KernelError, where, /nope/, /4 \| {3}y\[0\] = nope\(1\.0\);/);
      const again = () => gpu.scope(() => op(x));
      await throws("used again", again, KernelError, where, /nope/);
      using y = scale(x, { by: 3 });
      equal("usable after", await y.item(), 3);
      const recorded = gpu.record((v: Tensor) => op(v));
      await throws("recorded", () => recorded(f32(1)), KernelError, where);
      recorded.dispose();
      x.dispose();
    },
  },
  {
    name: "what waits beside a kernel that does not compile",
    run: (gpu) =>
      own(gpu, async (g) => {
        const bad = defineKernel(broken("y[0] = nope;"), { entry: "main" });
        const x = g.tensor(f32(1, 2));
        const before = scale(x, { by: 2 });
        const w = g.tensor(f32(5));
        const step = g.record((v: Tensor) => {
          const y = scale(v, { by: 2 });
          g.assign(w, y);
          g.dispatch(bad, { y: w }, {}, [1]);
          return y;
        });
        const lost = step(f32(7));
        const [after, zeros] = [g.tensor(f32(3, 4)), g.zeros([3])]; // behind the failed call in the list
        const reads = await Promise.allSettled([lost.data(), scale(after, { by: 1 }).data()]);
        for (const r of reads) {
          const error = r.status === "rejected" ? r.reason : `values ${r.value}`;
          assert(error instanceof KernelError, "every reader behind it is told", error);
        }
        equalBits("computed before it", await before.data(), [2, 4]);
        equalBits("the call has done nothing", await w.data(), [5]);
        equalBits("host data behind it", await after.data(), [3, 4]);
        equalBits("zeros behind it", await zeros.data(), [0, 0, 0]);
        await g.sync();
      }),
  },
  {
    name: "an error in a shared text names that text",
    async run(gpu) {
      const lib = "// shaders/lib/bad.wgsl: shared.\nfn one() -> f32 {\n  return nope;\n}\n";
      const k = defineKernel(broken("y[0] = one();"), {
        entry: "main",
        uses: ["fn two() {}", lib],
      });
      const y = gpu.zeros([1]);
      const f = async () => {
        gpu.dispatch(k, { y }, {}, [1]);
        await y.data();
      };
      await throws("lib", f, KernelError, /^shaders\/lib\/bad\.wgsl:3:10 /, /return nope/);
      await gpu.sync();
      y.dispose();
    },
  },
  {
    name: "a pipeline that cannot be made",
    async run(gpu) {
      const max = gpu.info.limits.maxComputeInvocationsPerWorkgroup!;
      const y = gpu.zeros([1]);
      const k = kernel({ knobs: { WG: max * 2 } });
      const f = async () => {
        const x = gpu.tensor(f32(1));
        gpu.dispatch(k, { x, y }, { n: 1, b: 0, c: 0 }, [1]);
        x.dispose();
        await y.data();
      };
      await throws("too many threads", f, KernelError, /^k\.wgsl:main/);
      equalBits("usable after", await once(gpu, kernel(), [3]), [3]);
      y.dispose();
    },
  },
  {
    name: "gpu.compile takes pipelines through the compiler and changes no state",
    async run(gpu) {
      const w = gpu.tensor(f32(5));
      const k = kernel({ knobs: { GAIN: 7 } });
      const twice = defineOp({
        name: "twice",
        inputs: ["x"],
        shape: ({ x }) => x.shape,
        forward: (run, { x, y }) => run(k, { x, y }, { n: x.size, b: 0, c: 0 }, [x.size]),
      });
      const f = gpu.record((x: Tensor) => {
        const y = twice(x);
        gpu.assign(w, y);
        return y;
      });
      const seen: [number, number][] = [];
      const before = gpu.counts().dispatches;
      await gpu.compile(f, [f32(1)], (done, all) => seen.push([done, all]));
      equal("progress", seen, [[1, 1]]);
      await gpu.sync();
      equal("dispatches", gpu.counts().dispatches, before);
      equalBits("state", await w.data(), [5]);
      const made = gpu.counts().pipelines;
      for (let i = 1; i < 4; i++) equalBits("then it runs", await f(f32(i)).data(), [7 * i]);
      equal("no new pipeline", gpu.counts().pipelines, made);
      const bad = defineKernel(broken("y[0] = nope;"), { entry: "main" });
      const g = gpu.record((x: Tensor) => {
        gpu.dispatch(bad, { y: w }, {}, [1]);
        return twice(x);
      });
      await throws("bad", () => gpu.compile(g, [f32(1)]), KernelError, /broken\.wgsl:4/);
      f.dispose();
      g.dispose();
      w.dispose();
    },
  },
];
