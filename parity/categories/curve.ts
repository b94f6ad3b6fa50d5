// Training runs: loss, global gradient norm and learning rate of each step, final parameters and their average.
import {
  FormatError,
  type Gpu,
  nn,
  ops,
  optim,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import type { Category, Outcome } from "../category.ts";
import { byName, onlyInputs, withCaseValues } from "../compute.ts";
import { settings } from "../config.ts";
import { fill, fillInt } from "../fill.ts";
import type { Case, Expected } from "../goldens.ts";
import type { Actual, Judgement } from "../judge.ts";
import {
  finiteSteps,
  GRAD_NORM_FLOOR,
  judgedSteps,
  judgeFirstNaN,
  judgeSteps,
  LOSS_FLOOR,
  type Series,
} from "../judgeCurve.ts";
import { nfnetOptions } from "../nfnetOptions.ts";
import { optimizerOptions } from "../optimizerSteps.ts";

export const curve: Category = {
  extra: ["first_nan_step"],
  async run(gpu, given) {
    onlyInputs(given, []);
    const plan = parsePlan(given);
    const loss = series(given, "loss");
    const total = loss.f64.length;
    const judged = judgedSteps(loss);
    const firstNaN = given.extra.first_nan_step as number | null | undefined;
    // Later steps have no verdict, and training goes on at the cost of the whole case.
    const steps = judged === total ? total : Math.max(judged, (firstNaN ?? -3) + 3);
    const ran = await train(gpu, given, plan, steps);
    const outputs = {
      ...ran.trees,
      lr: float32(Array.from({ length: total }, (_, t) => plan.lr(t))),
    };
    return { outputs, ...verdicts(given, ran, { loss, judged, firstNaN }) };
  },
};

interface Plan {
  readonly model: nn.NFNet;
  readonly make: (params: Weights) => optim.Optimizer<Weights>;
  readonly lr: (step: number) => number;
  readonly smoothing: number;
  readonly data: { seed: string; batch: number; imsize: number; classes: number };
}
type Weights = Parameters<nn.NFNet>[0];

function parsePlan(given: Case): Plan {
  const config = settings(given.config);
  const data = {
    seed: config.string("seed"),
    batch: config.number("batch"),
    imsize: config.number("imsize"),
    classes: config.number("classes"),
  };
  if (given.seed !== null && given.seed !== data.seed) {
    throw new FormatError(`parameters are of seed ${given.seed}, images of ${data.seed}`);
  }
  const kwargs = config.any("model_kwargs") ?? {};
  const modelConfig = settings({ ...pick(given.config, MODEL_KEYS), ...(kwargs as object) });
  const model = nn.nfnet(nfnetOptions(modelConfig, data.classes));
  modelConfig.end();
  for (const key of MODEL_KEYS) config.any(key);
  const lr = optim.warmupCosine({
    base: config.number("max_lr"),
    start: config.number("start_val"),
    min: config.number("min_val"),
    steps: config.number("num_steps"),
    warmup: config.number("warmup_steps"),
  });
  const groupsText = config.string("groups");
  const named = {
    "as experiment_nfnets.py": optim.nfnetGroups,
    "gains, biases: no weight decay": optim.nfRegnetGroups,
  };
  const groupsOf = Object.hasOwn(named, groupsText)
    ? named[groupsText as keyof typeof named]
    : null;
  if (!groupsOf) throw new FormatError(`unknown groups ${groupsText}`);
  const groups = groupsOf(model);
  const ema = { decay: config.number("ema_decay"), warmup: true };
  const smoothing = config.number("label_smoothing", 0);
  const { kind, options } = optimizerOptions(config);
  config.end();
  const make = (params: Weights) => optim[kind](params, { ...options, groups, ema });
  return { model, make, lr, smoothing, data };
}

const MODEL_KEYS = ["variant", "drop_rate", "stochdepth_rate"];

const pick = (config: Readonly<Record<string, unknown>>, keys: readonly string[]) =>
  Object.fromEntries(keys.filter((key) => key in config).map((key) => [key, config[key]]));

function series(given: Case, name: string): Series {
  const found: Expected | undefined = given.out[name];
  if (found?.f32 && found.f64 && !found.strided) return { f32: found.f32, f64: found.f64 };
  throw new FormatError(`the curve has no ${name} in both f32 and f64`);
}

/** Batch t of a run: an image is noise plus its class's 4x4 pattern, each cell repeated. */
function batchOf({ seed, batch, imsize, classes }: Plan["data"], t: number) {
  const labels = fillInt(`${seed}/labels/${t}`, batch, classes);
  const pattern = fill(`${seed}/class`, classes * 4 * 4 * 3);
  const images = fill(`${seed}/img/${t}`, batch * imsize * imsize * 3);
  const cell = imsize / 4;
  if (!Number.isInteger(cell)) throw new FormatError(`imsize ${imsize} is not a multiple of 4`);
  for (let i = 0; i < images.length; i++) {
    const channel = i % 3;
    const x = Math.floor((Math.floor(i / 3) % imsize) / cell);
    const y = Math.floor((Math.floor(i / (3 * imsize)) % imsize) / cell);
    const label = labels[Math.floor(i / (3 * imsize * imsize))]!;
    images[i] = images[i]! + pattern[((label * 4 + y) * 4 + x) * 3 + channel]!;
  }
  return { labels, images: { data: images, shape: [batch, imsize, imsize, 3] } };
}

interface Ran {
  readonly loss: number[];
  readonly gradNorm: number[];
  readonly trees: Record<string, Actual>;
}

async function train(gpu: Gpu, given: Case, plan: Plan, steps: number): Promise<Ran> {
  const { model, smoothing } = plan;
  const params = gpu.init(
    withCaseValues(model.spec, model.names, { ...given, seed: plan.data.seed }),
  );
  const optimizer = plan.make(params);
  const lossAndGrad = valueAndGrad((p: Weights, x: Tensor, y: Tensor) =>
    ops.softmaxCrossEntropy(model(p, x, { train: true }), y, { smoothing }),
  );
  const step = gpu.record(
    (x: Tensor, y: Tensor, lr: Tensor, itr: Tensor) => {
      const { value, grads } = lossAndGrad(params, x, y);
      optimizer.update(grads, { lr, step: itr });
      return { value, grads };
    },
    { name: "parity step" },
  );
  try {
    const loss: number[] = [];
    const gradNorm: number[] = [];
    for (let t = 0; t < steps; t++) {
      const { images, labels } = batchOf(plan.data, t);
      const { value, grads } = step(images, labels, plan.lr(t), t);
      const read = await gpu.read({ value, grads: tree.leaves(grads).map((leaf) => leaf.tensor) });
      loss.push(read.value.data[0]!);
      gradNorm.push(norm(read.grads.map(({ data }) => data)));
    }
    const final = byName(model.names, params, "final/");
    const average = byName(model.names, optimizer.ema, "ema/");
    const trees = await gpu.read({ ...final, ...average });
    return { loss, gradNorm, trees };
  } finally {
    step.dispose();
    optimizer.dispose();
    tree.dispose(params);
  }
}

/** The norm of all gradients together, in f32 as the reference's figure is. */
function norm(arrays: readonly ArrayLike<number>[]): number {
  let squares = 0;
  for (const array of arrays) for (let i = 0; i < array.length; i++) squares += array[i]! ** 2;
  return Math.fround(Math.sqrt(squares));
}

/** Rows for the steps that are judged; the rest of the run has no verdict, and no row. */
function verdicts(
  given: Case,
  ran: Ran,
  { loss, judged, firstNaN }: { loss: Series; judged: number; firstNaN: unknown },
): Pick<Outcome, "judged" | "unjudged"> {
  const gradNorm = series(given, "grad_norm");
  const normSteps = Math.min(judged, finiteSteps(gradNorm));
  const rows: Record<string, Judgement> = {};
  if (judged > 0) rows.loss = judgeSteps(ran.loss, loss, judged, LOSS_FLOOR);
  if (normSteps > 0) {
    rows.grad_norm = judgeSteps(ran.gradNorm, gradNorm, normSteps, GRAD_NORM_FLOOR);
  }
  if (typeof firstNaN === "number") rows["first NaN step"] = judgeFirstNaN(ran.loss, firstNaN);
  const parted = judged < loss.f64.length;
  const unjudged = Object.keys(given.out).filter(
    (name) =>
      !Object.hasOwn(rows, name) &&
      (name === "loss" || name === "grad_norm" || (parted && /^(final|ema)\//.test(name))),
  );
  return { judged: rows, unjudged };
}

const float32 = (values: number[]): Actual => ({
  data: Float32Array.from(values),
  shape: [values.length],
});
