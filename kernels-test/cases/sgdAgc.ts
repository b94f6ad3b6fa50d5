// Cases of the SGD and clipping kernels: values against f64 over several steps, units of all kinds, what is not finite,
// memory between tensors, and sizes past one grid axis.

import { type Gpu, openGpu, tree } from "../../src/index.ts";
import * as optim from "../../src/optim/index.ts";
import { alike } from "../alike.ts";
import { type Case, counted, equal, equalBits, near } from "../harness.ts";
import {
  apart,
  type Flat,
  gradient,
  inArenas,
  long,
  mixed,
  type Params,
  type Settings,
  type Shapes,
  start,
  stepF64,
  weights,
} from "../sgd.ts";

const STEPS = 4;
const rate = (step: number): number => 0.1 / (1 + step);
type Rule = Settings & { readonly match: RegExp };

interface Trial {
  readonly shapes: Shapes;
  readonly settings: Settings;
  readonly groups?: readonly Rule[];
}
/** `sgdAgc`, or `sgd` where nothing is clipped. */
function make(params: Params, { settings, groups = [] }: Trial) {
  const { lrScale: _, ...options } = settings;
  return options.clipping === null
    ? optim.sgd(params, { ...without(options), groups })
    : optim.sgdAgc(params, { ...options, groups });
}
function without({ clipping: _, eps: __, ...rest }: Settings): Settings {
  return rest;
}

/** Runs a trial on parameters that lie somehow. */
async function steps(gpu: Gpu, params: Params, trial: Trial) {
  const opt = make(params, trial);
  for (let t = 0; t < STEPS; t++) {
    const grads = apart(gpu, gradient(trial.shapes, t));
    opt.update(grads, { lr: rate(t), step: t });
    tree.dispose(grads);
  }
  const read = async (p: Params | undefined) => (p ? ((await gpu.read(p)) as Flat) : {});
  const out = {
    w: await read(params),
    m: await read(opt.state.momentum),
    ema: await read(opt.ema),
  };
  opt.dispose();
  tree.dispose(params);
  return out;
}

async function againstF64(gpu: Gpu, trial: Trial, what: string): Promise<void> {
  const at = start(weights(trial.shapes));
  for (let t = 0; t < STEPS; t++) {
    const grads = gradient(trial.shapes, t);
    for (const [name, one] of Object.entries(at)) {
      const group = trial.groups?.find(({ match }) => match.test(name));
      const { data, shape } = grads[name]!;
      const g = { data: Float64Array.from(data), shape };
      at[name] = stepF64(one, g, { ...trial.settings, ...group }, rate(t), t);
    }
  }
  const { live } = gpu.memory();
  const got = await steps(gpu, inArenas(gpu, weights(trial.shapes)), trial);
  equal(`${what}: live buffers afterwards`, gpu.memory().live, live);
  const { momentum = null, ema } = trial.settings;
  equal(`${what}: momentum`, Object.keys(got.m).length > 0, momentum !== null);
  equal(`${what}: ema`, Object.keys(got.ema).length > 0, ema !== undefined);
  for (const key of ["w", "m", "ema"] as const) {
    if (Object.keys(got[key]).length === 0) continue;
    const few: [number[], number[]] = [[], []]; // sums of a few values may cancel: judged together
    for (const [name, one] of Object.entries(at)) {
      const [is, should] = [got[key][name]!.data, one[key].data];
      if (is.length < 16) {
        few[0].push(...is);
        few[1].push(...should);
      } else near(`${what}: ${key} of '${name}'`, is, should, { tolerance: 2e-7 });
    }
    near(`${what}: ${key} of the small ones`, few[0], few[1], { tolerance: 2e-7 });
  }
}

const all: Settings = {
  momentum: 0.9,
  nesterov: true,
  weightDecay: 0.02,
  clipping: 0.05,
  ema: { decay: 0.9 },
};
const variants: Readonly<Record<string, Settings>> = {
  all,
  "clipping alone": {},
  "heavy ball with dampening": { momentum: 0.8, dampening: 0.3, weightDecay: 0.1 },
  "a large eps": { ...all, eps: 3 },
  "clipping to nothing": { momentum: 0.9, clipping: 0 },
  "an average without momentum": { ema: { decay: 0.5, warmup: false } },
  "an average without warm-up": { ...all, ema: { decay: 0.99999, warmup: false } },
  sgd: { clipping: null },
  "sgd with momentum": { ...all, clipping: null },
  "sgd with an average": { clipping: null, weightDecay: 0.1, ema: { decay: 0.99 } },
};
const groups: readonly Rule[] = [
  { match: /gain|\/b$/, weightDecay: null },
  { match: /^fc/, clipping: null, lrScale: 0.5 },
  { match: /wide|vector/, clipping: 0.3, eps: 2, lrScale: 2 },
];

