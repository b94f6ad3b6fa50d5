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
import {
  directional,
  dot,
  type F64,
  type F64Out,
  f64,
  generator,
  indexOf,
  isF64,
  measure,
  type Numbers,
  norm,
  normals,
  seedOf,
  sizeOf,
} from "./oracle.ts";

export interface Case {
  readonly name: string;
  run(gpu: Gpu): Promise<void>;
}

// ---------------------------------------------------------------- assertions

export function fail(what: string, expected: unknown, got: unknown): never {
  throw new Error(`${what}: expected ${show(expected)}, got ${show(got)}`);
}
function show(x: unknown): string {
  if (typeof x === "string") return x;
  if (x instanceof Error) return `${x.name}: ${x.message}`;
  if (ArrayBuffer.isView(x) || Array.isArray(x)) {
    const values = Array.from(x as unknown as ArrayLike<unknown>);
    const head = values.slice(0, 16).map((v) => (typeof v === "number" ? String(v) : show(v)));
    return `[${head.join(", ")}${values.length > 16 ? `, ... ${values.length} in all` : ""}]`;
  }
  return x instanceof RegExp || typeof x === "number" ? String(x) : JSON.stringify(x);
}
export function assert(ok: boolean, what: string, got: unknown = ok): asserts ok {
  if (!ok) fail(what, true, got);
}
/** Deep equality of plain values (numbers, arrays, objects); NaN equals NaN. */
export function equal(what: string, got: unknown, expected: unknown): void {
  if (!same(got, expected)) fail(what, expected, got);
}
function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || !a || !b) return false;
  const [p, q] = [Object.entries(a), Object.entries(b)];
  return p.length === q.length && p.every(([k, v]) => same(v, (b as Record<string, unknown>)[k]));
}
/** Equal bits; two NaN are equal whatever their payload, and -0 is not 0. */
export function equalBits(what: string, got: Numbers, expected: Numbers): void {
  if (got.length !== expected.length) fail(`${what}: length`, expected.length, got.length);
  for (let i = 0; i < got.length; i++)
    if (!Object.is(got[i], expected[i])) fail(`${what}: element ${i}`, expected[i], got[i]);
}
/** Near in relative L2, and nowhere further off than `max` times the greatest expected value. */
export function near(
  what: string,
  got: Numbers,
  expected: Numbers,
  { tolerance = 1e-6, max = 16 * tolerance }: { tolerance?: number; max?: number } = {},
): void {
  if (got.length !== expected.length) fail(`${what}: length`, expected.length, got.length);
  const e = measure(got, expected);
  const [i] = e.kinds;
  if (i !== undefined) fail(`${what}: element ${i} (of ${e.kinds.length})`, expected[i], got[i]);
  const worst = `; the worst is element ${e.at}: expected ${expected[e.at]}, got ${got[e.at]}`;
  if (e.relL2 > tolerance) fail(what, `relative L2 <= ${tolerance}`, `${e.relL2}${worst}`);
  if (e.max > max) fail(what, `greatest error <= ${max} of the greatest value`, `${e.max}${worst}`);
}
type ErrorClass = abstract new (...args: never[]) => Error;
/** `f`, or what it promises, must throw a `type` whose message matches every pattern. Gives the error back. */
export async function throws(
  what: string,
  f: () => unknown,
  type: ErrorClass,
  ...patterns: RegExp[]
): Promise<Error> {
  let error: unknown;
  try {
    await f();
  } catch (e) {
    error = e;
  }
  if (!(error instanceof Error)) fail(what, `a ${type.name}`, "no error");
  if (!(error instanceof type)) fail(what, `a ${type.name}`, error);
  for (const p of patterns) if (!p.test(error.message)) fail(what, p, error.message);
  return error;
}

// ---------------------------------------------------------------- data

/** Host data made when it is first read, and dropped when memory is short: cases are many. */
class Made<T extends Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>> {
  #seed: number | undefined;
  #memo: WeakRef<T> | undefined;
  constructor(
    readonly shape: readonly number[],
    seed: number | undefined,
    readonly make: (n: number, seed: number) => T,
  ) {
    this.#seed = seed;
  }
  /** The seed if none was given: from the case and the input, so that no two inputs are equal by chance. */
  name(words: string): void {
    this.#seed ??= seedOf(words);
  }
  get data(): T {
    let data = this.#memo?.deref();
    if (!data) {
      this.#seed ??= seedOf(this.shape);
      data = this.make(sizeOf(this.shape), this.#seed);
      this.#memo = new WeakRef(data);
    }
    return data;
  }
}
/** Normal values times `scale`; always the same for one seed (default: from the names of case and input). */
export const rand = (shape: readonly number[], seed?: number, scale = 1): Host =>
  new Made(shape, seed, (n, s) => Float32Array.from(normals(n, s), (v) => v * scale));
/** Uniform values in [low, high). */
export const uniform = (shape: readonly number[], low = 0, high = 1, seed?: number): Host =>
  new Made(shape, seed, (n, s) => {
    const random = generator(s);
    return Float32Array.from({ length: n }, () => low + (high - low) * random());
  });
/** Integers in [0, k), as u32: labels. */
export const ints = (shape: readonly number[], k: number, seed?: number): Host =>
  new Made(shape, seed, (n, s) => {
    const random = generator(s);
    return Uint32Array.from({ length: n }, () => Math.floor(random() * k));
  });
/** Given values as f32. */
export const values = (data: Numbers, shape: readonly number[] = [data.length]): Host => ({
  data: Float32Array.from(data),
  shape,
});
/** Given values as u32. */
export const uints = (data: Numbers, shape: readonly number[] = [data.length]): Host => ({
  data: Uint32Array.from(data),
  shape,
});

// ---------------------------------------------------------------- the case of an op

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
  const behind = words.subarray(t.offset / 4 + t.size);
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
