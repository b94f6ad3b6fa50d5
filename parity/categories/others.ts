// The networks that NFNets are compared with, and their siblings: values and metrics; loss, gradients and, with batch
// normalization, the next running statistics.
import {
  FormatError,
  type Gpu,
  ops,
  random,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import type { Category } from "../category.ts";
import { byName, compute, input, onlyInputs, tensor, withCaseValues } from "../compute.ts";
import { settings } from "../config.ts";
import type { Case } from "../goldens.ts";
import type { Actual } from "../judge.ts";
import { type Network, networkOf, type Opaque } from "../networks.ts";

export const others: Category = {
  side: "gradients",
  async run(gpu, given) {
    const config = settings(given.config, ["batch", "imsize", "h", "w"]); // the shape of x says these
    const network = networkOf(given.reference, config);
    const seed = config.has("rng_seed") ? config.number("rng_seed") : null;
    const how = {
      smoothing: config.number("label_smoothing", 0),
      // Without a key the reference can draw nothing: what draws was then run in evaluation.
      train: config.boolean("is_training", seed !== null),
      testLocalStats: config.boolean("test_local_stats", false),
      seed,
    };
    config.end();
    onlyInputs(given, ["x", "labels", "p/", ...(network.state ? ["s/"] : [])]);
    const params = gpu.init(withCaseValues(network.spec, network.names, given)) as Opaque;
    const state = stateOf(gpu, network, given);
    try {
      const outputs = await applied(gpu, given, network, { params, state, ...how });
      const names = Object.values(network.names);
      const gradients = Object.fromEntries(names.map((name) => [name, outputs[`d/p/${name}`]]));
      // Each has a max pool or squeeze-and-excite, whose relu is plain.
      return { outputs, gradients: gradients as Record<string, Actual>, kinks: true };
    } finally {
      tree.dispose([params, ...(state ? [state] : [])]);
    }
  },
};

/** The running statistics that the case gives; null for a network without them. */
function stateOf(gpu: Gpu, { state }: Network, given: Case): Opaque | null {
  if (!state) return null;
  const made = gpu.init(state.spec, { zeros: true }) as Opaque;
  const mine = new Set(Object.values(state.names).map((name) => `s/${name}`));
  const extra = Object.keys(given.in).filter((name) => name.startsWith("s/") && !mine.has(name));
  if (extra.length) throw new FormatError(`our model has no state ${extra.join(", ")}`);
  for (const { path, tensor: to } of tree.leaves(made)) {
    const { data, shape } = input(given, `s/${state.names[path]}`);
    gpu.assign(to, { data: Float32Array.from(data), shape });
  }
  return made;
}

interface How {
  readonly params: Opaque;
  readonly state: Opaque | null;
  readonly smoothing: number;
  readonly train: boolean;
  readonly testLocalStats: boolean;
  readonly seed: number | null;
}

function applied(gpu: Gpu, given: Case, network: Network, how: How) {
  const { params, state, seed, train, testLocalStats, smoothing } = how;
  const drawn = seed === null ? null : random.keys(random.key(seed), Math.max(1, network.draws));
  return compute(gpu, () => {
    const keys = drawn ? gpu.tensor(drawn) : undefined;
    const values = (p: Opaque, x: Tensor) => {
      const out = network.outputs(p, x, { train, keys, state, testLocalStats });
      const { avgSqMean = [], avgVar = [], resAvgVar = [] } = out.metrics ?? {};
      return {
        logits: out.logits,
        pool: out.pool,
        ...numbered("avg_sq_mean", avgSqMean),
        ...numbered("avg_var", avgVar),
        ...numbered("res_avg_var", resAvgVar),
        ...(network.state && out.state ? byName(network.state.names, out.state, "s/") : {}),
      };
    };
    const image = tensor(gpu, given, "x");
    if (!("labels" in given.in)) return values(params, image);
    const labels = tensor(gpu, given, "labels");
    const lossAndGrad = valueAndGrad((p: { params: Opaque; x: Tensor }) => {
      const out = values(p.params, p.x);
      return [ops.softmaxCrossEntropy(out.logits, labels, { smoothing }), out] as const;
    });
    const { value, grads, aux } = lossAndGrad({ params, x: image });
    const gradients = byName(network.names, grads.params, "d/p/");
    return { loss: value, ...aux, "d/x": grads.x, ...gradients };
  });
}

const numbered = (name: string, scalars: readonly Tensor[]) =>
  Object.fromEntries(scalars.map((t, i) => [`${name}_${i}`, t]));
