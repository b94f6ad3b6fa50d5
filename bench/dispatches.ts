// Many tiny kernels one after another: what a dispatch costs where the work is nothing.
import { ops } from "../src/index.ts";
import { type Case, opCase } from "./case.ts";

const COUNT = 300;
const N = 4096;

export const cases = (): Case[] => [
  opCase({
    name: `dispatch ${COUNT} adds of ${N}`,
    flops: COUNT * N,
    bytes: COUNT * 12 * N,
    quick: true,
    inputs: { x: [N], step: [N] },
    apply: ({ x, step }) => {
      let y = ops.add(x, step);
      for (let i = 1; i < COUNT; i++) y = ops.add(y, step);
      return { y };
    },
    oracle: ({ x, step }) => ({
      y: (i) => ({
        value: x[i]! + COUNT * step[i]!,
        magnitude: Math.abs(x[i]!) + (COUNT * (COUNT + 1) * Math.abs(step[i]!)) / 16, // each sum is rounded
      }),
    }),
  }),
];
