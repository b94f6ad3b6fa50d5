// Networks for the comparison of bits: the tiny NFNet's gradients, and the parameters after steps of training with
// AGC. Deterministic from a seed: data, parameters and the draws of each step.
import {
  type Gpu,
  nn,
  ops,
  optim,
  random,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { ints, rand } from "../harness.ts";
import { lively, tiny } from "../nets.ts";

const CLASSES = 10;

interface Trained {
  readonly side: number;
  readonly batch: number;
  make(): nn.NFNet;
}
const net =
  (variant: nn.NFNetVariant, options: Partial<nn.NFNetOptions> = {}) =>
  () =>
    nn.nfnet({ variant, numClasses: CLASSES, ...options });
const small: nn.NFNetVariant = {
  width: [16, 32],
  depth: [1, 1],
  groupWidth: [8, 8],
  trainImsize: 16,
  testImsize: 16,
  dropRate: 0.1,
};

/** Models by the name of `--model`. */
export const MODELS: Readonly<Record<string, Trained>> = {
  tiny: { side: 16, batch: 8, make: net(small) },
  deep: {
    side: 16,
    batch: 8,
    make: net({ ...small, depth: [2, 3] }, { activation: "silu", stochdepthRate: 0.3 }),
  },
  wide: { side: 24, batch: 6, make: net({ ...small, width: [32, 48], groupWidth: [16, 24] }) },
  stages: { side: 32, batch: 4, make: net(tiny, { stochdepthRate: 0.1 }) },
};

interface Options {
  readonly seed?: number;
  readonly model?: string;
  readonly steps?: number;
}

/** The cases, for one model and seed. @throws Error for a model that there is not. */
export function trainings(
  gpu: () => Promise<Gpu>,
  { seed = 0, model = "tiny", steps = 100 }: Options,
): { name: string; run(): Promise<void> }[] {
  const of = MODELS[model];
  if (!of) throw new Error(`model ${model}: expected one of ${Object.keys(MODELS).join(", ")}`);
  const which = `${model}, seed ${seed}`;
  return [
    {
      name: `training: gradients of ${which}`,
      run: async () => gradients(await gpu(), of, seed),
    },
    {
      name: `training: ${steps} steps of ${which}`,
      run: async () => train(await gpu(), of, seed, steps),
    },
  ];
}

const batchOf = ({ side, batch }: Trained, seed: number, step: number) => ({
  x: rand([batch, side, side, 3], 1000 * seed + 2 * step + 1),
  y: ints([batch], CLASSES, 1000 * seed + 2 * step + 2),
});

async function gradients(gpu: Gpu, of: Trained, seed: number): Promise<void> {
  const model = of.make();
  const params = gpu.init(lively(model.spec), { seed });
  const { x, y } = batchOf(of, seed, 0);
  const keys = gpu.tensor(random.keys([0, seed], model.draws));
  const [xs, ys] = [gpu.tensor(x), gpu.tensor(y)];
  const made = gpu.scope(() =>
    valueAndGrad((p: typeof params) => {
      const logits = model(p, xs, { train: true, keys });
      return [ops.softmaxCrossEntropy(logits, ys, { smoothing: 0.1 }), { logits }] as const;
    })(params),
  );
  const { value, grads } = await gpu.read({ value: made.value, grads: made.grads });
  if (!Number.isFinite(value.data[0])) throw new Error(`the loss is ${value.data[0]}`);
  if (grads.stem.conv0.w.data.every((g) => g === 0))
    throw new Error("no gradient reaches the stem");
  tree.dispose([params, made, keys, xs, ys]);
}

async function train(gpu: Gpu, of: Trained, seed: number, steps: number): Promise<void> {
  const model = of.make();
  const params = gpu.init(model.spec, { seed });
  const opt = optim.sgdAgc(params, {
    momentum: 0.9,
    nesterov: true,
    weightDecay: 2e-5,
    clipping: 0.01,
    groups: optim.nfnetGroups(model),
  });
  const lr = optim.warmupCosine({ base: 0.1, warmup: 10, steps });
  const lossAndGrad = valueAndGrad((p: typeof params, x: Tensor, y: Tensor, keys: Tensor) => {
    const logits = model(p, x, { train: true, keys });
    return ops.softmaxCrossEntropy(logits, y, { smoothing: 0.1 });
  });
  const step = gpu.record((x: Tensor, y: Tensor, rate: Tensor, keys: Tensor) => {
    const { value, grads } = lossAndGrad(params, x, y, keys);
    opt.update(grads, { lr: rate });
    return value;
  });
  for (let i = 0; i < steps; i++) {
    const { x, y } = batchOf(of, seed, i % 10);
    const loss = await step(x, y, lr(i), random.keys([seed, i], model.draws)).item();
    if (!Number.isFinite(loss)) throw new Error(`step ${i}: the loss is ${loss}`);
  }
  await gpu.read({ params, state: opt.state.momentum });
  step.dispose();
  opt.dispose();
  tree.dispose(params);
}
