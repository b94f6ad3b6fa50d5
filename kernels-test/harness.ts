// What a test case is, and how an op's case is judged. Knows no test framework: vitest and a page are two thin runners.
// Made to run on a gpu opened with `debug: true`: pool memory arrives full of NaN, with a guard behind each tensor.
import { readStorage } from "../src/core/debug.ts";
import {
  defineKernel,
  defineOp,
  type Gpu,
  type Host,
  type Tensor,
  valueAndGrad,
  vjp,
} from "../src/index.ts";
import { equal, equalBits, fail, near } from "./assert.ts";
import { Made } from "./data.ts";
import {
  directional,
  dot,
  type F64,
  type F64Out,
  f64,
  indexOf,
  isF64,
  type Numbers,
  norm,
  normals,
  seedOf,
} from "./oracle.ts";

export * from "./assert.ts";
export { ints, rand, uints, uniform, values } from "./data.ts";

export interface Case {
  readonly name: string;
  run(gpu: Gpu): Promise<void>;
}

type Inputs = Readonly<Record<string, Host>>;
type Named<I, T> = { readonly [K in keyof I]: T };
type Out = Tensor | Readonly<Record<string, Tensor>> | readonly Tensor[];

export interface OpCaseSpec<I extends Inputs = Inputs> {
  readonly name: string;
  readonly inputs: I;
  readonly apply: (t: Named<I, Tensor>) => Out;
  /** The same in f64 from the same inputs, with the structure of apply's result. */
  readonly oracle: (t: Named<I, F64>) => F64Out;
  /** Another way to the same values and gradients: the plain composition that a fused op replaces. */
  readonly reference?: (t: Named<I, Tensor>) => Out;
  /** Inputs whose gradient is checked by directional differences of the oracle. */
  readonly grads?: readonly (keyof I & string)[];
  /** Relative L2 of values against f64; 0 wants them exact. */
  readonly tolerance?: number;
  /** Greatest error of one value, in units of the greatest expected value; 16 tolerances by default. */
  readonly maxError?: number;
  readonly gradTolerance?: number;
  readonly dispatches?: { readonly forward?: number; readonly backward?: number };
}
/** A case that also says what it is made of: benchmarks use the same. */
export interface OpCase extends Case {
  readonly spec: OpCaseSpec;
}

export function opCase<const I extends Inputs>(spec: OpCaseSpec<I>): OpCase {
  for (const [name, host] of Object.entries(spec.inputs))
    if (host instanceof Made) host.name(`${spec.name}/${name}`);
  const plain = spec as unknown as OpCaseSpec; // its types are only for the one who writes the case
  return { name: spec.name, spec: plain, run: (gpu) => judge(gpu, plain) };
}

interface Values {
  readonly name: string;
  readonly tensor: Tensor;
}
function outputs(out: Out): Values[] {
  const tensors = Object.entries(isTensor(out) ? { y: out } : out) as [string, Tensor][];
  return tensors.map(([name, tensor]) => ({ name, tensor }));
}
const isTensor = (x: unknown): x is Tensor =>
  typeof x === "object" && x !== null && "dtype" in x && "gpu" in x;
function expectedOf(out: F64Out): Map<string, F64> {
  return new Map(Object.entries(isF64(out) ? { y: out } : out) as [string, F64][]);
}

/** Runs `f` and counts its dispatches. */
export async function counted<T>(gpu: Gpu, f: () => T): Promise<{ result: T; dispatches: number }> {
  await gpu.sync();
  const before = gpu.counts().dispatches;
  const result = f();
  await gpu.sync();
  return { result, dispatches: gpu.counts().dispatches - before };
}