/** Every word of a tree's arenas that belongs to no tensor. */
async function between(t: Params): Promise<number[]> {
  const { arenas, places } = tree.layout(t);
  const out: number[] = [];
  for (const [i, arena] of arenas.entries()) {
    const words = new Uint32Array((await arena.data()).buffer);
    const inside = new Uint8Array(words.length);
    for (const p of places) if (p.arena === i) inside.fill(1, p.offset, p.offset + p.tensor.size);
    words.forEach((w, j) => {
      if (!inside[j]) out.push(w);
    });
  }
  return out;
}
function fillAll(gpu: Gpu, t: Params, value: number): void {
  const host = Object.fromEntries(Object.entries(t).map(([name, x]) => [name, x]));
  const kept = Object.fromEntries(
    Object.entries(host).map(([name, x]) => [name, gpu.zeros(x.shape)]),
  );
  gpu.assign(kept, t);
  for (const arena of tree.arenas(t)) gpu.assign(arena, new Float32Array(arena.size).fill(value));
  gpu.assign(t, kept);
  tree.dispose(kept);
}

export const cases: readonly Case[] = [
  ...Object.entries(variants).map(([name, settings]) => ({
    name: `f64: ${name}`,
    run: (gpu: Gpu) => againstF64(gpu, { shapes: mixed, settings }, name),
  })),
  {
    name: "f64: groups",
    run: (gpu) =>
      againstF64(gpu, { shapes: mixed, settings: all, groups: groups.slice(0, 3) }, "groups"),
  },
  {
    name: "f64: long units",
    run: (gpu) => againstF64(gpu, { shapes: long, settings: all }, "long"),
  },
  {
    name: "f64: long units without clipping",
    run: (gpu) =>
      againstF64(gpu, { shapes: long, settings: { ...all, clipping: null } }, "long, sgd"),
  },
  {
    name: "one arena, several and none give equal bits, with subgroups and without",
    async run(gpu) {
      const trial = { shapes: { ...mixed, ...long }, settings: all };
      const values = weights(trial.shapes);
      const one = await steps(gpu, inArenas(gpu, values), trial);
      const several = inArenas(gpu, values, 4096);
      equal("more than one arena", tree.arenas(several).length > 3, true);
      const bare = await openGpu({ ...alike(gpu), features: [] });
      for (const other of [
        await steps(gpu, several, trial),
        await steps(gpu, apart(gpu, values), trial),
        await steps(bare, inArenas(bare, values), trial),
      ])
        for (const key of ["w", "m", "ema"] as const)
          for (const [name, { data }] of Object.entries(one[key]))
            equalBits(`${key} of '${name}'`, other[key][name]!.data, data);
      await bare.close();
    },
  },
  {
    name: "an arena takes one dispatch, two with long units, however many parameters it has",
    async run(gpu) {
      const many = (n: number): Shapes =>
        Object.fromEntries(Array.from({ length: n }, (_, i) => [`p${i}`, [3, 1 + (i % 9)]]));
      for (const [shapes, expected] of [
        [many(1), 1],
        [many(200), 1],
        [{ ...many(200), ...long }, 2],
      ] as const) {
        const params = inArenas(gpu, weights(shapes));
        const opt = optim.sgdAgc(params, { momentum: 0.9, ema: { decay: 0.9 } });
        const grads = gpu.zerosLike(params);
        await gpu.sync();
        const { copies } = gpu.counts();
        const { dispatches } = await counted(gpu, () => opt.update(grads, { lr: 0.1, step: 0 }));
        equal(`${Object.keys(shapes).length} parameters: dispatches`, dispatches, expected);
        equal("copies of gradients that lie like the parameters", gpu.counts().copies, copies);
        opt.dispose();
        tree.dispose([params, grads]);
      }
    },
  },
  {
    name: "what lies between tensors has no effect and stays",
    async run(gpu) {
      const trial = { shapes: { ...mixed, ...long }, settings: all };
      const values = weights(trial.shapes);
      const clean = await steps(gpu, inArenas(gpu, values), trial);
      for (const garbage of [Number.NaN, 3e38]) {
        const params = inArenas(gpu, values);
        const opt = make(params, trial);
        const grads = gpu.zerosLike(params);
        const owned = [params, opt.state.momentum!, opt.ema!];
        for (const t of [...owned, grads]) fillAll(gpu, t, garbage);
        const before = await Promise.all(owned.map(between));
        equal("there is something between", before[0]!.length > 100, true);
        for (let t = 0; t < STEPS; t++) {
          gpu.assign(grads, gradient(trial.shapes, t));
          opt.update(grads, { lr: rate(t), step: t });
        }
        for (const [i, key] of (["w", "m", "ema"] as const).entries()) {
          const got = (await gpu.read(owned[i]!)) as Flat;
          for (const [name, { data }] of Object.entries(clean[key]))
            equalBits(`${key} of '${name}' beside ${garbage}`, got[name]!.data, data);
          equal(`between ${key}`, await between(owned[i]!), before[i]);
        }
        opt.dispose();
        tree.dispose([params, grads]);
      }
    },
  },
  {
    name: "norms that are not finite",
    async run(gpu) {
      const [big, nan, inf] = [1e25, Number.NaN, Number.POSITIVE_INFINITY];
      const w = { data: Float32Array.of(1, big, 1, 1, nan, 1, 1, big, 1, 1, 1, 1), shape: [2, 6] };
      const g = {
        data: Float32Array.of(big, 5, nan, inf, 5, 1e-30, big, 5, 5, 5, 5, 0),
        shape: [2, 6],
      };
      for (const [name, size] of [
        ["vec4 columns", 8],
        ["odd columns", 6],
      ] as const) {
        const wide = ({ data }: typeof w) => {
          const out = new Float32Array(2 * size);
          out.set(data.subarray(0, 6));
          out.set(data.subarray(6), size);
          return { data: out, shape: [2, size] };
        };
        const params = apart(gpu, { w: wide(w) });
        const grads = apart(gpu, { w: wide(g) });
        const opt = optim.sgdAgc(params, { momentum: 0.5, clipping: 0.01 });
        opt.update(grads, { lr: 1 });
        const m = await opt.state.momentum!.w!.data();
        // Overflow of |g| gives 0, of |w| no clipping, NaN no clipping, infinity times 0 is NaN.
        const expected = [0, 5, nan, nan, 5, 1e-30, 0, 5, 5, 0, 5, 0].map(Math.fround);
        equalBits(`${name}: row 0`, m.slice(0, 6), expected.slice(0, 6));
        equalBits(`${name}: row 1`, m.slice(size, size + 6), expected.slice(6));
        opt.dispose();
        tree.dispose([params, grads]);
      }
    },
  },
  {
    name: "a gradient's norm counts with at least 1e-6",
    async run(gpu) {
      const params = apart(gpu, { w: { data: Float32Array.of(1e-9), shape: [] } });
      const grads = apart(gpu, { w: { data: Float32Array.of(1e-7), shape: [] } });
      const opt = optim.sgdAgc(params, { momentum: 0, clipping: 1, eps: 0 });
      opt.update(grads, { lr: 1 });
      near("1e-7 * 1e-9 / 1e-6", await opt.state.momentum!.w!.data(), [1e-10]);
      opt.dispose();
      tree.dispose([params, grads]);
    },
  },
  {
    name: "more blocks than a grid axis holds",
    async run(gpu) {
      const shape = [2, 32 * 65_536 + 5]; // 32 odd columns a block
      const ones = { data: new Float32Array(shape[0]! * shape[1]!).fill(1), shape };
      const params = apart(gpu, { w: ones });
      const opt = optim.sgdAgc(params, { clipping: 0.25 });
      const grads = apart(gpu, { w: ones });
      opt.update(grads, { lr: 1 });
      const w = await params.w!.data();
      equal(
        "every element moved by a quarter of itself",
        w.findIndex((v) => v !== 0.75),
        -1,
      );
      opt.dispose();
      tree.dispose([params, grads]);
    },
  },
];
