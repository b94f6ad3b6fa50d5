// The suite's own behaviour: cases, verification, rows and their texts. No time is judged.
import { afterAll, beforeAll, expect, test } from "vitest";
import { defineKernel, type Gpu, openGpu, ops } from "../src/index.ts";
import type { Case } from "./case.ts";
import * as bench from "./index.ts";
import { kernelsOf } from "./kernels.ts";
import { openPeak } from "./roofline.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ adapter: "software" });
});
afterAll(() => gpu.close());

const peak: bench.Peak = { gflops: 100, copyGBs: 10, form: "f", copyForm: "c" };
/** `y = 2 x`, and whether it says so. */
const doubling = (wrong: boolean): Case => ({
  name: wrong ? "wrong" : "right",
  flops: 256,
  bytes: 2048,
  quick: true,
  prepare(on) {
    const x = on.tensor(Float32Array.from({ length: 256 }, (_, i) => i));
    const run = on.record(() => ops.mul(x, 2));
    const plain = on.record(() => ops.mul(ops.add(x, x), 1));
    return {
      run,
      reference: plain,
      verify: async () => {
        const y = await run().data();
        return Math.abs(y[3]! - (wrong ? 9 : 6));
      },
      dispose() {
        run.dispose();
        plain.dispose();
        x.dispose();
      },
    };
  },
});

test("cases have names of their own, can be filtered, and know their work", () => {
  const all = bench.cases();
  expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  expect(all.every(({ flops, bytes }) => flops > 0 && bytes > 0)).toBe(true);
  const quick = bench.cases({ quick: true });
  expect(quick.length).toBeGreaterThan(5);
  expect(quick.length).toBeLessThan(all.length);
  const matmuls = bench.cases({ filter: /^matmul 256/ });
  expect(matmuls.map(({ name }) => name)).toEqual(["matmul 256"]);
});

test("a case is verified before it is timed; a wrong one has no time", async () => {
  const live = gpu.memory().live;
  const rows = await bench.run(gpu, [doubling(false), doubling(true)], { peak, quick: true });
  expect(rows.map(({ name }) => name)).toEqual(["right", "wrong"]);
  expect(rows[0]!.failed).toBeUndefined();
  expect(rows[0]!.time).toMatchObject({ dispatches: 1 });
  expect(rows[1]!.failed).toMatch(/wrong values/);
  expect(rows[1]!.time).toBeUndefined();
  expect(gpu.memory().live).toBe(live);
  expect(bench.table(rows)).toMatch(/right[\s\S]*wrong values/);
});

test("a row says who ran what, in how much memory", async () => {
  const [row] = await bench.run(gpu, [doubling(false)], { peak, quick: true });
  expect(row!.adapter).not.toBe("");
  expect(gpu.info.description).toBe([row!.adapter, row!.driver].filter(Boolean).join(": "));
  expect(row!.kernels).toEqual([
    expect.objectContaining({ kernel: expect.stringMatching(/^shaders\/.*wgsl:/), times: 1 }),
  ]);
  expect(row!.deviceBytes).toBeGreaterThanOrEqual(2 * 4 * 256); // x and y
  expect(row!.reference).toBeUndefined();
  expect(row!.family).toBe("right");
});

test("against the reference: its time and dispatches beside ours", async () => {
  const options = { peak, quick: true, against: "reference" } as const;
  const [row] = await bench.run(gpu, [doubling(false)], options);
  expect(row!.reference).toMatchObject({ dispatches: 2 });
  expect(row!.reference!.ratio).toBeCloseTo(row!.reference!.median / row!.time!.median, 10);
});

test("a report has its date, versions, method and a peak of its own; its text is read again", async () => {
  const told: bench.Progress[] = [];
  const report = await bench.report(gpu, [doubling(false)], {
    ...{ quick: true, versions: { nfgrad: "1" }, onProgress: (p: bench.Progress) => told.push(p) },
  });
  expect(report).toMatchObject({ format: 1, versions: { nfgrad: "1" }, method: { quick: true } });
  expect(report.peak.gflops).toBeGreaterThan(0);
  expect(report.peak.copyGBs).toBeGreaterThan(0);
  expect(report.compiling).toBeUndefined();
  expect(bench.readReport(bench.toJson(report), "f")).toEqual(report);
  expect(told.at(-1)).toEqual({ done: 1, total: 1, part: 1, name: "" });
  const parts = told.map(({ part }) => part);
  expect(parts).toEqual([...parts].sort((a, b) => a - b));
});

