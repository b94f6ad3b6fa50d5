// The loss of a classifier with its gradient, as in training with label smoothing and mixed labels.
import { ops, type Tensor, valueAndGrad } from "../src/index.ts";
import { type Case, opCase, sumOf } from "./case.ts";

const SMOOTHING = 0.1;

function both(logits: Tensor, loss: (logits: Tensor) => Tensor) {
  const { value, grads } = valueAndGrad((p: { logits: Tensor }) => loss(p.logits))({ logits });
  return { value, logits: grads.logits };
}

function plain(logits: Tensor, labels: Tensor): Tensor {
  const target = ops.add(ops.mul(labels, 1 - SMOOTHING), SMOOTHING / logits.shape[1]!);
  return ops.mul(ops.sum(ops.mul(target, ops.logSoftmax(logits))), -1 / logits.shape[0]!);
}

function crossEntropy(rows: number, classes: number): Case {
  const n = rows * classes;
  return opCase({
    name: `loss softmaxCrossEntropy ${rows}x${classes} forward + gradient`,
    flops: 12 * n, // softmax 5, target 2, loss 2, gradient 3
    bytes: 12 * n,
    quick: true,
    inputs: { logits: [rows, classes], labels: [rows, classes] },
    range: 4,
    apply: ({ logits, labels }) =>
      both(logits, (x) => ops.softmaxCrossEntropy(x, labels, { smoothing: SMOOTHING })),
    plain: ({ logits, labels }) => both(logits, (x) => plain(x, labels)),
    oracle: ({ logits, labels }) => {
      const target = (i: number) => (1 - SMOOTHING) * labels[i]! + SMOOTHING / classes;
      const total = Array.from({ length: rows }, (_, r) =>
        sumOf(classes, (c) => Math.exp(logits[r * classes + c]!)),
      );
      const weight = Array.from({ length: rows }, (_, r) =>
        sumOf(classes, (c) => target(r * classes + c)),
      );
      return {
        value: () => {
          const log = total.map(({ value }) => Math.log(value));
          const { value, magnitude } = sumOf(
            n,
            (i) => target(i) * (log[Math.floor(i / classes)]! - logits[i]!),
          );
          return { value: value / rows, magnitude: magnitude / rows };
        },
        logits: (i) => {
          const row = Math.floor(i / classes);
          const softmax = Math.exp(logits[i]!) / total[row]!.value;
          const { value, magnitude } = weight[row]!;
          return {
            value: (softmax * value - target(i)) / rows,
            magnitude: (softmax * magnitude + Math.abs(target(i))) / rows,
          };
        },
      };
    },
  });
}

export const cases = (): Case[] => [crossEntropy(256, 1000)];
