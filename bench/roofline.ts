// The adapter's own limits, measured: multiply-adds per second out of registers, and bytes per second of a copy.
import { defineKernel, type Gpu, type Kernel } from "../src/index.ts";
import { type Timer, timer } from "./measure.ts";

export interface Peak {
  /** The best of several loops; 1 multiply-add = 2 operations. */
  readonly gflops: number;
  /** Bytes read plus bytes written. */
  readonly copyGBs: number;
  /** Which multiply-add loop and which copy were best. */
  readonly form: string;
  readonly copyForm: string;
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

/** Workgroups that walk `y = x` in turns, or one contiguous block each: a software adapter's caches like these. */
const copySource = `// bench/roofline: y = x
struct Params { n: u32 }
override WG: u32 = 64u;
override BLOCKS: bool = false;
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> p: Params;
@compute @workgroup_size(WG) fn main(
  @builtin(local_invocation_id) l: vec3u, @builtin(workgroup_id) g: vec3u,
  @builtin(num_workgroups) w: vec3u) {
  let block = (p.n + w.x - 1u) / w.x;
  let first = select(g.x * WG, g.x * block, BLOCKS);
  let step = select(w.x * WG, WG, BLOCKS);
  let end = select(p.n, min(p.n, first + block), BLOCKS);
  for (var i = first + l.x; i < end; i += step) { y[i] = x[i]; }
}`;

interface CopyForm {
  readonly workgroup: number;
  readonly workgroups: number;
  readonly blocks: boolean;
}
const COPIES: Readonly<Record<"software" | "hardware", readonly CopyForm[]>> = {
  software: [
    { workgroup: 8, workgroups: 64, blocks: true },
    { workgroup: 8, workgroups: 16, blocks: true },
    { workgroup: 64, workgroups: 64, blocks: true },
    { workgroup: 64, workgroups: 64, blocks: false },
  ],
  hardware: [
    { workgroup: 64, workgroups: 1024, blocks: false },
    { workgroup: 64, workgroups: 8192, blocks: false },
    { workgroup: 256, workgroups: 4096, blocks: true },
  ],
};

const FORMS = [
  ["f32", 12, 96],
  ["f32", 16, 64],
  ["vec4f", 4, 24],
  ["vec4f", 8, 32],
] as const;

/** Loops whose best rounds are the peak. A limit is what was reached once, so the minimum counts. */
export interface PeakMeter {
  readonly peak: Peak;
  /** One round of the best multiply-add loop and of the best copy so far. */
  again(): Promise<void>;
  /** One round of each. */
  all(): Promise<void>;
  dispose(): void;
}

interface Loop {
  readonly form: string;
  readonly copies: boolean;
  /** Operations or bytes of one call. */
  readonly work: number;
  readonly timer: Timer;
  best: number;
}

const TARGET = 0.02; // seconds of a round
const FIRST_ROUNDS = 3;

/** Opens the loops, and measures the peak a first time. Holds buffers until it is disposed. */
export async function openPeak(gpu: Gpu): Promise<PeakMeter> {
  const software = gpu.info.kind === "software";
  const threads = WORKGROUP * (software ? 256 : 8192);
  const floats = software ? 2 ** 24 : 2 ** 25; // 64 or 128 MiB a side, larger than caches
  const tensors = {
    k: gpu.tensor([0.999, 0.001]),
    o: gpu.zeros([threads]),
    x: gpu.zeros([floats]),
    y: gpu.zeros([floats]),
  };
  const { k, o, x, y } = tensors;
  const dispose = () => {
    for (const t of Object.values(tensors)) t.dispose();
  };
  const loops: Loop[] = [];
  const open = async (form: string, copies: boolean, work: number, call: () => void) => {
    loops.push({ form, copies, work, timer: await timer(gpu, call, TARGET), best: Infinity });
  };
  const round = async (loop: Loop) => {
    loop.best = Math.min(loop.best, await loop.timer.round());
  };
  const best = (copies: boolean) =>
    loops
      .filter((loop) => loop.copies === copies)
      .reduce((a, b) => (b.work / b.best > a.work / a.best ? b : a));
  const rate = ({ work, best }: Loop) => work / best / 1e9;
  const meter: PeakMeter = {
    get peak() {
      const [top, copy] = [best(false), best(true)];
      return {
        gflops: rate(top),
        copyGBs: rate(copy),
        form: top.form,
        copyForm: copy.form,
      };
    },
    async again() {
      await round(best(false));
      await round(best(true));
    },
    async all() {
      for (const loop of loops) await round(loop);
    },
    dispose,
  };
  try {
    for (const [type, chains, unroll] of FORMS) {
      const kernel = multiplyAdd(type, chains, unroll);
      const work = 2 * (type === "f32" ? 1 : 4) * unroll * TURNS * threads;
      const call = () => gpu.dispatch(kernel, { k, o }, {}, [threads]);
      await open(`${chains} chains of ${type}`, false, work, call);
    }
    for (const { workgroup, workgroups, blocks } of COPIES[gpu.info.kind]) {
      const knobs = { WG: workgroup, BLOCKS: blocks };
      const kernel = defineKernel(copySource, { entry: "main", knobs });
      const threads = [workgroup * workgroups] as const;
      const call = () => gpu.dispatch(kernel, { x, y }, { n: floats / 4 }, threads);
      const form = `${workgroups} workgroups of ${workgroup} ${blocks ? "with a block each" : "in turns"}`;
      await open(form, true, 8 * floats, call);
    }
    for (let i = 0; i < FIRST_ROUNDS; i++) await meter.all();
    return meter;
  } catch (error) {
    dispose();
    throw error;
  }
}

/**
 * The adapter's peak, measured now: about a second. `run` measures it again between its cases and takes the best.
 */
export async function roofline(gpu: Gpu): Promise<Peak> {
  const meter = await openPeak(gpu);
  const { peak } = meter;
  meter.dispose();
  return peak;
}
