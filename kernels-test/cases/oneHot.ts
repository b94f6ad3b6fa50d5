// oneHot: ranks, labels out of range.
import { type Gpu, ShapeError } from "../../src/index.ts";
import { oneHot } from "../../src/ops/oneHot.ts";
import { type Case, ints, opCase, throws, uints } from "../harness.ts";
import { at, build, type F64 } from "../oracle.ts";

const rows = (labels: F64, classes: number): F64 =>
  build([...labels.shape, classes], (index) =>
    Number(at(labels, ...index.slice(0, -1)) === index.at(-1)),
  );
const sizes = (
  [
    [[], 3],
    [[1], 1],
    [[33], 10],
    [[2, 3, 5], 7],
    [[600], 101],
  ] as const
).map(([shape, classes]) =>
  opCase({
    name: `oneHot of [${shape}], ${classes} classes`,
    inputs: { labels: ints(shape, classes) },
    apply: ({ labels }) => oneHot(labels, { classes }),
    oracle: ({ labels }) => rows(labels, classes),
    tolerance: 0,
    dispatches: { forward: 1 },
  }),
);
const outside = opCase({
  name: "oneHot: a label out of range is a row of zeros",
  inputs: { labels: uints([2, 3, 4294967295, 0]) },
  apply: ({ labels }) => oneHot(labels, { classes: 3 }),
  oracle: ({ labels }) => rows(labels, 3),
  tolerance: 0,
});
const errors: Case = {
  name: "oneHot refuses what it cannot take",
  run: async (gpu: Gpu) => {
    const [x, ids] = [gpu.zeros([2]), gpu.zeros([2], "u32")];
    await throws("dtype", () => oneHot(x, { classes: 3 }), ShapeError, /oneHot: labels is f32/);
    await throws("classes", () => oneHot(ids, { classes: 0 }), ShapeError, /oneHot: classes 0/);
    x.dispose();
    ids.dispose();
  },
};

export const cases: readonly Case[] = [...sizes, outside, errors];
