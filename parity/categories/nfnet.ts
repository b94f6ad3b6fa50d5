// Whole NFNets: logits, pool and metrics in evaluation; loss and gradients in training.
import { type Gpu, nn, ops, random, type Tensor, tree, valueAndGrad } from "../../src/index.ts";
import type { Category, Outcome } from "../category.ts";
import { byName, compute, onlyInputs, tensor, withCaseValues } from "../compute.ts";
import { settings } from "../config.ts";
import type { Case } from "../goldens.ts";
import { nfnetOptions } from "../nfnetOptions.ts";

export const nfnet: Category = {
  side: "gradients",
  async run(gpu, given) {
    const config = settings(given.config, ["batch", "imsize"]); // the shape of x says these
    const model = nn.nfnet(nfnetOptions(config));
    const smoothing = config.number("label_smoothing", 0);
    const seed = config.has("rng_seed") ? config.number("rng_seed") : null;
    config.end();
    onlyInputs(given, ["x", "labels", "p/"]);
    const params = gpu.init(withCaseValues(model.spec, model.names, given));
    try {
      if (!("labels" in given.in)) return { outputs: await evaluated(gpu, given, model, params) };
      return await trained(gpu, given, model, { params, smoothing, seed });
    } finally {
      tree.dispose(params);
    }
  },
};

type Weights = Parameters<nn.NFNet>[0];

function evaluated(gpu: Gpu, given: Case, model: nn.NFNet, params: Weights) {
  return compute(gpu, () => {
    const x = tensor(gpu, given, "x");
    const out = model.outputs(params, x, { train: false, returnMetrics: true });
    const { avgSqMean = [], avgVar = [], resAvgVar = [] } = out.metrics ?? {};
    return {
      logits: out.logits,
      pool: out.pool,
      ...numbered("avg_sq_mean", avgSqMean),
      ...numbered("avg_var", avgVar),
      ...numbered("res_avg_var", resAvgVar),
    };
  });
}

const numbered = (name: string, scalars: readonly Tensor[]) =>
  Object.fromEntries(scalars.map((t, i) => [`${name}_${i}`, t]));

async function trained(
  gpu: Gpu,
  given: Case,
  model: nn.NFNet,
  { params, smoothing, seed }: { params: Weights; smoothing: number; seed: number | null },
): Promise<Outcome> {
  const drawn = seed === null ? null : random.keys(random.key(seed), Math.max(1, model.draws));
  const outputs = await compute(gpu, () => {
    const labels = tensor(gpu, given, "labels");
    const keys = drawn ? gpu.tensor(drawn) : undefined;
    const lossAndGrad = valueAndGrad((p: { params: Weights; x: Tensor }) => {
      const { logits, pool } = model.outputs(p.params, p.x, { train: true, keys });
      return [ops.softmaxCrossEntropy(logits, labels, { smoothing }), { logits, pool }] as const;
    });
    const { value, grads, aux } = lossAndGrad({ params, x: tensor(gpu, given, "x") });
    return { loss: value, ...aux, "d/x": grads.x, ...byName(model.names, grads.params, "d/p/") };
  });
  const gradients = Object.fromEntries(
    Object.values(model.names).map((name) => [name, outputs[`d/p/${name}`]!]),
  );
  // Every NFNet has squeeze-and-excite, and its relu is plain.
  return { outputs, gradients, kinks: true };
}
