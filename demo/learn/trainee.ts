// One of the two networks: parameters, optimizer, and its step as a recorded function. Uses what any user can import.
import {
  type Gpu,
  type Host,
  type HostTree,
  type nn,
  ops,
  optim,
  type Params,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { type Classifier, classifier, type Description } from "../../src/train/classifier.ts";
import type { Recipe } from "../../src/train/recipes.ts";

type NetParams = Params<nn.NFNetSpec>;
type Sgd = ReturnType<typeof optim.sgdAgc<NetParams>>;

/** What a step gives; the last three only if it was watched. */
export interface Outcome {
  readonly loss: Tensor;
  readonly logits: Tensor;
  /** Norms of the units of each watched layer: the gradient's and the weight's. */
  readonly norms?: readonly { readonly g: Tensor; readonly w: Tensor }[];
  /** The mean of the channels' variances after the stem and each block, and of each block's branch. */
  readonly variance?: readonly Tensor[];
  readonly branch?: readonly Tensor[];
}

export interface Inputs {
  readonly x: Host;
  readonly labels: Uint32Array<ArrayBuffer>;
  readonly lr: number;
  readonly keys: Host;
}

/** Parameters and momentum on the host. */
export type Saved = HostTree<{ params: NetParams; momentum: NetParams }>;

export interface Trainee {
  readonly net: Classifier;
  readonly parameters: number;
  readonly layers: readonly string[];
  /** One step. `watch`: also measures the signal and, with clipping, the norms of the units. */
  step(inputs: Inputs, watch: boolean): Outcome;
  /** Takes the kernels of both kinds of step through the compiler; progress is from 0 to 1. */
  compile(inputs: Inputs, onProgress: (part: number) => void): Promise<void>;
  /** Another clipping from the next step on; the momentum is kept. */
  setClipping(clipping: number): void;
  save(): Promise<Saved>;
  restore(saved: Saved): void;
  dispose(): void;
}

const EPS = 1e-3; // of sgdAgc: the least norm that a unit counts with

/** The part of the units whose gradient's norm exceeds `clipping` times their own. */
export function clippedPart(g: ArrayLike<number>, w: ArrayLike<number>, clipping: number): number {
  let clipped = 0;
  for (let i = 0; i < g.length; i++) if (g[i]! > clipping * Math.max(w[i]!, EPS)) clipped++;
  return clipped / g.length;
}

/** The watched layers: every weight but the classifier's, which is not clipped. */
const watched = (params: NetParams) =>
  tree.leaves(params).filter(({ path }) => path.endsWith("/w") && !path.startsWith("linear/"));

/** `blocks/0/squeezeExcite/linear1/w` for people: `block 1 SE 2`. */
const labelOf = (path: string): string =>
  path
    .replace(/\/w$/, "")
    .replace(/^blocks\/(\d+)\//, (_, i) => `block ${Number(i) + 1} `)
    .replace("squeezeExcite/linear1", "SE 2")
    .replace("squeezeExcite/linear", "SE 1")
    .replace("convShortcut", "shortcut")
    .replace("finalConv", "final conv")
    .replace("/", " ");

/** The step as a recorded function; `watch` chooses one of two recordings. */
function recordStep(
  gpu: Gpu,
  model: nn.NFNet,
  params: NetParams,
  opt: Sgd,
  { smoothing, clipping }: Recipe,
) {
  const lossAndGrad = valueAndGrad(
    (p: NetParams, x: Tensor, labels: Tensor, keys: Tensor, watch: boolean) => {
      const mode = { train: true, keys, returnMetrics: watch };
      const { logits, metrics } = model.outputs(p, x, mode);
      const signal = metrics ? { variance: metrics.avgVar, branch: metrics.resAvgVar } : {};
      const loss = ops.softmaxCrossEntropy(logits, labels, { smoothing });
      return [loss, { logits, ...signal }] as const;
    },
  );
  const norms = (grads: NetParams) => {
    const weights = watched(params);
    return watched(grads).map(({ tensor }, i) => ({
      g: optim.unitwiseNorm(tensor),
      w: optim.unitwiseNorm(weights[i]!.tensor),
    }));
  };
  return gpu.record(
    (x: Tensor, labels: Tensor, lr: Tensor, keys: Tensor, watch: boolean): Outcome => {
      const { value, grads, aux } = lossAndGrad(params, x, labels, keys, watch);
      const seen = watch && clipping !== null ? { norms: norms(grads) } : {};
      opt.update(grads, { lr });
      return { loss: value, ...aux, ...seen };
    },
    { name: clipping === null ? "step without clipping" : "step with clipping" },
  );
}

/** A network with the recipe's clipping (null: none), initialized from `seed`. */
export function trainee(
  gpu: Gpu,
  description: Description,
  model: nn.NFNet,
  given: Recipe,
  seed: number,
): Trainee {
  const params = gpu.init(model.spec, { seed });
  let recipe = given;
  const optimizer = () =>
    optim.sgdAgc(params, {
      momentum: recipe.momentum,
      nesterov: true,
      weightDecay: recipe.weightDecay,
      clipping: recipe.clipping,
      groups: recipe.clipping === null ? optim.nfRegnetGroups(model) : optim.nfnetGroups(model),
    });
  let opt = optimizer();
  let step = recordStep(gpu, model, params, opt, recipe);
  const net = classifier(gpu, description, model, params);
  const state = () => ({ params, momentum: opt.state.momentum! });
  return {
    net,
    parameters: tree.leaves(params).reduce((n, { tensor }) => n + tensor.size, 0),
    layers: watched(params).map(({ path }) => labelOf(path)),
    step: ({ x, labels, lr, keys }, watch) => step(x, labels, lr, keys, watch),
    async compile({ x, labels, lr, keys }, onProgress) {
      const kinds = [true, false];
      for (const [i, watch] of kinds.entries())
        await gpu.compile(step, [x, labels, lr, keys, watch], (done, all) =>
          onProgress((i + done / all) / kinds.length),
        );
    },
    setClipping(clipping) {
      // The clipping lies in the optimizer's tables, so another one is another optimizer and another recording.
      if (recipe.clipping === null || recipe.clipping === clipping) return;
      recipe = { ...recipe, clipping };
      const next = optimizer();
      gpu.assign(next.state.momentum!, opt.state.momentum!);
      step.dispose();
      opt.dispose();
      opt = next;
      step = recordStep(gpu, model, params, opt, recipe);
    },
    save: () => gpu.read(state()) as Promise<Saved>,
    restore: (saved) => gpu.assign(state(), saved as never),
    dispose() {
      step.dispose();
      net.dispose();
      opt.dispose();
      tree.dispose(params);
    },
  };
}
