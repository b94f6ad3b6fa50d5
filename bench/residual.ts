// The join of a residual branch with its shortcut, and its gradients.
import { ops, type Shape, type Tensor, vjp } from "../src/index.ts";
import { type Case, opCase, sizeOf, sumOf } from "./case.ts";

const ALPHA = 0.2;
const shapes: readonly Shape[] = [
  [1, 24, 24, 512],
  [8, 24, 24, 512],
];

const plain = (x: Tensor, shortcut: Tensor, gain: Tensor) =>
  ops.add(ops.mul(ops.mul(x, gain), ALPHA), shortcut);

/** The shortcut's gradient is dy itself: nothing is computed, and nothing asked for. */
const both = (shape: Shape): Case[] => {
  const n = sizeOf(shape);
  const quick = shape[0] === 8;
  return [
    opCase({
      name: `residual ${shape.join("x")} forward`,
      flops: 2 * n,
      bytes: 12 * n,
      quick,
      inputs: { x: shape, shortcut: shape, gain: [] },
      apply: ({ x, shortcut, gain }) => ({ y: ops.residual(x, shortcut, gain, { alpha: ALPHA }) }),
      plain: ({ x, shortcut, gain }) => ({ y: plain(x, shortcut, gain) }),
      oracle: ({ x, shortcut, gain }) => ({
        y: (i) => sumOf(2, (t) => (t ? shortcut[i]! : x[i]! * ALPHA * gain[0]!)),
      }),
    }),
    opCase({
      name: `residual ${shape.join("x")} gradients`,
      flops: 3 * n,
      bytes: 12 * n,
      quick,
      inputs: { x: shape, shortcut: shape, gain: [], dy: shape },
      apply: ({ x, shortcut, gain, dy }) =>
        vjp((p: { x: Tensor; gain: Tensor }) =>
          ops.residual(p.x, shortcut, p.gain, { alpha: ALPHA }),
        )({ x, gain }, dy).grads,
      plain: ({ x, shortcut, gain, dy }) =>
        vjp((p: { x: Tensor; gain: Tensor }) => plain(p.x, shortcut, p.gain))({ x, gain }, dy)
          .grads,
      oracle: ({ x, gain, dy }) => ({
        x: (i) => sumOf(1, () => dy[i]! * ALPHA * gain[0]!),
        gain: () => sumOf(n, (i) => dy[i]! * ALPHA * x[i]!),
      }),
    }),
  ];
};

export const cases = (): Case[] => shapes.flatMap(both);