async function judge(gpu: Gpu, spec: OpCaseSpec): Promise<void> {
  const live = gpu.memory().live;
  const inputs: Record<string, Tensor> = {};
  for (const [name, host] of Object.entries(spec.inputs)) inputs[name] = gpu.tensor(host);
  const run = () => gpu.scope(() => spec.apply(inputs)) as Out;
  const what = spec.name;

  const first = await counted(gpu, run);
  if (spec.dispatches?.forward !== undefined)
    equal(`${what}: dispatches forward`, first.dispatches, spec.dispatches.forward);
  const host = Object.fromEntries(
    Object.entries(spec.inputs).map(([n, h]) => [n, f64(h.shape, h.data)]),
  );
  const expected = expectedOf(spec.oracle(host));
  const made = outputs(first.result);
  equal(`${what}: outputs`, made.map((v) => v.name).sort(), [...expected.keys()].sort());
  const got = new Map<string, Numbers>();
  for (const { name, tensor } of made) {
    const e = expected.get(name)!;
    equal(`${what}: shape of ${name}`, [...tensor.shape], [...e.shape]);
    const data = await tensor.data();
    got.set(name, data);
    near(`${what}: ${name}`, data, e.data, {
      tolerance: tensor.dtype === "u32" ? 0 : (spec.tolerance ?? 1e-6),
      ...(spec.maxError === undefined ? {} : { max: spec.maxError }),
    });
    await guarded(`${what}: ${name}`, tensor);
  }
  const second = outputs(run());
  for (const { name, tensor } of second)
    equalBits(`${what}: ${name}, second run`, await tensor.data(), got.get(name)!);
  for (const { tensor } of [...made, ...second]) tensor.dispose();

  if (spec.reference) {
    const other = outputs(gpu.scope(() => spec.reference!(inputs)) as Out);
    for (const { name, tensor } of other) {
      near(`${what}: reference's ${name}`, await tensor.data(), expected.get(name)!.data, {
        tolerance: 10 * Math.max(spec.tolerance ?? 1e-6, 1e-7),
        max: Number.POSITIVE_INFINITY,
      });
      tensor.dispose();
    }
  }
  if (spec.grads?.length) await judgeGradients(gpu, spec, inputs, host, expected, first.dispatches);

  for (const [name, t] of Object.entries(inputs)) {
    equalBits(`${what}: input ${name} afterwards`, await t.data(), spec.inputs[name]!.data);
    t.dispose();
  }
  const left = gpu.memory().live;
  if (left !== live) fail(`${what}: live buffers afterwards`, live, left);
}

/** The bytes behind a tensor, up to its buffer's end, hold what the poisoned pool put there. */
export async function guarded(what: string, t: Tensor): Promise<void> {
  const words = await readStorage(t);
  const behind = words.subarray(t.byteOffset / 4 + t.size);
  const at = behind.findIndex((w) => w !== 0x7fc00000);
  if (at >= 0)
    fail(`${what}: word ${at} behind its ${t.size} elements`, "untouched poison", behind[at]);
}

// ---------------------------------------------------------------- gradients

const weigh = /* @__PURE__ */ (() => {
  const source = `// harness.wgsl: y = sum(x * c) + acc in one thread; dx = c * dy. The end of a case with several outputs.
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> c: array<f32>;
@group(0) @binding(2) var<storage, read> acc: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;
@compute @workgroup_size(1) fn forward() {
  var sum = acc[0];
  for (var i = 0u; i < p.n; i++) { sum += x[i] * c[i]; }
  y[0] = sum;
}
@compute @workgroup_size(64) fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  let i = id.y * nwg.x * 64u + id.x;
  if (i < p.n) { dx[i] = c[i] * dy[0]; }
}
`;
  const forward = defineKernel(source, { entry: "forward" });
  const backward = defineKernel(source, { entry: "backward" });
  return defineOp({
    name: "weigh",
    inputs: ["x", "c", "acc"],
    saves: ["c"],
    passes: ["acc"],
    shape: () => [],
    forward: (run, { x, c, acc, y }) => run(forward, { x, c, acc, y }, { n: x.size }, [1]),
    backward: (run, { c, dy, dx }) => {
      if (dx) run(backward, { c, dy, dx }, { n: dx.size }, [dx.size]);
    },
  });
})();

