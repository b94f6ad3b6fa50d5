// Whole training steps, recorded as a user records them: the demo's network, and NFNet-F0 on small images with clipping
// and the average of its parameters. One step from known parameters is held to f64: every gradient of every parameter.
import {
  type Gpu,
  type Host,
  nn,
  ops,
  optim,
  random,
  type Shape,
  type Tensor,
  tree,
  valueAndGrad,
} from "../src/index.ts";
import { type Case, randomData, relativeL2, sizeOf, WHOLE_BOUND } from "./case.ts";
import { countOf, fill, type Mask, nfnetF64, readAll } from "./nfnet.ts";
import { clippedF64, rules, rulesOf, worstUpdate } from "./optimizer.ts";
import { crossEntropyF64, f64Tape } from "./oracle.ts";

export interface Training {
  readonly name: string;
  readonly model: nn.NFNet;
  readonly batch: number;
  /** Height and width of the images. */
  readonly size: number;
  readonly clipping: number;
  /** With the average of the parameters. */
  readonly ema: boolean;
}

/** As `nfgrad train` makes it, with batches of 64. */
export const demo: Training = {
  name: "demo",
  model: nn.nfnet({
    numClasses: 10,
    stochdepthRate: 0,
    variant: {
      ...{ width: [64, 128], depth: [1, 1], groupWidth: [32, 32] },
      ...{ trainImsize: 24, testImsize: 24, dropRate: 0 },
    },
  }),
  batch: 64,
  size: 24,
  clipping: 0.1,
  ema: false,
};
/** With dropout and stochastic depth. */
export const f0: Training = {
  name: "F0",
  model: nn.nfnet({ variant: "F0", numClasses: 1000 }),
  batch: 8,
  size: 64,
  clipping: rules.clipping,
  ema: true,
};

const SMOOTHING = 0.1;
const LR = 0.001;

/** Random parameters, an optimizer, a recorded step, and arguments for it. */
export function trainingStep(gpu: Gpu, { name, model, batch, size, clipping, ema }: Training) {
  const params = gpu.init(model.spec, { zeros: true });
  fill(gpu, name, params);
  const { ema: average, ...sgd } = rules;
  const options = { ...sgd, clipping, ...(ema && { ema: average }) };
  const opt = optim.sgdAgc(params, { ...options, groups: optim.nfnetGroups(model) });
  const lossAndGrad = valueAndGrad((p: typeof params, x: Tensor, labels: Tensor, keys: Tensor) => {
    const logits = model(p, x, { train: true, keys });
    return [ops.softmaxCrossEntropy(logits, labels, { smoothing: SMOOTHING }), { logits }] as const;
  });
  const step = gpu.record(
    (x: Tensor, labels: Tensor, lr: Tensor, itr: Tensor, keys: Tensor) => {
      const { value, grads, aux } = lossAndGrad(params, x, labels, keys);
      opt.update(grads, { lr, step: itr });
      return { loss: value, logits: aux.logits };
    },
    { name: `training ${name}` },
  );
  const shape: Shape = [batch, size, size, 3];
  const x = { data: randomData(`${name} images`, sizeOf(shape), Math.sqrt(3)), shape };
  const labels = Uint32Array.from({ length: batch }, (_, i) => (i * 37) % model.numClasses);
  const keys = random.keys([0, 1], Math.max(1, model.draws));
  return {
    params,
    opt,
    step,
    x,
    labels,
    keys,
    args: () => [x, labels, LR, 0, keys] as const,
    dispose() {
      step.dispose();
      opt.dispose();
      tree.dispose(params);
    },
  };
}

/** What stochastic depth and dropout multiply with, from the keys: rows in the order in which the model draws. */
function masksOf(model: nn.NFNet, keys: Host, batch: number, pooled: number) {
  let row = 0;
  const uniforms = (count: number) => {
    const key = { hi: keys.data[2 * row]!, lo: keys.data[2 * row + 1]! };
    row++;
    return random.uniform(key, [count]).data;
  };
  const branches = model.blocks.map(({ stochdepthRate: rate }): Mask | null => {
    if (rate === 0) return null;
    const kept = uniforms(batch);
    return (image) => Math.floor(1 - rate + kept[image]!);
  });
  const rate = model.dropRate;
  const draws = rate > 0 ? uniforms(batch * pooled) : [];
  const dropout: Mask = (i) => (draws[i]! < 1 - rate ? 1 / (1 - rate) : 0);
  return { branch: (i: number) => branches[i]!, dropout: rate > 0 ? dropout : null };
}

