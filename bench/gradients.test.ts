// That a case of a gradient times the gradient alone: a recording drops the forward pass that nobody reads.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Gpu, openGpu } from "../src/index.ts";
import { cases } from "./cases.ts";
import { convCases } from "./conv2d.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ adapter: "software" });
});
afterAll(() => gpu.close());

const conv = { batch: 1, size: 24, inCh: 64, outCh: 64, kernel: 3, stride: 1, groups: 2 };
test.each([
  ...convCases(conv, ["forward", "input", "weight"]),
  ...cases({
    filter: /^(standardize .*3x16x32 forward$|residual 1x|activation silu|pool avg .*512)/,
  }),
])("$name is one dispatch", async ({ name, prepare }) => {
  const prepared = await prepare(gpu);
  expect(await prepared.verify()).toBeLessThan(1);
  await gpu.sync();
  const before = gpu.counts().dispatches;
  prepared.run();
  await gpu.sync();
  const sums = /^residual .*gradients/.test(name) ? 1 : 0; // of the gain's gradient
  expect(gpu.counts().dispatches - before).toBe(1 + sums);
  prepared.dispose();
});
