// That whole steps are held to f64 by something that can fail: the oracle and the engine agree on a small network, and do
// not where one of them computes something else. No time is judged.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Gpu, nn, openGpu } from "../src/index.ts";
import type { Case } from "./case.ts";
import { type Training, trainingCase } from "./training.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ adapter: "software" });
});
afterAll(() => gpu.close());

/** Two stages with strides, odd sizes, stochastic depth, dropout and the average of the parameters. */
const small: Training = {
  name: "small",
  model: nn.nfnet({
    numClasses: 5,
    stochdepthRate: 0.6,
    variant: {
      ...{ width: [16, 32], depth: [1, 2], groupWidth: [8, 8] },
      ...{ trainImsize: 20, testImsize: 20, dropRate: 0.3 },
    },
  }),
  batch: 3,
  size: 20,
  clipping: 0.01,
  ema: true,
};
const prepared = async (training: Training) => {
  const { prepare, flops, bytes }: Case = trainingCase(training, false);
  expect(flops).toBeGreaterThan(0);
  expect(bytes).toBeGreaterThan(0);
  return prepare(gpu);
};

test("a step agrees with f64, and gives its memory back", async () => {
  const live = gpu.memory().live;
  const step = await prepared(small);
  expect(await step.verify()).toBeLessThan(1);
  step.dispose();
  expect(gpu.memory().live).toBe(live);
});

test("a second step is not the first: its momentum is seen", async () => {
  const step = await prepared(small);
  step.run();
  expect(await step.verify()).toBeGreaterThan(1);
  step.dispose();
});
