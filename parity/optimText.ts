// What optimizer cases say in words: a schedule with its arguments, groups of parameters with their rules.
import { FormatError, optim } from "../src/index.ts";
import { type Settings, settings } from "./config.ts";

/** The reference's schedules by name, made from settings with its argument names. */
export const schedules = {
  CosineDecay: (config: Settings) =>
    optim.cosine({
      min: config.number("min_val"),
      base: config.number("max_val"),
      steps: config.number("num_steps"),
    }),
  WarmupCosineDecay: (config: Settings) =>
    optim.warmupCosine({
      start: config.number("start_val"),
      min: config.number("min_val"),
      base: config.number("max_val"),
      steps: config.number("num_steps"),
      warmup: config.number("warmup_steps"),
    }),
  WarmupExpDecay: (config: Settings) =>
    optim.warmupExponential({
      start: config.number("start_val"),
      base: config.number("max_val"),
      warmup: config.number("warmup_steps"),
      factor: Math.fround(config.number("decay_factor")), // JAX raises it in f32, which multiplies its rounding
      interval: config.number("decay_interval"),
    }),
};

/** Positional arguments in the order of the reference's constructors. */
const ARGUMENTS: Readonly<Record<keyof typeof schedules, readonly string[]>> = {
  CosineDecay: ["min_val", "max_val", "num_steps"],
  WarmupCosineDecay: ["start_val", "min_val", "max_val", "num_steps", "warmup_steps"],
  WarmupExpDecay: ["start_val", "max_val", "warmup_steps", "decay_factor", "decay_interval"],
};

/** `WarmupCosineDecay(0, 0.001, 0.2, 40, 8)(itr), itr 6..10` as a function of the step. */
export function parseSchedule(text: string): optim.Schedule {
  const [, name, list] = /^(\w+)\(([^()]*)\)\(itr\)/.exec(text) ?? [];
  const known = Object.keys(schedules).find((key) => key === name) as
    | keyof typeof schedules
    | undefined;
  const values = list?.split(",").map(Number) ?? [];
  const names = known ? ARGUMENTS[known] : [];
  if (!known || values.length !== names.length || values.some(Number.isNaN)) {
    throw new FormatError(`unknown schedule ${text}`);
  }
  return schedules[known](schedule(names, values));
}

/** Settings of numbers alone. */
function schedule(names: readonly string[], values: readonly number[]): Settings {
  return settings(Object.fromEntries(names.map((key, i) => [key, values[i]])));
}

/**
 * Groups of parameters, each `names: rule value, ...`, the last `rest`. A name with a slash is a whole path, one
 * without is a parameter's own name, `*` stands for anything. Rates of groups are relative to `lr`.
 */
export function parseGroups(texts: unknown, lr: number | null): optim.Group[] {
  if (!Array.isArray(texts)) throw new FormatError(`groups are ${JSON.stringify(texts)}`);
  return texts.flatMap((text) => {
    if (text === "rest") return [];
    const [names, rules] = String(text).split(": ");
    if (names === undefined || rules === undefined) throw new FormatError(`unknown group ${text}`);
    return [{ match: matchOf(names), ...parseRules(rules, lr) }];
  });
}

/** The reference's defaults by optimizer, in its own names. */
const DEFAULTS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  SGD: { weight_decay: null, momentum: null, dampening: 0, nesterov: null },
  SGD_AGC: {
    ...{ weight_decay: null, momentum: null, dampening: 0, nesterov: null },
    ...{ clipping: 0.01, eps: 1e-3 },
  },
  Adam: { beta1: 0.9, beta2: 0.999, weight_decay: null, eps: 1e-8, use_adamw: null },
  RMSProp: { weight_decay: null, eps: 1e-8 },
  Fromage: { weight_decay: null, eps: 1e-5 },
};
const WORDS: Readonly<Record<string, unknown>> = { None: null, True: true, False: false };

/**
 * Groups of a hybrid, each `names: Optimizer lr 0.1 key value ...`, the names as in `parseGroups`. What a group leaves
 * out has the default of the first group whose optimizer has one, whatever its own says (`optim.py: Hybrid`).
 */
export function parseHybrid(
  texts: unknown,
  optionsOf: (config: Settings) => { readonly kind: string; readonly options: object },
): optim.HybridGroup[] {
  if (!Array.isArray(texts)) throw new FormatError(`groups are ${JSON.stringify(texts)}`);
  const groups = texts.map((text) => {
    const [, names = "", optimizer = "", rest = ""] =
      /^([^:]+): (\w+)((?:\s+\S+\s+\S+)*)$/.exec(String(text)) ?? [];
    if (!Object.hasOwn(DEFAULTS, optimizer)) throw new FormatError(`unknown group ${text}`);
    const words = rest.trim().split(/\s+/).filter(Boolean);
    const own: Record<string, unknown> = {};
    for (let i = 0; i < words.length; i += 2) {
      const [key, word] = [words[i]!, words[i + 1]!];
      const value = Object.hasOwn(WORDS, word) ? WORDS[word] : Number(word);
      if (Number.isNaN(value)) throw new FormatError(`unknown rule ${text}`);
      own[key === "wd" ? "weight_decay" : key] = value;
    }
    return { names, optimizer, own };
  });
  const common = Object.assign({}, ...groups.map((g) => DEFAULTS[g.optimizer]).reverse());
  return groups.map(({ names, optimizer, own }) => {
    const extra = optimizer === "RMSProp" ? EXTRA : [];
    const wanted = [...Object.keys(DEFAULTS[optimizer]!), ...extra];
    const all = { ...common, ...own };
    const used = Object.entries(all).filter(([key]) => wanted.includes(key) || key in own);
    const config = settings({ optimizer, ...Object.fromEntries(used) }, ["lr"]);
    const { kind, options } = optionsOf(config);
    const lrScale = config.number("lr");
    config.end();
    const match = names === "rest" ? {} : { match: matchOf(names) };
    return { optimizer: kind, ...match, ...options, lrScale } as optim.HybridGroup;
  });
}
/** What RMSProp has no defaults for, but takes from another group's. */
const EXTRA = ["momentum", "decay"];

const matchOf = (names: string) => {
  const patterns = names.split(",").map((name) => glob(name.trim()));
  return (path: string) =>
    patterns.some(({ whole, regex }) => regex.test(whole ? path : path.replace(/^.*\//, "")));
};

function glob(name: string) {
  const escaped = name.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*");
  return { whole: name.includes("/"), regex: new RegExp(`^${escaped}$`) };
}

function parseRules(text: string, lr: number | null): Partial<optim.Rules> {
  const words = text.split(/[\s,=]+/);
  const rules: { -readonly [K in keyof optim.Rules]?: optim.Rules[K] } = {};
  for (let i = 0; i < words.length; i += 2) {
    const [key, word] = [words[i], words[i + 1]];
    const value = word === "None" ? null : Number(word);
    if (word === undefined || Number.isNaN(value)) throw new FormatError(`unknown rule ${text}`);
    if (key === "weight_decay" || key === "wd") rules.weightDecay = value;
    else if (key === "clipping") rules.clipping = value;
    else if (key === "eps" && value !== null) rules.eps = value;
    else if (key === "lr" && value !== null && lr !== null) rules.lrScale = value / lr;
    else throw new FormatError(`unknown rule ${key} ${word}`);
  }
  return rules;
}
