// The suite's own behaviour: cases, verification, rows and their texts. No time is judged.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Gpu, openGpu, ops } from "../src/index.ts";
import type { Case } from "./case.ts";
import * as bench from "./index.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ adapter: "software" });
});
afterAll(() => gpu.close());

const peak = { gflops: 100, multiplyAdd: "a constant", copyGBs: 10 } as unknown as bench.Peak;
/** `y = 2 x`, and whether it says so. */
const doubling = (wrong: boolean): Case => ({
  name: wrong ? "wrong" : "right",
  flops: 256,
  bytes: 2048,
  quick: true,
  prepare(on) {
    const x = on.tensor(Float32Array.from({ length: 256 }, (_, i) => i));
    const run = on.record(() => ops.mul(x, 2));
    return {
      run,
      verify: async () => {
        const y = await run().data();
        return Math.abs(y[3]! - (wrong ? 9 : 6));
      },
      dispose() {
        run.dispose();
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

test("real kernels pass their verification", async () => {
  const some = [
    ...bench.cases({ filter: /^matmul 256/ }),
    ...bench.cases({ filter: /^conv2d 3x3 32x32 16>32/ }),
  ];
  const rows = await bench.run(gpu, some, { peak, quick: true });
  expect(rows.map(({ failed }) => failed)).toEqual(some.map(() => undefined));
});
