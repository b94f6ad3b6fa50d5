// The engine whole in a worker: opens the gpu, compiles a training step with progress, trains, reads.
import {
  nn,
  openGpu,
  ops,
  optim,
  random,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { ints, rand } from "../harness.ts";

const STEPS = 30;
const say = (message: Readonly<Record<string, unknown>>): void => postMessage(message);

async function train(): Promise<void> {
  const gpu = await openGpu();
  const model = nn.nfnet({
    variant: {
      width: [16],
      depth: [1],
      groupWidth: [8],
      trainImsize: 16,
      testImsize: 16,
      dropRate: 0,
    },
    numClasses: 4,
  });
  const params = gpu.init(model.spec, { seed: 0 });
  const opt = optim.sgdAgc(params, {
    momentum: 0.9,
    clipping: 0.01,
    groups: optim.nfnetGroups(model),
  });
  const lossAndGrad = valueAndGrad((p: typeof params, x: Tensor, y: Tensor, keys: Tensor) =>
    ops.softmaxCrossEntropy(model(p, x, { train: true, keys }), y),
  );
  const step = gpu.record((x: Tensor, y: Tensor, keys: Tensor) => {
    const { value, grads } = lossAndGrad(params, x, y, keys);
    opt.update(grads, { lr: 0.1 });
    return value;
  });
  const [x, y] = [rand([8, 16, 16, 3], 1), ints([8], 4, 2)];
  const keys = (i: number) => random.keys([0, i], Math.max(1, model.draws));
  await gpu.compile(step, [x, y, keys(0)], (done, all) => say({ progress: [done, all] }));
  const made = gpu.counts().pipelines;
  for (let i = 0; i < STEPS; i++) say({ loss: await step(x, y, keys(i)).item() });
  say({ late: gpu.counts().pipelines - made });
  step.dispose();
  opt.dispose();
  tree.dispose(params);
  await gpu.close();
}

train().catch((error: unknown) => say({ error: String(error) }));