test("a stopped run has the rows that were done, and gives all memory back", async () => {
  const live = gpu.memory().live;
  const stop = new AbortController();
  const seen: string[] = [];
  const report = await bench.report(gpu, Array(6).fill(doubling(false)), {
    ...{ peak, quick: true, signal: stop.signal },
    onRows(rows) {
      seen.push(...rows.map(({ name, time }) => `${name} ${time?.clock}`));
      stop.abort();
    },
  });
  expect(report.rows).toHaveLength(4); // as many as take turns
  expect(seen).toEqual(report.rows.map(({ name, time }) => `${name} ${time!.clock}`));
  expect(gpu.memory().live).toBe(live);
});

test("the peak only grows with more rounds, and gives its buffers back", async () => {
  const live = gpu.memory().live;
  const meter = await openPeak(gpu);
  const first = meter.peak;
  await meter.again();
  await meter.all();
  expect(meter.peak.gflops).toBeGreaterThanOrEqual(first.gflops);
  expect(meter.peak.copyGBs).toBeGreaterThanOrEqual(first.copyGBs);
  meter.dispose();
  expect(gpu.memory().live).toBe(live);
});

test("first calls: a case whose pipelines exist already has no row", async () => {
  const source = `// once.wgsl: y = 1
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1) fn main() { y[0] = 1.0; }`;
  const kernel = defineKernel(source, { entry: "main" });
  const once: Case = {
    ...doubling(false),
    prepare(on) {
      const y = on.zeros([1]);
      const run = () => on.dispatch(kernel, { y }, {}, [1]);
      return { run, verify: async () => 0, dispose: () => y.dispose() };
    },
  };
  const rows = await bench.firstCalls(gpu, [once, once]);
  expect(rows).toEqual([{ name: "right", pipelines: 1, seconds: expect.any(Number) }]);
  expect(rows[0]!.seconds).toBeGreaterThanOrEqual(0);
});

test("kernels(): variants and knobs, and a first call that uploads constants is a real one", async () => {
  const source = `// knobs.wgsl: y = FACTOR x
override FACTOR: f32 = 1.0;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(2) fn main(@builtin(global_invocation_id) g: vec3u) {
  y[g.x] = FACTOR * x[g.x]; }`;
  const kernel = defineKernel(source, {
    ...{ entry: "main", knobs: { FACTOR: 3 }, variant: "threefold" },
  });
  const y = gpu.zeros([4]);
  const run = gpu.record(() => gpu.dispatch(kernel, { x: gpu.tensor([1, 2, 3, 4]), y }, {}, [4]));
  const use = {
    ...{ kernel: "knobs.wgsl:main", variant: "threefold", knobs: { FACTOR: 3 } },
    ...{ workgroup: [2, 1, 1], grid: [2, 1, 1], times: 1 },
  };
  expect(kernelsOf(gpu, run)).toEqual([use]);
  expect([...(await y.data())]).toEqual([3, 6, 9, 12]);
  const twice = () => {
    run();
    run();
  };
  expect(kernelsOf(gpu, twice)).toEqual([{ ...use, times: 2 }]);
  run.dispose();
  y.dispose();
});

test("memory().peakBytes is the most in use at once since resetPeak()", async () => {
  gpu.resetPeak();
  const before = gpu.memory();
  expect(before.peakBytes).toBe(before.liveBytes);
  gpu.zeros([2 ** 18]).dispose();
  const small = gpu.memory();
  expect(small.liveBytes).toBe(before.liveBytes);
  expect(small.peakBytes - before.liveBytes).toBe(2 ** 20);
  gpu.resetPeak();
  expect(gpu.memory().peakBytes).toBe(before.liveBytes);
});

test("real kernels pass their verification", async () => {
  const some = [
    ...bench.cases({ filter: /^matmul 256/ }),
    ...bench.cases({ filter: /^conv2d 3x3 32x32 16>32/ }),
  ];
  const rows = await bench.run(gpu, some, { peak, quick: true });
  expect(rows.map(({ failed }) => failed)).toEqual(some.map(() => undefined));
});
