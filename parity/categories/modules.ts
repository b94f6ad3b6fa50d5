// The small modules that NFNets are made of: base.py's, the pools, and Haiku's Linear.
import { FormatError, type Gpu, nn, ops, random } from "../../src/index.ts";
import type { Category, Outcome } from "../category.ts";
import {
  type Applied,
  applyLayer,
  compute,
  input,
  moduleOf,
  onlyInputs,
  tensor,
} from "../compute.ts";
import { settings } from "../config.ts";
import type { Case } from "../goldens.ts";
import { judgeEqual } from "../judge.ts";

export const modules: Category = {
  extra: ["mask"],
  async run(gpu, given) {
    onlyInputs(given, ["x", "ct", "p/"]);
    const module = Object.entries(byReference).find(([part]) =>
      given.reference.includes(part),
    )?.[1];
    if (!module) throw new FormatError(`unknown module ${given.reference}`);
    if ("mask" in given.extra && module !== stochDepth) throw new FormatError("unknown key mask");
    return module(gpu, given);
  },
};

type Module = (gpu: Gpu, given: Case) => Promise<Outcome>;

const squeezeExcite: Module = async (gpu, given) => {
  const config = settings(given.config);
  const layer = nn.squeezeExcite({
    inCh: config.number("in_ch"),
    outCh: config.number("out_ch"),
    seRatio: config.numberOrNull("se_ratio", 0.5),
    hiddenCh: config.numberOrNull("hidden_ch", null),
  });
  config.end();
  const names = nn.haikuNames(layer.spec, moduleOf(given, "squeeze_excite"));
  const parts = { spec: layer.spec, names };
  return { outputs: await applyLayer(gpu, given, parts, (p, x) => ({ value: layer(p, x) })) };
};

const linear: Module = async (gpu, given) => {
  const config = settings(given.config);
  const module = moduleOf(given, "linear");
  const [inCh, outCh] = input(given, `p/${module}/w`).shape as [number, number];
  config.end();
  const layer = nn.linear({ inCh, outCh });
  const parts = { spec: layer.spec, names: nn.haikuNames(layer.spec, module) };
  return { outputs: await applyLayer(gpu, given, parts, (p, x) => ({ value: layer(p, x) })) };
};

const stochDepth: Module = async (gpu, given) => {
  const config = settings(given.config);
  const rate = config.number("drop_rate");
  const layer = nn.stochDepth({
    dropRate: rate,
    scaleByKeep: config.boolean("scale_by_keep", false),
  });
  const keys = random.keys(random.key(config.number("rng_seed")), 1);
  const train = config.boolean("is_training", true);
  config.end();
  const outputs = await withoutParams(gpu, given, (x) => ({
    value: layer({}, x, { train, keys: gpu.tensor(keys) }),
  }));
  if (!("mask" in given.extra)) return { outputs };
  const { shape } = input(given, "x");
  const ones = new Float32Array(shape[0] ?? 0).fill(1);
  const drawn = await compute(gpu, () => {
    const x = gpu.tensor(ones, [ones.length, 1, 1, 1]);
    return { mask: ops.stochDepth(x, gpu.tensor(keys), { at: 0, rate }) };
  });
  const mask = judgeEqual(drawn.mask?.data ?? [], given.extra.mask as number[]);
  return { outputs, judged: { mask } };
};

const pool =
  (kind: "avgPool" | "maxPool"): Module =>
  async (gpu, given) => {
    const config = settings(given.config);
    const window = config.size("window");
    const stride = config.has("stride") ? config.size("stride") : window;
    const padding = config.string("padding") as "SAME" | "VALID";
    config.end();
    const apply = { avgPool: ops.avgPool, maxPool: ops.maxPool }[kind];
    const outputs = await withoutParams(gpu, given, (x) => ({
      value: apply(x, { window, stride, padding }),
    }));
    return { outputs };
  };

const meanPool: Module = async (gpu, given) => {
  settings(given.config).end();
  const outputs = await withoutParams(gpu, given, (x) => ({
    value: ops.mean(x, { axis: [1, 2] }),
  }));
  return { outputs };
};

/** Names end in the block's number, which is the caller's; the values do not depend on it. */
const signalMetrics: Module = async (gpu, given) => {
  settings(given.config).end();
  const outputs = await compute(gpu, () => {
    const { avgSqMean, avgVar } = nn.signalMetrics(tensor(gpu, given, "x"));
    const named = Object.keys(given.out).map((name) => {
      if (/^avg_sq_mean_\d+$/.test(name)) return [[name, avgSqMean]] as const;
      return /^avg_var_\d+$/.test(name) ? ([[name, avgVar]] as const) : [];
    });
    return Object.fromEntries(named.flat());
  });
  return { outputs };
};

const withoutParams = (
  gpu: Gpu,
  given: Case,
  apply: (x: Parameters<typeof ops.mean>[0]) => Applied,
) => applyLayer(gpu, given, { spec: {}, names: {} }, (_, x) => apply(x));

const byReference: Readonly<Record<string, Module>> = {
  SqueezeExcite: squeezeExcite,
  StochDepth: stochDepth,
  "hk.avg_pool": pool("avgPool"),
  "hk.max_pool": pool("maxPool"),
  "hk.Linear": linear,
  signal_metrics: signalMetrics,
  "nfnet.py:NFNet.__call__": meanPool,
};
