// optim.py and utils.py: optimizers (their steps are optimizerSteps.ts), schedules, averages, cross-entropy, top-k.
import { FormatError, type Gpu, ops, optim, type Tensor, tree, vjp } from "../../src/index.ts";
import type { Category, Outcome } from "../category.ts";
import { compute, input, onlyInputs, tensor } from "../compute.ts";
import { settings } from "../config.ts";
import type { Case, Goldens } from "../goldens.ts";
import type { Actual } from "../judge.ts";
import { gradientsOf, optimizerSteps, problemOf, startOf } from "../optimizerSteps.ts";
import { schedules } from "../optimText.ts";

export const optimCategory: Category = {
  async run(gpu, given, goldens) {
    const name = given.reference.replace(/^\w+\.py:/, "").replace(/\.__call__$/, "");
    if (name === "none") {
      settings(given.config, ["shapes"]).end();
      return { outputs: {} };
    }
    const run = Object.entries(byReference).find(([part]) => name.startsWith(part))?.[1];
    if (!run) throw new FormatError("not supported yet");
    return run(gpu, given, goldens);
  },
};

type Run = (gpu: Gpu, given: Case, goldens: Goldens) => Promise<Outcome>;

const schedule =
  (name: keyof typeof schedules): Run =>
  async (_, given) => {
    const config = settings(given.config);
    const at = schedules[name](config);
    config.end();
    onlyInputs(given, ["itr"]);
    const { data, shape } = input(given, "itr");
    return { outputs: { lr: { data: Float32Array.from(data, at), shape } } };
  };

/** Outputs `<ema or tf1_ema>/<decay>/<t>`: the average after `seq[t]` at step `steps[t]`, from `seq[0]`. */
const averages: Run = async (gpu, given) => {
  settings(given.config).end();
  onlyInputs(given, ["seq", "steps"]);
  const { data, shape } = input(given, "seq");
  const [count = 0, ...rest] = shape;
  const size = rest.reduce((a, b) => a * b, 1);
  const value = (t: number) => ({
    data: data.slice(t * size, (t + 1) * size) as Float32Array<ArrayBuffer>,
    shape: rest,
  });
  const steps = input(given, "steps").data;
  const outputs: Record<string, Actual> = {};
  const kinds = new Set(Object.keys(given.out).map((name) => name.slice(0, name.lastIndexOf("/"))));
  for (const kind of kinds) {
    const [, name, decay] = /^(ema|tf1_ema)\/([\d.e-]+)$/.exec(kind) ?? [];
    if (name === undefined) continue;
    const params = { value: gpu.tensor(value(0)) };
    const average = optim.ema(params, { decay: Number(decay), warmup: name === "tf1_ema" });
    for (let t = 1; t < count; t++) {
      gpu.assign(params, { value: value(t) });
      average.update({ step: steps[t]! });
      outputs[`${kind}/${t}`] = (await gpu.read(average.params)).value;
    }
    average.dispose();
    params.value.dispose();
  }
  return { outputs };
};

/** One-hot, smoothed, and mixed and smoothed labels; each reduction, and the gradient of the mean. */
const crossEntropy: Run = async (gpu, given) => {
  const config = settings(given.config);
  const classes = config.number("classes");
  const smoothing = config.number("label_smoothing");
  config.end();
  onlyInputs(given, ["x", "labels", "mix", "ratio"]);
  const outputs = await compute(gpu, () => {
    const [x, labels, mix] = ["x", "labels", "mix"].map((name) => tensor(gpu, given, name));
    const n = labels!.shape[0]!;
    const ratio = ops.reshape(tensor(gpu, given, "ratio"), { shape: [n, 1] });
    const mixed = ops.add(
      ops.mul(ratio, ops.oneHot(labels!, { classes })),
      ops.mul(ops.sub(1, ratio), ops.oneHot(mix!, { classes })),
    );
    const kinds = {
      plain: (logits: Tensor, reduction: Reduction) =>
        ops.softmaxCrossEntropy(logits, labels!, { reduction }),
      smooth: (logits: Tensor, reduction: Reduction) =>
        ops.softmaxCrossEntropy(logits, labels!, { reduction, smoothing }),
      mix_smooth: (logits: Tensor, reduction: Reduction) =>
        ops.softmaxCrossEntropy(logits, mixed, { reduction, smoothing }),
    };
    const made = Object.entries(kinds).flatMap(([kind, loss]) => {
      const pull = vjp((p: { x: Tensor }) => loss(p.x, "mean"));
      const { value, grads } = pull({ x: x! }, gpu.tensor([1], []));
      return [
        [`${kind}/none`, loss(x!, "none")],
        [`${kind}/sum`, loss(x!, "sum")],
        [`${kind}/mean`, value],
        [`${kind}/dx`, grads.x],
      ] as const;
    });
    return Object.fromEntries(made);
  });
  return { outputs };
};
type Reduction = "mean" | "sum" | "none";

/** Clipped gradients `u/` of another case's `g0/` by optax's rule, and the norms `norm/` of their units. */
const clipped: Run = async (gpu, given, goldens) => {
  const config = settings(given.config, ["note"]);
  const problem = await problemOf(config, goldens);
  const options = { clipping: config.number("clip"), eps: config.number("eps", 1e-3) };
  config.end();
  onlyInputs(given, []);
  const { names, params } = startOf(gpu, problem);
  const clip = optim.adaptiveGradClip(params, { ...options, rule: "optax" });
  try {
    const outputs = await compute(gpu, () => {
      const grads = gradientsOf(gpu, problem, names, 0);
      const found = Object.entries(clip(grads)).map(([name, g]) => [`u/${name}`, ops.add(g, 0)]);
      const norms = names.map((name) => [`norm/${name}`, optim.unitwiseNorm(grads[name]!)]);
      return Object.fromEntries([...found, ...norms]);
    });
    return { outputs };
  } finally {
    clip.dispose();
    tree.dispose(params);
  }
};

/** Whether the label is among the k largest logits, and the same times a mask. */
const topK: Run = async (gpu, given) => {
  const config = settings(given.config);
  const ks = (config.any("topk") ?? []) as number[];
  const masked = (config.any("masked") ?? []) as number[];
  config.end();
  onlyInputs(given, ["x", "labels", "mask"]);
  const outputs = await compute(gpu, () => {
    const [x, labels, mask] = ["x", "labels", "mask"].map((name) => tensor(gpu, given, name));
    const hits = [...new Set([...ks, ...masked])].flatMap((k) => {
      const hit = ops.topKAccuracy(x!, labels!, { k });
      return [
        [`top_${k}_acc`, hit],
        [`masked_top_${k}_acc`, ops.mul(hit, mask!)],
      ];
    });
    return Object.fromEntries(hits);
  });
  return { outputs };
};

const byReference: Readonly<Record<string, Run>> = {
  SGD: optimizerSteps, // SGD_AGC too
  Adam: optimizerSteps,
  RMSProp: optimizerSteps,
  Fromage: optimizerSteps,
  Hybrid: optimizerSteps,
  adaptive_grad_clip: clipped,
  CosineDecay: schedule("CosineDecay"),
  WarmupCosineDecay: schedule("WarmupCosineDecay"),
  WarmupExpDecay: schedule("WarmupExpDecay"),
  tf1_ema: averages,
  softmax_cross_entropy: crossEntropy,
  topk_correct: topK,
};
