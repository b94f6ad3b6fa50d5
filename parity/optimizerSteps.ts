// Steps of the reference's optimizers on the parameters `p/` and gradients `g0/`, `g1/`, ... of another case.
import { FormatError, type Gpu, optim, type ParamSpec, type Tensor, tree } from "../src/index.ts";
import type { Outcome } from "./category.ts";
import { input, onlyInputs, tensor, withCaseValues } from "./compute.ts";
import { type Settings, settings } from "./config.ts";
import type { Case, Goldens } from "./goldens.ts";
import type { Actual } from "./judge.ts";
import { parseGroups, parseHybrid, parseSchedule } from "./optimText.ts";

type Params = Readonly<Record<string, Tensor>>;
type Kind = "sgd" | "sgdAgc" | "adam" | "adamw" | "rmsprop" | "fromage";

/** The case whose inputs a case uses. */
export async function problemOf(config: Settings, goldens: Goldens): Promise<Case> {
  const problem = await goldens.readCase(config.string("inputs_of"));
  if (problem.problems.length) throw new FormatError(problem.problems.join("; "));
  return problem;
}

/** Its parameters on the device, flat by name. */
export function startOf(gpu: Gpu, problem: Case): { names: string[]; params: Params } {
  const keys = Object.keys(problem.in).filter((key) => key.startsWith("p/"));
  const names = keys.map((key) => key.slice(2));
  const entries = names.map((name): [string, ParamSpec] => [
    name,
    { shape: input(problem, `p/${name}`).shape, init: NO_VALUES },
  ]);
  const spec: Record<string, ParamSpec> = Object.fromEntries(entries);
  const identity = Object.fromEntries(names.map((name) => [name, name]));
  const values = { ...problem, in: Object.fromEntries(keys.map((k) => [k, problem.in[k]!])) };
  return { names, params: gpu.init(withCaseValues(spec, identity, values)) };
}
const NO_VALUES = Object.assign(() => new Float32Array(0), { random: false });

/** Its gradients of step `t`. */
export const gradientsOf = (gpu: Gpu, problem: Case, names: readonly string[], t: number): Params =>
  Object.fromEntries(names.map((name) => [name, tensor(gpu, problem, `g${t}/${name}`)]));

/**
 * An optimizer's options. What the reference tests with `is not None` is on for `False`, too: Nesterov's momentum,
 * AdamW's decay.
 */
export function optimizerOptions(config: Settings, weightDecay: number | null = null) {
  const name = config.string("optimizer");
  const isSet = (key: string) => (config.any(key) ?? null) !== null;
  const eps = (otherwise: number) => config.numberOrNull("eps", null) ?? otherwise;
  const common = { weightDecay: config.numberOrNull("weight_decay", weightDecay) };
  const sgd = () => {
    const momentum = config.numberOrNull("momentum", null);
    const nesterov = isSet("nesterov") && momentum !== null;
    return { ...common, momentum, nesterov, dampening: config.number("dampening", 0) };
  };
  switch (name) {
    case "SGD":
      config.any("eps"); // curves name SGD_AGC's options for both
      if (isSet("clipping")) throw new FormatError("SGD takes no clipping");
      return { kind: "sgd", options: sgd() } as const;
    case "SGD_AGC": {
      const clipping = config.numberOrNull("clipping", 0.01);
      return { kind: "sgdAgc", options: { ...sgd(), clipping, eps: eps(1e-3) } } as const;
    }
    case "Adam": {
      const kind = isSet("use_adamw") ? "adamw" : "adam";
      const beta1 = config.numberOrNull("beta1", 0.9);
      const beta2 = config.numberOrNull("beta2", 0.999);
      return { kind, options: { ...common, beta1, beta2, eps: eps(1e-8) } } as const;
    }
    case "RMSProp": {
      const decay = config.number("decay");
      const momentum = config.numberOrNull("momentum", null);
      return { kind: "rmsprop", options: { ...common, decay, momentum, eps: eps(1e-8) } } as const;
    }
    case "Fromage":
      return { kind: "fromage", options: { ...common, eps: eps(1e-5) } } as const;
    default:
      throw new FormatError(`unknown optimizer ${name}`);
  }
}

/** `optim[kind]`, whatever its options. */
const make = (kind: Kind, params: Params, options: object): optim.Optimizer<Params> =>
  (optim[kind] as (params: Params, options: object) => optim.Optimizer<Params>)(params, options);

/** How a case's optimizer is made, and its learning rate at a step. */
function planOf(config: Settings): {
  make: (params: Params) => optim.Optimizer<Params>;
  lr: (itr: number) => number;
} {
  if (config.any("optimizer") === "Hybrid") {
    const groups = parseHybrid(config.any("groups"), optimizerOptions);
    return { make: (params) => optim.hybrid(params, groups), lr: () => 1 };
  }
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
  return { make: (params) => make(kind, params, { ...options, groups }), lr };
}

/** Outputs `p<t>/<name>` and the buffers, `momentum<t>/<name>` and the like, after each step. */
export async function optimizerSteps(gpu: Gpu, given: Case, goldens: Goldens): Promise<Outcome> {
  const config = settings(given.config, ["note"]);
  const problem = await problemOf(config, goldens);
  const plan = planOf(config);
  const first = config.number("itr0", 0);
  config.end();
  onlyInputs(given, []);
  const { names, params } = startOf(gpu, problem);
  const made = plan.make(params);
  const outputs: Record<string, Actual> = {};
  try {
    for (let t = 0; Object.keys(problem.in).some((key) => key.startsWith(`g${t}/`)); t++) {
      gpu.scope<void>(() => {
        made.update(gradientsOf(gpu, problem, names, t), { lr: plan.lr(first + t) });
      });
      const { step: _, ...buffers } = made.state as Record<string, Params>;
      const read = await gpu.read({ p: params, ...buffers });
      for (const [buffer, values] of Object.entries(read)) {
        for (const [name, value] of Object.entries(values)) {
          const output = `${BUFFERS[buffer] ?? buffer}${t}/${name}`;
          outputs[output] = reshaped(value, given.out[output]?.shape);
        }
      }
    }
  } finally {
    made.dispose();
    tree.dispose(params);
  }
  return { outputs };
}
const BUFFERS: Readonly<Record<string, string>> = { expAvg: "exp_avg", expAvgSq: "exp_avg_sq" };

/** The reference's Adam turns a scalar into `[1]`; ours does not. */
const reshaped = (value: Actual, shape: readonly number[] | undefined): Actual =>
  value.shape.length === 0 && `${shape}` === "1" ? { ...value, shape: [1] } : value;
