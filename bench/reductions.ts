// Sums, means and softmax: whole tensors, columns and rows.
import { ops, type Tensor } from "../src/index.ts";
import { type Case, opCase, type Sum, short, sumOf } from "./case.ts";

const N = 2 ** 22;
const scaled = ({ value, magnitude }: Sum, by: number): Sum => ({
  value: value / by,
  magnitude: magnitude / by,
});

function whole(name: string, quick: boolean, f: (x: Tensor) => Tensor, count: number): Case {
  return opCase({
    name: `reduce ${name} ${short(N)}`,
    flops: N,
    bytes: 4 * N,
    quick,
    inputs: { x: [N] },
    apply: ({ x }) => ({ y: f(x) }),
    oracle: ({ x }) => ({
      y: () =>
        scaled(
          sumOf(N, (i) => x[i]!),
          count,
        ),
    }),
  });
}

/** Sums over rows, one for each column: the gradient of a bias. */
function columns(rows: number, cols: number): Case {
  const n = rows * cols;
  return opCase({
    name: `reduce column sums ${rows}x${cols}`,
    flops: n,
    bytes: 4 * (n + cols),
    quick: true,
    inputs: { x: [rows, cols] },
    apply: ({ x }) => ({ y: ops.sum(x, { axis: 0 }) }),
    oracle: ({ x }) => ({ y: (i) => sumOf(rows, (r) => x[r * cols + i]!) }),
  });
}

function softmax(rows: number, cols: number): Case {
  const n = rows * cols;
  return opCase({
    name: `softmax ${rows}x${cols}`,
    flops: 5 * n, // comparison, difference, exp, sum, quotient
    bytes: 8 * n,
    quick: true,
    inputs: { x: [rows, cols] },
    range: 8,
    apply: ({ x }) => ({ y: ops.softmax(x) }),
    oracle: ({ x }) => ({
      y: (i) => {
        const start = i - (i % cols);
        const most = x.subarray(start, start + cols).reduce((a, b) => Math.max(a, b));
        const e = (at: number) => Math.exp(x[at]! - most);
        const value = e(i) / sumOf(cols, (c) => e(start + c)).value;
        return { value, magnitude: value * (1 + most - x[i]!) }; // the difference is rounded before exp
      },
    }),
  });
}

export const cases = (): Case[] => [
  whole("sum", true, (x) => ops.sum(x), 1),
  whole("mean", false, (x) => ops.mean(x), N),
  columns(4096, 1024),
  softmax(1024, 1000),
];