/** Gradients of sum(outputs * cotangents) with respect to `grads`, held against the oracle's own differences. */
async function judgeGradients(
  gpu: Gpu,
  spec: OpCaseSpec,
  inputs: Record<string, Tensor>,
  host: Record<string, F64>,
  expected: Map<string, F64>,
  forwardDispatches: number,
): Promise<void> {
  const names = spec.grads!;
  const what = spec.name;
  const params = Object.fromEntries(names.map((n) => [n, inputs[n]!]));
  const floats = new Set<string>();
  const cots = new Map<string, Float64Array>(); // one for each output, rounded to f32
  const cotTensors = new Map<string, Tensor>();
  for (const [name, e] of expected) {
    const c = Float32Array.from(normals(e.data.length, seedOf(what, "cotangent", name)));
    cots.set(name, Float64Array.from(c));
    cotTensors.set(name, gpu.tensor(c, e.shape));
  }
  const zero = gpu.zeros([]);
  const several = expected.size > 1;
  const pull = (apply: OpCaseSpec["apply"]) =>
    gpu.scope(() => {
      if (!several) {
        const one = (p: Record<string, Tensor>) => {
          const [y] = outputs(apply({ ...inputs, ...p }));
          floats.add(y!.name);
          return y!.tensor;
        };
        return vjp(one)(params, [...cotTensors.values()][0]!).grads;
      }
      const all = (p: Record<string, Tensor>) => {
        let sum = zero;
        for (const { name, tensor } of outputs(apply({ ...inputs, ...p }))) {
          if (tensor.dtype !== "f32") continue;
          floats.add(name);
          sum = weigh(tensor, cotTensors.get(name)!, sum);
        }
        return sum;
      };
      return valueAndGrad(all)(params).grads;
    }) as Record<string, Tensor>;

  const { result: grads, dispatches } = await counted(gpu, () => pull(spec.apply));
  if (spec.dispatches?.backward !== undefined) {
    const own = dispatches - forwardDispatches - (several ? 2 * floats.size : 0);
    equal(`${what}: dispatches backward`, own, spec.dispatches.backward);
  }
  const again = pull(spec.apply);
  const other = spec.reference && pull(spec.reference);
  const tolerance = spec.gradTolerance ?? 1e-4;

  for (const name of names) {
    const g = (await grads[name]!.data()) as Float32Array;
    equal(`${what}: shape of d${name}`, [...grads[name]!.shape], [...inputs[name]!.shape]);
    await guarded(`${what}: d${name}`, grads[name]!);
    equalBits(`${what}: d${name}, second run`, await again[name]!.data(), g);
    const bad = g.findIndex((v) => !Number.isFinite(v));
    if (bad >= 0) fail(`${what}: d${name}[${bad}]`, "a finite number", g[bad]);
    if (other) {
      const t = { tolerance: Math.max(10 * tolerance, 1e-5), max: Number.POSITIVE_INFINITY };
      near(`${what}: d${name} against the reference's`, g, await other[name]!.data(), t);
    }
    const x = host[name]!;
    const loss = (moved: Float64Array): number => {
      const out = expectedOf(spec.oracle({ ...host, [name]: { data: moved, shape: x.shape } }));
      let sum = 0;
      for (const n of floats) sum += dot(out.get(n)!.data, cots.get(n)!);
      return sum;
    };
    for (const { label, v } of directions(x, seedOf(what, name))) {
      const fd = directional(loss, x.data, v);
      const ours = dot(g, v);
      // A random direction may hide in noise by cancelling: |g| |v| / sqrt(n) is the size that it should have.
      const size = Math.max(Math.abs(fd), (norm(g) * norm(v)) / Math.sqrt(v.length), 1e-30);
      if (!(Math.abs(fd - ours) <= tolerance * size))
        fail(
          `${what}: gradient of ${name} along ${label}`,
          `${fd} (difference in f64) within ${tolerance} of ${size}`,
          `${ours}, off by ${Math.abs(fd - ours) / size}`,
        );
    }
  }
  for (const t of [grads, again, other ?? {}].flatMap((o) => Object.values(o))) t.dispose();
  for (const t of cotTensors.values()) t.dispose();
  zero.dispose();
}

/** Random directions, and single elements at the corners, where tails go wrong. */
function directions(x: F64, seed: number): { label: string; v: Float64Array }[] {
  const n = x.data.length;
  const out = [0, 1, 2].map((i) => ({ label: `random direction ${i}`, v: normals(n, seed + i) }));
  for (const i of new Set([0, n - 1])) {
    const v = new Float64Array(n);
    v[i] = 1;
    out.push({ label: `element [${indexOf(x.shape, i)}]`, v });
  }
  return out;
}
