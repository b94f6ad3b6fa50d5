// Stochastic depth: the masks are those of jax.random.uniform for the same key, whose bits the host
// draws here.

import { type Gpu, random, ShapeError } from "../../src/index.ts";
import { stochDepth } from "../../src/ops/stochDepth.ts";
import { assert, type Case, equal, opCase, rand, throws, values } from "../harness.ts";
import { type F64, map } from "../oracle.ts";

const keys = random.keys([7, 3], 4);
const keyAt = (i: number): random.Key => ({ hi: keys.data[2 * i]!, lo: keys.data[2 * i + 1]! });

/** floor(keep + u) in f32 for each image. */
function mask(images: number, at: number, rate: number): number[] {
  const u = random.uniform(keyAt(at), [images]).data;
  return Array.from(u, (v) => Math.floor(Math.fround(Math.fround(1 - rate) + v)));
}
function stochDepthF64(x: F64, at: number, rate: number, divisor = 1): F64 {
  const size = x.data.length / x.shape[0]!;
  const m = mask(x.shape[0]!, at, rate);
  return map(x, (v, i) => (v / divisor) * m[Math.floor(i / size)]!);
}

const shapes: readonly (readonly number[])[] = [
  [16, 3, 2, 5],
  [9, 4, 4, 8],
  [1, 1, 1, 1],
  [100],
  [3, 4099],
];
const draws = shapes.flatMap((shape) =>
  [0.25, 0.6].map((rate, at) =>
    opCase({
      name: `stochDepth [${shape}], rate ${rate}`,
      inputs: { x: rand(shape), keys },
      apply: ({ x, keys }) => stochDepth(x, keys, { at, rate }),
      oracle: ({ x }) => stochDepthF64(x, at, rate),
      grads: ["x"],
      tolerance: 0,
      dispatches: { forward: 1, backward: 1 },
    }),
  ),
);
const scaled = opCase({
  name: "stochDepth, scaled by the probability of being kept",
  inputs: { x: rand([32, 3, 5]), keys },
  apply: ({ x, keys }) => stochDepth(x, keys, { at: 3, rate: 0.3, scaleByKeep: true }),
  oracle: ({ x }) => stochDepthF64(x, 3, 0.3, 0.7),
  grads: ["x"],
  tolerance: 2e-7,
});
const none = opCase({
  name: "stochDepth of rate 0 drops nothing",
  inputs: { x: rand([64, 3]), keys },
  apply: ({ x, keys }) => stochDepth(x, keys, { at: 2, rate: 0 }),
  oracle: ({ x }) => x,
  grads: ["x"],
  tolerance: 0,
});
const many = opCase({
  name: "stochDepth of 66,000 images",
  inputs: { x: rand([66_000, 4]), keys },
  apply: ({ x, keys }) => stochDepth(x, keys, { at: 0, rate: 0.5 }),
  oracle: ({ x }) => stochDepthF64(x, 0, 0.5),
  tolerance: 0,
});
const nan = opCase({
  name: "stochDepth does not drop NaN",
  inputs: { x: values(new Float32Array(32).fill(Number.NaN), [32, 1]), keys },
  apply: ({ x, keys }) => stochDepth(x, keys, { at: 0, rate: 0.9 }),
  oracle: ({ x }) => stochDepthF64(x, 0, 0.9),
});
const share: Case = {
  name: "stochDepth drops about as many as it should, others for another row",
  run: async () => {
    const [a, b] = [mask(1000, 0, 0.25), mask(1000, 1, 0.25)];
    const kept = a.filter((v) => v === 1).length;
    assert(kept > 700 && kept < 800, "700 to 800 of 1000 kept", kept);
    equal("the same", a.join() === b.join(), false);
  },
};
const errors: Case = {
  name: "stochDepth refuses what it cannot take",
  run: async (gpu: Gpu) => {
    const [x, scalar] = [gpu.zeros([2, 3]), gpu.zeros([])];
    const [k, bad] = [gpu.tensor(keys), gpu.zeros([4], "u32")];
    const drop = stochDepth;
    await throws("at", () => drop(x, k, { at: 4, rate: 0.1 }), ShapeError, /at 4.*\[4,2\]/);
    await throws("rate", () => drop(x, k, { at: 0, rate: 1 }), ShapeError, /rate 1 .*\[0, 1\)/);
    await throws("rate", () => drop(x, k, { at: 0, rate: -0.1 }), ShapeError, /rate -0.1/);
    await throws("keys", () => drop(x, bad, { at: 0, rate: 0.1 }), ShapeError, /\[4\].*\[n, 2\]/);
    await throws("dtype", () => drop(x, x, { at: 0, rate: 0.1 }), ShapeError, /keys is f32/);
    await throws("scalar", () => drop(scalar, k, { at: 0, rate: 0.1 }), ShapeError, /scalar/);
    for (const t of [x, scalar, k, bad]) t.dispose();
  },
};

export const cases: readonly Case[] = [...draws, scaled, none, many, nan, share, errors];
