// The residual join and the gradient of its gain, which is one sum over a whole activation.

import { type Gpu, ShapeError, vjp } from "../../src/index.ts";
import { plainResidual, residual } from "../../src/ops/residual.ts";
import { assert, type Case, opCase, rand, throws, values } from "../harness.ts";
import { dot, type F64, map, norm } from "../oracle.ts";

const residualF64 = (x: F64, shortcut: F64, gain: number, alpha: number): F64 =>
  map(x, (v, i) => v * alpha * gain + shortcut.data[i]!);

const shapes: readonly (readonly number[])[] = [
  [2, 5, 7, 3],
  [1],
  [3],
  [4],
  [2, 4, 4, 16],
  [20_001],
];
const withGain = shapes.map((shape) =>
  opCase({
    name: `residual [${shape}] with gain`,
    inputs: { x: rand(shape), shortcut: rand(shape), gain: values([0.4], []) },
    apply: ({ x, shortcut, gain }) => residual(x, shortcut, gain, { alpha: 0.2 }),
    reference: ({ x, shortcut, gain }) => plainResidual(x, shortcut, gain, 0.2),
    oracle: ({ x, shortcut, gain }) => residualF64(x, shortcut, gain.data[0]!, 0.2),
    grads: ["x", "shortcut", "gain"],
    tolerance: 2e-7,
    dispatches: { forward: 1, backward: 2 },
  }),
);
const withoutGain = opCase({
  name: "residual without gain",
  inputs: { x: rand([3, 7, 5]), shortcut: rand([3, 7, 5]) },
  apply: ({ x, shortcut }) => residual(x, shortcut, { alpha: -1.5 }),
  oracle: ({ x, shortcut }) => residualF64(x, shortcut, 1, -1.5),
  grads: ["x", "shortcut"],
  tolerance: 2e-7,
  dispatches: { forward: 1, backward: 1 },
});
const byDefault = opCase({
  name: "residual with alpha 1 is a sum, and the shortcut's gradient costs nothing",
  inputs: { x: rand([6]), shortcut: rand([6]) },
  apply: ({ x, shortcut }) => residual(x, shortcut),
  oracle: ({ x, shortcut }) => residualF64(x, shortcut, 1, 1),
  grads: ["shortcut"],
  tolerance: 2e-7,
  dispatches: { forward: 1, backward: 0 },
});
const gainAlone = opCase({
  name: "residual's gain of shape [1] alone",
  inputs: { x: rand([33, 5]), shortcut: rand([33, 5]), gain: values([0]) },
  apply: ({ x, shortcut, gain }) => residual(x, shortcut, gain),
  oracle: ({ x, shortcut, gain }) => residualF64(x, shortcut, gain.data[0]!, 1),
  grads: ["gain"],
});
const nan = opCase({
  name: "residual passes NaN and infinities",
  inputs: {
    x: values([Number.NaN, Number.POSITIVE_INFINITY, 1]),
    shortcut: values([1, 1, Number.NaN]),
  },
  apply: ({ x, shortcut }) => residual(x, shortcut),
  oracle: ({ x, shortcut }) => residualF64(x, shortcut, 1, 1),
});

const cancelling: Case = {
  name: "residual's dgain keeps its digits where 200,000 terms cancel",
  run: async (gpu: Gpu) => {
    const n = 200_003;
    const [hx, hdy] = [rand([n], 1).data, rand([n], 2).data];
    const x = gpu.tensor(hx as Float32Array<ArrayBuffer>);
    const shortcut = gpu.tensor(hdy as Float32Array<ArrayBuffer>);
    const gain = gpu.tensor([0.5], []);
    const pull = vjp((p: { gain: typeof gain }) => residual(x, shortcut, p.gain));
    const got = await pull({ gain }, shortcut).grads.gain.item();
    const terms = Float64Array.from({ length: n }, (_, i) => hx[i]! * hdy[i]!);
    const off = Math.abs(got - dot(hx, hdy)) / norm(terms);
    assert(off < 3e-7, "error over the norm of the terms is below 3e-7", off);
    for (const t of [x, shortcut, gain]) t.dispose();
  },
};
const errors: Case = {
  name: "residual refuses what it cannot take",
  run: async (gpu: Gpu) => {
    const [x, other, two] = [gpu.zeros([2, 3]), gpu.zeros([3, 2]), gpu.zeros([2])];
    const ids = gpu.zeros([2, 3], "u32");
    await throws("shapes", () => residual(x, other), ShapeError, /residual.*\[2,3\].*\[3,2\]/);
    await throws("gain", () => residual(x, x, two), ShapeError, /residual: gain \[2\]/);
    await throws("dtype", () => residual(x, ids), ShapeError, /u32/);
    for (const t of [x, other, two, ids]) t.dispose();
  },
};

export const cases: readonly Case[] = [
  ...withGain,
  withoutGain,
  byDefault,
  gainAlone,
  nan,
  cancelling,
  errors,
];
