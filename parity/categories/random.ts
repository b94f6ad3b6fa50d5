// jax.random and what Haiku draws from it: keys and values, initial parameters, masks of a training pass.
import { type Gpu, nn, ops, random, type Tensor, tree } from "../../src/index.ts";
import type { Category } from "../category.ts";
import { byName, compute, onlyInputs, tensor, withCaseValues } from "../compute.ts";
import { settings } from "../config.ts";
import type { Case } from "../goldens.ts";
import type { Actual } from "../judge.ts";
import { nfnetOptions } from "../nfnetOptions.ts";

export const randomCategory: Category = {
  async run(gpu, given) {
    if (given.reference.includes("haiku init")) return { outputs: await initial(gpu, given) };
    if (given.reference.includes("NFNet.__call__")) return { outputs: await masks(gpu, given) };
    const config = settings(given.config);
    if (!config.boolean("jax_threefry_partitionable", true)) {
      throw new Error("only the partitionable threefry is implemented");
    }
    config.end();
    onlyInputs(given, []);
    const made = Object.keys(given.out).map((name) => [name, draw(name)] as const);
    const known = made.filter((entry): entry is [string, Actual] => entry[1] !== null);
    return { outputs: Object.fromEntries(known) };
  },
};

const NUMBER = "(-?[\\d.]+(?:e-?\\d+)?)";
const word = (key: random.Key) => [key.hi, key.lo];

/** What each kind of output is; `n` are the numbers of its name, `shape` what follows the slash. */
const draws: readonly [
  pattern: string,
  draw: (key: random.Key, n: number[], shape: number[]) => Actual,
][] = [
  ["key", (key) => ({ data: word(key), shape: [2] })],
  [
    "split(\\d+)",
    (key, [n]) => ({ data: random.split(key, n).flatMap(word), shape: [n as number, 2] }),
  ],
  ["fold_in/(\\d+)", (key, [n]) => ({ data: word(random.foldIn(key, n as number)), shape: [2] })],
  ["bits/SHAPE", (key, _, shape) => random.bits(key, shape)],
  ["uniform/SHAPE", (key, _, shape) => random.uniform(key, shape)],
  [
    `uniform_${NUMBER}_${NUMBER}/SHAPE`,
    (key, [minval = 0, maxval = 1], shape) => random.uniform(key, shape, { minval, maxval }),
  ],
  ["normal/SHAPE", (key, _, shape) => random.normal(key, shape)],
  [
    `truncated_normal_${NUMBER}_${NUMBER}/SHAPE`,
    (key, [lower = -2, upper = 2], shape) => random.truncatedNormal(key, shape, { lower, upper }),
  ],
  [`bernoulli_${NUMBER}/SHAPE`, (key, [p = 0.5], shape) => random.bernoulli(key, shape, { p })],
  [
    `randint_${NUMBER}_${NUMBER}/SHAPE`,
    (key, [minval = 0, maxval = 1], shape) => {
      const { data } = random.randint(key, shape, { minval, maxval });
      return { data: new Int32Array(data.buffer), shape };
    },
  ],
  ["permutation/(\\d+)", (key, [n]) => random.permutation(key, n as number)],
];

/** The output named `key<seed>/<kind>`; null for a kind that is not known. */
function draw(name: string): Actual | null {
  const [, seed, rest] = /^key(-?\d+)\/(.*)$/.exec(name) ?? [];
  if (seed === undefined || rest === undefined) return null;
  for (const [pattern, make] of draws) {
    const regex = new RegExp(`^${pattern.replace("SHAPE", "(?<shape>scalar|\\d+(?:x\\d+)*)")}$`);
    const match = regex.exec(rest);
    if (!match) continue;
    const text = match.groups?.shape;
    const shape = text === undefined || text === "scalar" ? [] : text.split("x").map(Number);
    const numbers = match.slice(1, text === undefined ? undefined : -1).map(Number);
    return make(random.key(Number(seed)), numbers, shape);
  }
  return null;
}

/** `gpu.init`'s values against Haiku's; a large model's case holds the first values of each parameter. */
async function initial(gpu: Gpu, given: Case): Promise<Record<string, Actual>> {
  const config = settings(given.config);
  const model = nn.nfnet(nfnetOptions(config));
  const seed = config.number("seed");
  const train = config.boolean("is_training", true);
  config.end();
  onlyInputs(given, []);
  const params = gpu.init(model.spec, { seed, train });
  try {
    return await compute(gpu, () => {
      const named = Object.entries(byName(model.names, params));
      return Object.fromEntries(
        named.map(([name, t]) => [name, firstValues(t, given.out[name]?.shape)]),
      );
    });
  } finally {
    tree.dispose(params);
  }
}

function firstValues(t: Tensor, shape: readonly number[] | undefined): Tensor {
  const part = shape?.length === 1 && `${shape}` !== `${t.shape}` && (shape[0] as number) <= t.size;
  const flat = ops.reshape(t, { shape: part ? [t.size] : t.shape });
  return part ? ops.slice(flat, { begin: [0], size: shape }) : flat;
}

/** A training pass with its keys: logits, and the draws that make the masks. */
async function masks(gpu: Gpu, given: Case): Promise<Record<string, Actual>> {
  const config = settings(given.config);
  const model = nn.nfnet(nfnetOptions(config));
  const key = random.key(config.number("rng_seed"));
  const { rate } = { rate: config.number("drop_rate", 0) };
  config.end();
  onlyInputs(given, ["x", "p/"]);
  const keys = random.keys(key, model.draws);
  const at = (i: number): random.Key => ({ hi: keys.data[2 * i]!, lo: keys.data[2 * i + 1]! });
  const params = gpu.init(withCaseValues(model.spec, model.names, given));
  try {
    const outputs = await compute(gpu, () => {
      const drawn: Record<string, Tensor> = {};
      const keysOnGpu = gpu.tensor(keys);
      for (const [name, { shape }] of Object.entries(given.out)) {
        const [, row] = /^dropout_mask\/(\d+)$/.exec(name) ?? [];
        if (row === undefined) continue;
        const ones = gpu.tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1), shape);
        const kept = ops.dropout(ones, keysOnGpu, { at: Number(row), rate });
        drawn[name] = ops.greater(kept, 0);
      }
      const x = tensor(gpu, given, "x");
      return { ...drawn, logits: model(params, x, { train: true, keys: keysOnGpu }) };
    });
    for (const [name, { shape }] of Object.entries(given.out)) {
      const [, row] = /^uniform\/(\d+)$/.exec(name) ?? [];
      if (row !== undefined) outputs[name] = random.uniform(at(Number(row)), shape);
    }
    return { ...outputs, keys };
  } finally {
    tree.dispose(params);
  }
}