/**
 * One step against f64: loss, logits, the momentum of every parameter (its first is the clipped gradient with decay),
 * and the update that follows from it. To be called before any other step.
 */
async function worstOfStep(gpu: Gpu, training: Training, made: ReturnType<typeof trainingStep>) {
  const { model, clipping, batch } = training;
  const { params, opt, step, args, x, labels, keys } = made;
  const before = await readAll(gpu, params);
  const { loss, logits } = step(...args());
  const [ourLoss, ourLogits] = [await loss.item(), await logits.data()];
  const momentum = await readAll(gpu, opt.state.momentum!);
  const after = await readAll(gpu, params);
  const averages = opt.ema ? await readAll(gpu, opt.ema) : null;
  const keep = Math.min(rules.ema.decay, 1 / 10); // the average's warm-up at step 0

  const parts: number[] = [];
  const scalars = { actual: [] as number[], expected: [] as number[] };
  let seen = 0;
  const t = f64Tape();
  const leaf = (path: string) => {
    const { data: w, shape } = before[path]!;
    return t.leaf(shape, w, (grad) => {
      seen++;
      const own = rulesOf(path, clipping);
      const expected = clippedF64(shape, w, grad, own.clipping);
      for (let i = 0; i < expected.length; i++) expected[i]! += own.decay * w[i]!;
      const m = momentum[path]!.data;
      if (m.length > 1) parts.push(relativeL2(m, expected) / WHOLE_BOUND);
      else {
        scalars.actual.push(m[0]!); // of one sum's terms most may cancel: judged together
        scalars.expected.push(expected[0]!);
      }
      const by = (i: number) => -LR * (1 + rules.momentum) * m[i]!;
      const change = (i: number, factor: number) => ({
        value: by(i) * factor,
        magnitude: Math.abs(by(i)),
      });
      parts.push(worstUpdate(after[path]!.data, w, (i) => change(i, 1)));
      if (averages) parts.push(worstUpdate(averages[path]!.data, w, (i) => change(i, 1 - keep)));
    });
  };
  const pooled = before["linear/w"]!.shape[0]!;
  const masks = masksOf(model, keys, batch, pooled);
  const out = nfnetF64(t, model, leaf, t.leaf(x.shape, x.data), masks);
  const classes = model.numClasses;
  const { loss: value, grad } = crossEntropyF64(out.data, classes, (r, c) => {
    return (labels[r] === c ? 1 - SMOOTHING : 0) + SMOOTHING / classes;
  });
  parts.push(relativeL2(ourLogits, out.data) / WHOLE_BOUND);
  parts.push(relativeL2([ourLoss], [value]) / WHOLE_BOUND);
  t.backward(out, grad);
  parts.push(relativeL2(scalars.actual, scalars.expected) / WHOLE_BOUND);
  if (seen !== Object.keys(before).length) return Number.NaN; // a parameter that was not compared
  return Math.max(...parts);
}

/** Three times the forward pass's operations; of the bytes only what must move: parameters, momentum, average, gradients. */
export function trainingCase(training: Training, quick: boolean): Case {
  const { model, batch, size, ema } = training;
  const parameters = countOf(model.spec);
  const images = batch * size * size * 3;
  return {
    name: `training ${training.name} ${batch}x${size}x${size}`,
    flops: 3 * 2 * batch * model.countFlops(size, size).total,
    // w read by both passes and the update, written; g written and read; m and the average read and written.
    bytes: 4 * ((ema ? 10 : 8) * parameters + images),
    quick,
    prepare(gpu) {
      const made = trainingStep(gpu, training);
      return {
        run: () => made.step(...made.args()),
        verify: () => worstOfStep(gpu, training, made),
        dispose: made.dispose,
      };
    },
  };
}

export const cases = (): Case[] => [trainingCase(demo, true), trainingCase(f0, false)];
