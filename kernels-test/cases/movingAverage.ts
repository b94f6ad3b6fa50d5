// One step of the debiased moving average of statistics.
import { ops, ShapeError } from "../../src/index.ts";
import { type Case, opCase, rand, throws, values } from "../harness.ts";
import { f64 } from "../oracle.ts";

const { movingAverage } = ops;

const average = ([0, 1, 2, 7, 1000] as const).flatMap((steps) =>
  [0, 0.9, 0.9999].map((decay) =>
    opCase({
      name: `movingAverage with decay ${decay} after ${steps} steps`,
      inputs: { value: rand([1, 1, 65]), counter: values([steps], []), hidden: rand([1, 1, 65]) },
      apply: ({ value, counter, hidden }) => movingAverage(value, counter, hidden, { decay }),
      oracle: ({ value, counter, hidden }) => {
        const nextHidden = f64(
          hidden.shape,
          hidden.data.map((h, i) => h * decay + value.data[i]! * (1 - decay)),
        );
        const seen = -Math.expm1((steps + 1) * Math.log(decay));
        return {
          nextCounter: f64([], [counter.data[0]! + 1]),
          nextHidden,
          average: f64(
            hidden.shape,
            nextHidden.data.map((h) => h / seen),
          ),
        };
      },
      tolerance: 4e-7,
      dispatches: { forward: 1 },
    }),
  ),
);
const errors: Case = {
  name: "movingAverage refuses what it cannot take",
  run: async (gpu) => {
    const [vector, three, one] = [gpu.zeros([4]), gpu.zeros([3]), gpu.zeros([])];
    await throws(
      "decay",
      () => movingAverage(three, one, three, { decay: 1 }),
      ShapeError,
      /decay 1/,
    );
    await throws(
      "sizes",
      () => movingAverage(vector, one, three, { decay: 0 }),
      ShapeError,
      /\[4\]/,
    );
    await throws(
      "counter",
      () => movingAverage(three, three, three, { decay: 0 }),
      ShapeError,
      /counter \[3\]/,
    );
    for (const t of [vector, three, one]) t.dispose();
  },
};

export const cases: readonly Case[] = [...average, errors];
