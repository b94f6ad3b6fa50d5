// Dropout: the masks are those of jax.random.bernoulli for the same key, whose bits the host draws
// here.

import { type Gpu, random, ShapeError } from "../../src/index.ts";
import { dropout } from "../../src/ops/dropout.ts";
import { type Case, opCase, rand, throws, values } from "../harness.ts";
import { type F64, map } from "../oracle.ts";

const keys = random.keys([1, 2], 3);
function dropoutF64(x: F64, at: number, rate: number): F64 {
  const key = { hi: keys.data[2 * at]!, lo: keys.data[2 * at + 1]! };
  const u = random.uniform(key, [x.data.length]).data;
  const keep = Math.fround(1 - rate);
  return map(x, (v, i) => (u[i]! < keep ? v / keep : v * 0));
}

const shapes: readonly (readonly number[])[] = [[3, 5, 7], [1], [4096], [2, 3001], [70_001]];
const draws = shapes.flatMap((shape) =>
  [0.2, 0.75].map((rate, at) =>
    opCase({
      name: `dropout [${shape}], rate ${rate}`,
      inputs: { x: rand(shape), keys },
      apply: ({ x, keys }) => dropout(x, keys, { at, rate }),
      oracle: ({ x }) => dropoutF64(x, at, rate),
      grads: ["x"],
      tolerance: 2e-7,
      dispatches: { forward: 1, backward: 1 },
    }),
  ),
);
const none = opCase({
  name: "dropout of rate 0 drops nothing",
  inputs: { x: rand([401]), keys },
  apply: ({ x, keys }) => dropout(x, keys, { at: 2, rate: 0 }),
  oracle: ({ x }) => x,
  grads: ["x"],
  tolerance: 0,
});
const nan = opCase({
  name: "dropout does not drop NaN",
  inputs: { x: values(new Float32Array(33).fill(Number.NaN)), keys },
  apply: ({ x, keys }) => dropout(x, keys, { at: 0, rate: 0.9 }),
  oracle: ({ x }) => dropoutF64(x, 0, 0.9),
});
const errors: Case = {
  name: "dropout refuses what it cannot take",
  run: async (gpu: Gpu) => {
    const [x, k] = [gpu.zeros([2, 3]), gpu.tensor(keys)];
    await throws("at", () => dropout(x, k, { at: -1, rate: 0.1 }), ShapeError, /dropout: at -1/);
    await throws("at", () => dropout(x, k, { at: 0.5, rate: 0.1 }), ShapeError, /at 0.5/);
    await throws("rate", () => dropout(x, k, { at: 0, rate: 1 }), ShapeError, /dropout: rate 1/);
    await throws("dtype", () => dropout(k, k, { at: 0, rate: 0.1 }), ShapeError, /x is u32/);
    for (const t of [x, k]) t.dispose();
  },
};

export const cases: readonly Case[] = [...draws, none, nan, errors];
