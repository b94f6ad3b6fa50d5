// The training loop of the command and of pages: batches, steps, progress, evaluation, going on from a checkpoint.
// Prints nothing and writes no files.
import type { Gpu } from "../core/gpu.ts";
import { valueAndGrad } from "../core/grad.ts";
import type { LazyTree } from "../core/host.ts";
import { keys as drawKeys } from "../core/random.ts";
import type { Tensor } from "../core/tensor.ts";
import { leaves } from "../core/tree.ts";
import { NfgradError } from "../errors.ts";
import type { Meta } from "../io/checkpoint.ts";
import type { Dataset, Images } from "../io/datasets.ts";
import type { NFNet } from "../nn/nfnet.ts";
import * as ops from "../ops/index.ts";
import { nfnetGroups, sgdAgc, warmupCosine } from "../optim/index.ts";
import { type Batch, epochOf } from "./batches.ts";
import { type Classifier, classesOf, classifier, modelOf, type Opened } from "./classifier.ts";
import { pacer } from "./pace.ts";
import { type Journal, type Plan, planOf } from "./plan.ts";
import type { Recipe, Variant } from "./recipes.ts";

export interface Score {
  readonly correct: number;
  readonly count: number;
}

export interface Progress {
  /** From 1. */
  readonly epoch: number;
  readonly epochs: number;
  /** Steps done, of all. */
  readonly step: number;
  readonly steps: number;
  /** Means over this epoch's steps that were looked at. */
  readonly loss: number;
  readonly accuracy: number;
  readonly imagesPerSecond: number;
  readonly secondsLeft: number;
  /** On the test set; at the end of each epoch. */
  readonly test?: Score;
}

/** What is trained, and how. */
export interface Start extends Plan {
  readonly parameters: number;
  /** For one image. */
  readonly multiplyAdds: number;
}

/** What a checkpoint needs: `io.writeCheckpoint(path, state.tree, state.meta)`. */
export interface State {
  /** Parameters and optimizer state. */
  readonly tree: object;
  readonly meta: Meta;
}

export interface TrainOptions {
  readonly gpu: Gpu;
  readonly data: Dataset;
  /** One of `variantNames`, or your own; default "demo". */
  readonly variant?: string | Variant;
  /** Replaces parts of the variant's recipe. */
  readonly recipe?: Partial<Recipe>;
  readonly seed?: number;
  /** Goes on where a checkpoint stopped; variant, recipe and seed are then the checkpoint's. */
  readonly resume?: Opened;
  readonly onStart?: (start: Start) => void;
  /** Kernels compiled so far, of all. */
  readonly onCompile?: (done: number, all: number) => void;
  /** A few times a second. */
  readonly onProgress?: (progress: Progress) => void;
  /** After each epoch. */
  readonly onEpoch?: (state: State) => Promise<void> | void;
}

/**
 * Trains a classifier with AGC and evaluates it after each epoch. The same options on the same adapter give the
 * same bits, also when a run stops and goes on from a checkpoint.
 * @throws OptionError for options out of range, FormatError for a checkpoint that does not fit the data,
 * NfgradError if the loss is no longer finite.
 */
export async function train(options: TrainOptions): Promise<{ net: Classifier; test: Score }> {
  const { gpu, data, resume } = options;
  const plan = planOf(options);
  const { description, recipe, seed } = plan;
  const { scaling, classes } = description;
  const { batch, epochs, augment } = recipe;
  const perEpoch = Math.floor(data.train.count / batch);
  const steps = perEpoch * epochs;

  const model = modelOf(description);
  const { params, state, trainStep } = trainer(gpu, model, plan);
  const tree = { params, opt: state };
  if (resume) await gpu.assign(tree, resume.tensors as LazyTree);
  const net = classifier(gpu, description, model, params);
  const lr = warmupCosine({ base: recipe.lr, warmup: recipe.warmup * steps, steps });
  // A model that draws nothing still gets one key: a recording takes tensors only.
  const argumentsOf = ({ x, labels }: Batch, step: number) =>
    [x, labels, lr(step), drawKeys([seed, step], Math.max(1, model.draws))] as const;

  const parameters = leaves(params).reduce((n, { tensor }) => n + tensor.size, 0);
  const multiplyAdds = model.countFlops(scaling.height, scaling.width).total;
  options.onStart?.({ ...plan, parameters, multiplyAdds });
  const epochAt = (epoch: number) => epochOf(data.train, scaling, { seed, epoch, batch, augment });
  for (const example of epochAt(0)) {
    await gpu.compile(trainStep, [...argumentsOf(example, 0)], options.onCompile);
    break;
  }

  const pace = pacer();
  const first = plan.epoch * perEpoch;
  const started = performance.now();
  let step = first;
  let test: Score | undefined;
  for (let epoch = plan.epoch; epoch < epochs; epoch++) {
    let [looks, loss, accuracy] = [0, 0, 0];
    const report = () => {
      const rate = (step - first) / ((performance.now() - started) / 1000);
      options.onProgress?.({
        epoch: epoch + 1,
        epochs,
        step,
        steps,
        loss: loss / looks,
        accuracy: accuracy / looks,
        imagesPerSecond: rate * batch,
        secondsLeft: (steps - step) / rate,
        ...(test ? { test } : {}),
      });
    };
    test = undefined;
    for (const given of epochAt(epoch)) {
      const result = trainStep(...argumentsOf(given, step));
      step++;
      if (!pace.look(step % perEpoch === 0)) continue;
      const host = await pace.read(() => gpu.read(result));
      const [value] = host.loss.data;
      if (!Number.isFinite(value))
        throw new NfgradError(
          `train: the loss is ${value} at step ${step} of ${steps}; the learning rate ${recipe.lr} may be too high`,
        );
      looks++;
      loss += value!;
      accuracy += correct(host.logits.data, given.labels, classes) / batch;
      report();
    }
    test = await evaluate(net, data.test);
    report();
    const journal: Journal = { seed, epoch: epoch + 1, recipe, data: data.name };
    await options.onEpoch?.({ tree, meta: { net: description, train: journal } });
  }
  return { net, test: test ?? (await evaluate(net, data.test)) };
}

/** Parameters, the optimizer's state and one step as a recorded function. */
function trainer(gpu: Gpu, model: NFNet, { recipe, seed }: Plan) {
  const { momentum, weightDecay, clipping, smoothing } = recipe;
  const params = gpu.init(model.spec, { seed });
  const opt = sgdAgc(params, {
    momentum,
    nesterov: true,
    weightDecay,
    clipping,
    groups: nfnetGroups(model),
  });
  const lossAndGrad = valueAndGrad((p: typeof params, x: Tensor, labels: Tensor, keys: Tensor) => {
    const logits = model(p, x, { train: true, keys });
    return [ops.softmaxCrossEntropy(logits, labels, { smoothing }), { logits }] as const;
  });
  const trainStep = gpu.record(
    (x: Tensor, labels: Tensor, lr: Tensor, keys: Tensor) => {
      const { value, grads, aux } = lossAndGrad(params, x, labels, keys);
      opt.update(grads, { lr });
      return { loss: value, logits: aux.logits };
    },
    { name: "trainStep" },
  );
  return { params, state: opt.state, trainStep };
}

function correct(logits: ArrayLike<number>, labels: ArrayLike<number>, classes: number): number {
  return classesOf(logits, classes).filter((c, i) => c === labels[i]).length;
}

/** How many images a classifier gets right. */
export async function evaluate(net: Classifier, images: Images): Promise<Score> {
  const logits = await net.logits(images);
  const right = correct(logits, images.labels, net.description.classes);
  return { correct: right, count: images.count };
}
