// Device memory of a training step: its peak against what must be there, counted by shape.

import {
  type Gpu,
  nn,
  openGpu,
  ops,
  optim,
  random,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { lanesOf } from "../../src/ops/variants.ts";
import { alike } from "../alike.ts";
import { assert, type Case } from "../harness.ts";

const variant: nn.NFNetVariant = {
  ...{ width: [64, 128], depth: [4, 4], groupWidth: [32, 32] },
  ...{ trainImsize: 64, testImsize: 64, dropRate: 0 },
};

/** Elements that backward reads: inputs of convolutions, of activations, of squeeze-and-excite and of the residual join. */
function saved(model: nn.NFNet, images: number, size: number): number {
  const { stem, finalConv } = model.spec;
  let n = images * size ** 2 * 3;
  let at = size;
  for (const [conv, stride, uses] of [
    [stem.conv0, 2, 2], // its result, and the activation's
    [stem.conv1, 1, 2],
    [stem.conv2, 1, 2],
    [stem.conv3, 2, 0], // the first block counts it
  ] as const) {
    at = Math.ceil(at / stride);
    n += uses * images * at ** 2 * conv.w.shape[3]!;
  }
  for (const { inCh, outCh, width, stride } of model.blocks) {
    const before = images * at ** 2;
    at = Math.ceil(at / stride);
    const after = images * at ** 2;
    n += before * (2 * inCh + 2 * width); // x, act(x); conv0 and its activation
    n += after * (4 * width + 2 * outCh); // conv1, conv1b and theirs; what squeeze-and-excite reads and gives
    if (stride > 1) n += after * inCh; // pooled
  }
  const [last, final] = [model.blocks.at(-1)!.outCh, finalConv.w.shape[3]!];
  return n + images * at ** 2 * (last + final);
}

/**
 * Bytes at the peak of a training step, over those that must be there: parameters, gradients, momentum, EMA, standardized
 * weights, and what `saved` counts. `run`: also runs it three times, else only its commands are made.
 */
export async function measure(
  gpu: Gpu,
  model: nn.NFNet,
  images: number,
  size: number,
  run: boolean,
) {
  const params = gpu.init(model.spec, { zeros: true });
  const opt = optim.sgdAgc(params, {
    ...{ momentum: 0.9, nesterov: true, clipping: 0.01, groups: optim.nfnetGroups(model) },
    ema: { decay: 0.999 },
  });
  const lossAndGrad = valueAndGrad((p: typeof params, x: Tensor, y: Tensor, keys: Tensor) =>
    ops.softmaxCrossEntropy(model(p, x, { train: true, keys }), y),
  );
  const step = gpu.record((x: Tensor, y: Tensor, lr: Tensor, t: Tensor, keys: Tensor) => {
    const { value, grads } = lossAndGrad(params, x, y, keys);
    opt.update(grads, { lr, step: t });
    return value;
  });
  const x = { data: new Float32Array(images * size ** 2 * 3), shape: [images, size, size, 3] };
  const keys = random.keys([0, 0], model.draws);
  if (run) for (let t = 0; t < 3; t++) step(x, new Uint32Array(images), 0.1, t, keys);
  else await gpu.compile(step, [x, new Uint32Array(images), 0.1, 0, keys]);
  await gpu.sync();
  const all = tree.leaves(params).map(({ tensor }) => tensor);
  const parameters = all.reduce((n, t) => n + t.size, 0);
  const weights = all.filter(({ shape }) => shape.length === 4).reduce((n, t) => n + t.size, 0);
  const must = 4 * (4 * parameters + weights + saved(model, images, size));
  const { peakBytes, imageBytes } = gpu.memory();
  return { must, peakBytes, imageBytes };
}

export const cases: readonly Case[] = [
  {
    name: "a training step's memory is near what it must keep",
    async run(shared) {
      const gpu = await openGpu(alike(shared)); // without what others left, and guards
      const model = nn.nfnet({ variant, numClasses: 10 });
      const { must, peakBytes } = await measure(gpu, model, 16, 64, true);
      const most = lanesOf(gpu.info) ? 1.15 : 1.16; // other cores' weight passes add up parts, from scratch memory
      await gpu.close();
      const ratio = peakBytes / must;
      assert(
        ratio > 0.9 && ratio < most,
        `${peakBytes} bytes at peak, ${must} must be there`,
        ratio,
      );
    },
  },
];
