// optim.py and utils.py: optimizer steps, schedules, averages, cross-entropy, top-k.
import {
  FormatError,
  type Gpu,
  ops,
  optim,
  type ParamSpec,
  type Tensor,
  tree,
  vjp,
} from "../../src/index.ts";
import type { Category, Outcome } from "../category.ts";
import { compute, input, onlyInputs, tensor, withCaseValues } from "../compute.ts";
import { type Settings, settings } from "../config.ts";
import type { Case, Goldens } from "../goldens.ts";
import type { Actual } from "../judge.ts";
import { parseGroups, parseSchedule, schedules } from "../optimText.ts";

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

/**
 * The options of SGD and SGD_AGC. The reference applies Nesterov's momentum whenever `nesterov` is not None, so
 * `False` is Nesterov too.
 */
export function optimizerOptions(config: Settings, weightDecay: number | null = null) {
  const name = config.string("optimizer");
  if (name !== "SGD" && name !== "SGD_AGC") throw new FormatError("not supported yet");
  const momentum = config.numberOrNull("momentum", null);
  const nesterov = (config.any("nesterov") ?? null) !== null && momentum !== null;
  const base = {
    momentum,
    nesterov,
    dampening: config.number("dampening", 0),
    weightDecay: config.numberOrNull("weight_decay", weightDecay),
  };
  const clipping = config.numberOrNull("clipping", name === "SGD" ? null : 0.01);
  const eps = config.numberOrNull("eps", null) ?? 1e-3;
  if (name === "SGD") {
    if (clipping !== null) throw new FormatError("SGD takes no clipping");
    return { kind: "sgd", options: base } as const;
  }
  return { kind: "sgdAgc", options: { ...base, clipping, eps } } as const;
}

/** Steps on the parameters `p/` and gradients `g0/`, `g1/`, ... of another case. */
const optimizer: Run = async (gpu, given, goldens) => {
  const config = settings(given.config, ["note"]);
  const problem = await goldens.readCase(config.string("inputs_of"));
  if (problem.problems.length) throw new FormatError(problem.problems.join("; "));
  const first = config.number("itr0", 0);
  const rate = config.any("lr");
  // Cases with a schedule were made with the experiment's weight decay, though their config does not say so: a
  // parameter without a gradient moves by just that.
  const { kind, options } = optimizerOptions(config, typeof rate === "string" ? 2e-5 : null);
  const schedule = typeof rate === "string" ? parseSchedule(rate) : null;
  const lr = schedule ?? (() => config.number("lr"));
  const base = lr(first);
  const texts = config.any("groups");
  const groups = texts === undefined ? [] : parseGroups(texts, schedule ? null : base);
  config.end();
  onlyInputs(given, []);

  const names = Object.keys(problem.in).filter((key) => key.startsWith("p/"));
  const entries = names.map((key): [string, ParamSpec] => [
    key.slice(2),
    { shape: input(problem, key).shape, init: NO_VALUES },
  ]);
  const spec: Record<string, ParamSpec> = Object.fromEntries(entries);
  const identity = Object.fromEntries(entries.map(([name]) => [name, name]));
  const values = {
    ...problem,
    in: Object.fromEntries(names.map((key) => [key, problem.in[key]!])),
  };
  const params = gpu.init(withCaseValues(spec, identity, values));
  const made = optim[kind](params, { ...options, groups });
  const outputs: Record<string, Actual> = {};
  try {
    for (let t = 0; Object.keys(problem.in).some((key) => key.startsWith(`g${t}/`)); t++) {
      gpu.scope<void>(() => {
        const grads = entries.map(([name]) => [name, tensor(gpu, problem, `g${t}/${name}`)]);
        made.update(Object.fromEntries(grads), { lr: lr(first + t) });
      });
      const { momentum = {} } = made.state;
      const read = await gpu.read({ params, momentum });
      for (const [name, value] of Object.entries(read.params)) outputs[`p${t}/${name}`] = value;
      for (const [name, value] of Object.entries<Actual>(read.momentum)) {
        outputs[`momentum${t}/${name}`] = value;
      }
    }
  } finally {
    made.dispose();
    tree.dispose(params);
  }
  return { outputs };
};

const NO_VALUES = Object.assign(() => new Float32Array(0), { random: false });

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

/** Whether the label is among the k largest logits, and the same times a mask. */
const topK: Run = async (gpu, given) => {
  const config = settings(given.config);
  const ks = (config.any("topk") ?? []) as number[];
  const masked = (config.any("masked") ?? []) as number[];
  config.end();
  onlyInputs(given, ["x", "labels", "mask"]);
  const labels = input(given, "labels");
  const mask = input(given, "mask").data;
  const outputs: Record<string, Actual> = {};
  const classes = input(given, "x").shape.at(-1)!;
  for (const k of new Set([...ks, ...masked])) {
    // Of equal logits the reference takes the later one, `topK` the first: so the row is turned round.
    const { indices } = await compute(gpu, () =>
      ops.topK(ops.flip(tensor(gpu, given, "x"), { axis: -1 }), { k }),
    );
    const found = Float32Array.from(labels.data, (label, row) =>
      Array.from({ length: k }, (_, j) => indices!.data[row * k + j]).includes(classes - 1 - label)
        ? 1
        : 0,
    );
    outputs[`top_${k}_acc`] = { data: found, shape: labels.shape };
    const kept = found.map((hit, row) => hit * mask[row]!);
    outputs[`masked_top_${k}_acc`] = { data: kept, shape: labels.shape };
  }
  return { outputs };
};

const byReference: Readonly<Record<string, Run>> = {
  SGD: optimizer, // SGD_AGC too
  CosineDecay: schedule("CosineDecay"),
  WarmupCosineDecay: schedule("WarmupCosineDecay"),
  WarmupExpDecay: schedule("WarmupExpDecay"),
  tf1_ema: averages,
  softmax_cross_entropy: crossEntropy,
  topk_correct: topK,
};
