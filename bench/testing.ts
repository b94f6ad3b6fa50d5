// Rows and reports made up for the tests of what is made of them. Not a test, not part of the suite.
import type { KernelUse, Peak, Report, Row } from "./index.ts";
import { rates } from "./row.ts";

export const peak: Peak = { gflops: 100, copyGBs: 10, form: "f", copyForm: "c" };
export const lanes: KernelUse = {
  kernel: "shaders/conv2d.wgsl:quads",
  variant: "lanes 32x128x4 4x1",
  knobs: { PASS: 0 },
  workgroup: [32, 1, 1],
  grid: [7, 1, 1],
  times: 1,
};

export interface Given {
  readonly median: number;
  readonly spread?: number;
  readonly min?: number;
  readonly flops?: number;
  readonly bytes?: number;
}
export function row(name: string, given: Given): Row {
  const { median, spread = 0, min = median, flops = 1e9, bytes = 1e7 } = given;
  const work = { flops, bytes };
  return {
    ...{ name, family: name.split(" ")[0]!, adapter: "chip", driver: "driver 1", error: 0.1 },
    ...{ ...work, kernels: [lanes], deviceBytes: 3 * 2 ** 20 },
    time: {
      ...{ median, min, spread, clock: "timestamp", rounds: 5, repeats: 3, dispatches: 1 },
      ...rates(work, median, peak),
    },
  };
}
export const failing = (name: string): Row => {
  const { time: _, ...rest } = row(name, { median: 1 });
  return { ...rest, failed: "wrong values: 3 times the error allowed" };
};
export function report(rows: readonly Row[], changed: Partial<Report> = {}): Report {
  return {
    format: 1,
    date: "2030-01-02T03:04:05.000Z",
    versions: { nfgrad: "9.9.9" },
    adapter: {
      ...{ kind: "hardware", vendor: "v", architecture: "a", device: "d" },
      description: "chip: driver 1",
    },
    peak,
    method: { quick: false, rounds: 11, target: 0.03, together: 4, seconds: 60 },
    rows,
    ...changed,
  } as Report;
}
