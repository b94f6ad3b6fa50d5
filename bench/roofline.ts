// The adapter's own limits, measured: multiply-adds per second out of registers, and bytes per second of a copy.
import { defineKernel, type Gpu, type Kernel } from "../src/index.ts";
import { statsOf, timer } from "./measure.ts";

export interface Peak {
  /** The best of several loops; 1 multiply-add = 2 operations. */
  readonly gflops: number;
  /** Bytes read plus bytes written. */
  readonly copyGBs: number;
  /** Which loop was best. */
  readonly form: string;
}

const TURNS = 256;
const WORKGROUP = 64;

/** `chains` independent accumulators, `unroll` multiply-adds a turn: too few chains wait, too many spill. */
function multiplyAdd(type: "f32" | "vec4f", chains: number, unroll: number): Kernel {
  const names = Array.from({ length: chains }, (_, i) => `a${i}`);
  const start = names.map((a, i) => `var ${a} = ${type}(f32(g.x) + ${i}.0);`).join(" ");
  const body = Array.from({ length: unroll }, (_, i) => {
    const a = names[i % chains];
    return `${a} = fma(${a}, x, y);`;
  }).join(" ");
  const total = names.join(" + ");
  const source = `// bench/roofline: ${chains} chains of ${type}
@group(0) @binding(0) var<storage, read> k: array<f32>;
@group(0) @binding(1) var<storage, read_write> o: array<f32>;
@compute @workgroup_size(${WORKGROUP}) fn main(@builtin(global_invocation_id) g: vec3u) {
  let x = ${type}(k[0]); let y = ${type}(k[1]);
  ${start}
  for (var t = 0u; t < ${TURNS}u; t++) { ${body} }
  o[g.x] = ${type === "f32" ? total : `dot(${total}, vec4f(1.0))`};
}`;
  return defineKernel(source, { entry: "main" });
}

const copySource = `// bench/roofline: y = x
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> p: Params;
@compute @workgroup_size(64) fn main(
  @builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) w: vec3u) {
  for (var i = g.x; i < p.n; i += w.x * 64u) { y[i] = x[i]; }
}`;

const FORMS = [
  ["f32", 12, 96],
  ["f32", 16, 64],
  ["vec4f", 4, 24],
  ["vec4f", 8, 32],
] as const;

/** Measures the adapter's peak: about a second. The minimum counts, a limit is what was reached once. */
export async function roofline(gpu: Gpu): Promise<Peak> {
  const software = gpu.info.kind === "software";
  const threads = WORKGROUP * (software ? 256 : 8192);
  const target = 0.03;
  let best = { gflops: 0, form: "" };
  const k = gpu.tensor([0.999, 0.001]);
  const o = gpu.zeros([threads]);
  try {
    for (const [type, chains, unroll] of FORMS) {
      const kernel = multiplyAdd(type, chains, unroll);
      const seconds = await least(gpu, () => gpu.dispatch(kernel, { k, o }, {}, [threads]), target);
      const width = type === "f32" ? 1 : 4;
      const gflops = (2 * width * unroll * TURNS * threads) / seconds / 1e9;
      if (gflops > best.gflops) best = { gflops, form: `${chains} chains of ${type}` };
    }
  } finally {
    k.dispose();
    o.dispose();
  }
  return { ...best, copyGBs: await copy(gpu, software ? [64, 256] : [1024, 8192], target) };
}

async function copy(gpu: Gpu, grids: readonly number[], target: number): Promise<number> {
  const n = 2 ** 24; // 64 MiB, larger than caches
  const kernel = defineKernel(copySource, { entry: "main" });
  const x = gpu.zeros([n]);
  const y = gpu.zeros([n]);
  let best = 0;
  try {
    for (const grid of grids) {
      const call = () => gpu.dispatch(kernel, { x, y }, { n: n / 4 }, [grid * 64]);
      best = Math.max(best, (8 * n) / (await least(gpu, call, target)) / 1e9);
    }
  } finally {
    x.dispose();
    y.dispose();
  }
  return best;
}

async function least(gpu: Gpu, call: () => void, target: number): Promise<number> {
  const { round } = await timer(gpu, call, target);
  const seconds: number[] = [];
  for (let i = 0; i < 5; i++) seconds.push(await round());
  return statsOf(seconds).min;
}
