// Cases of the optimizers beside SGD: values against f64 over several steps, and recordings. What stands around one is
// optimAround.ts.
import { optim, type Tensor, tree } from "../../src/index.ts";
import { assert, type Case, counted, equal, equalBits, near } from "../harness.ts";
import { type F64, f64 } from "../oracle.ts";
import {
  apart,
  averaged,
  type Flat,
  gradient,
  inArenas,
  long,
  mixed,
  type Params,
  type Shapes,
  stepF64,
  weights,
} from "../sgd.ts";

const STEPS = 4;
const rate = (step: number): number => 0.05 / (1 + step);
const EMA = { decay: 0.9 };

interface Rule {
  readonly weightDecay?: number | null;
  readonly lrScale?: number;
  readonly eps?: number;
}
/** Parameter and buffers of one tensor, in f64. */
type At = Readonly<Record<string, F64>> & { readonly w: F64 };
type Step = (at: At, g: F64, rule: Rule, lr: number, t: number) => At;

const zip = (f: (...v: number[]) => number, first: F64, ...rest: F64[]): F64 => ({
  data: first.data.map((v, i) => f(v, ...rest.map((r) => r.data[i]!))),
  shape: first.shape,
});
const norm = ({ data }: F64): number => Math.sqrt(data.reduce((s, v) => s + v * v, 0));

const adam =
  (beta1: number | null, beta2: number | null, decoupled: boolean): Step =>
  ({ w, expAvg, expAvgSq }, grad, { weightDecay, eps = 1e-8 }, lr, t) => {
    const wd = weightDecay ?? 0;
    const x = decoupled ? zip((v) => v * (1 - lr * wd), w) : w;
    const g = decoupled ? grad : zip((d, v) => d + wd * v, grad, w);
    const m = beta1 === null ? g : zip((a, d) => beta1 * a + (1 - beta1) * d, expAvg!, g);
    const v = beta2 === null ? g : zip((a, d) => beta2 * a + (1 - beta2) * d * d, expAvgSq!, g);
    const bias1 = beta1 === null ? 1 : 1 - beta1 ** (t + 1);
    const bias2 = beta2 === null ? 1 : 1 - beta2 ** (t + 1);
    const root = zip((a) => (beta2 === null ? Math.abs(a) : Math.sqrt(a / bias2)), v);
    const next = zip((a, b, c) => a - (lr * b) / bias1 / (c + eps), x, m, root);
    return {
      w: next,
      ...(beta1 !== null && { expAvg: m }),
      ...(beta2 !== null && { expAvgSq: v }),
    };
  };
const rmsprop =
  (decay: number, momentum: number | null): Step =>
  ({ w, rms, momentum: old }, grad, { weightDecay, eps = 1e-8 }, lr) => {
    const g = zip((d, v) => d + (weightDecay ?? 0) * v, grad, w);
    const square = zip((a, d) => decay * a + (1 - decay) * d * d, rms!, g);
    const scaled = zip((d, s) => (lr * d) / Math.sqrt(s + eps), g, square);
    const m = momentum === null ? scaled : zip((a, s) => momentum * a + s, old!, scaled);
    return {
      w: zip((v, s) => v - s, w, m),
      rms: square,
      ...(momentum !== null && { momentum: m }),
    };
  };
const fromage: Step = ({ w }, grad, { weightDecay, eps = 1e-5 }, lr) => {
  const g = zip((d, v) => d + (weightDecay ?? 0) * v, grad, w);
  const ratio = Math.max(norm(w), eps) / Math.max(norm(g), eps);
  return { w: zip((v, d) => (v - lr * d * ratio) / Math.sqrt(1 + lr * lr), w, g) };
};
const sgd: Step = ({ w, momentum }, g, rule, lr, t) => {
  const settings = { momentum: 0.9, weightDecay: rule.weightDecay ?? null };
  const next = stepF64({ w, m: momentum!, ema: w }, g, { ...settings, clipping: 0.05 }, lr, t);
  return { w: next.w, momentum: next.m };
};

type Made = optim.Optimizer<Params, Readonly<Record<string, Params | Tensor>>>;
interface Trial {
  readonly name: string;
  readonly make: (params: Params) => unknown;
  readonly stepOf: (path: string) => Step;
  readonly rules?: (path: string) => Rule;
  readonly shapes?: Shapes;
  readonly ones?: readonly string[];
}

/** Every buffer of every parameter after several steps; the average, too. */
const against = ({
  name,
  make,
  stepOf,
  rules = () => ({}),
  shapes = mixed,
  ones = [],
}: Trial): Case => ({
  name: `f64: ${name}`,
  async run(gpu) {
    const start = weights(shapes);
    const { live } = gpu.memory();
    const params = inArenas(gpu, start);
    const opt = make(params) as Made;
    const first = (await gpu.read(opt.state as never)) as Record<string, Flat>;
    const at: Record<string, At> = {};
    const ema: Record<string, F64> = {};
    for (const [path, { data, shape }] of Object.entries(start)) {
      const w = f64(shape, data);
      const buffers = Object.entries(first).filter(([, b]) => path in b);
      for (const [buffer, b] of buffers)
        equalBits(
          `${buffer} of '${path}' at first`,
          b[path]!.data,
          b[path]!.data.map(() => (ones.includes(buffer) ? 1 : 0)),
        );
      const zeros = buffers.map(([buffer, b]) => [buffer, f64(shape, b[path]!.data)]);
      at[path] = { w, ...Object.fromEntries(zeros) };
      ema[path] = w;
    }
    for (let t = 0; t < STEPS; t++) {
      const grads = apart(gpu, gradient(shapes, t));
      opt.update(grads, { lr: rate(t), step: t });
      tree.dispose(grads);
      for (const [path, { data, shape }] of Object.entries(gradient(shapes, t))) {
        const rule = rules(path);
        const lr = rate(t) * (rule.lrScale ?? 1);
        at[path] = stepOf(path)(at[path]!, f64(shape, data), rule, lr, t);
        ema[path] = averaged(ema[path]!, at[path].w, EMA.decay, true, t);
      }
    }
    const { step, ...buffers } = opt.state as Record<string, Params> & { step?: Tensor };
    if (step) equal("step", await step.item(), STEPS);
    const got = (await gpu.read({ w: params, ema: opt.ema!, ...buffers })) as Record<string, Flat>;
    for (const [key, found] of Object.entries(got)) {
      const few: [number[], number[]] = [[], []]; // a few values may cancel: judged together
      for (const [path, { data }] of Object.entries(found)) {
        const want = key === "ema" ? ema[path]! : at[path]![key]!;
        assert(want !== undefined, `'${path}' has a ${key} that it should not have`);
        if (data.length < 16) {
          few[0].push(...data);
          few[1].push(...want.data);
        } else near(`${key} of '${path}'`, data, want.data, { tolerance: 3e-7 });
      }
      near(`${key} of the small ones`, few[0], few[1], { tolerance: 3e-7 });
    }
    opt.dispose();
    tree.dispose(params);
    equal("live buffers afterwards", gpu.memory().live, live);
  },
});

const decay = (path: string): Rule =>
  path.endsWith("w") ? { weightDecay: 0.1, lrScale: 0.5 } : { weightDecay: 0.01 };
const groups = [{ match: /w$/, weightDecay: 0.1, lrScale: 0.5 }];
const grouped = { ema: EMA, groups, weightDecay: 0.01 };
const trials: readonly Trial[] = [
  {
    name: "adam",
    make: (p) => optim.adam(p, { ...grouped, ema: EMA }),
    stepOf: () => adam(0.9, 0.999, false),
    rules: decay,
  },
  {
    name: "adamw with other betas",
    make: (p) => optim.adamw(p, { ...grouped, beta1: 0.5, beta2: 0.9, eps: 0.01 }),
    stepOf: () => adam(0.5, 0.9, true),
    rules: (path) => ({ ...decay(path), eps: 0.01 }),
  },
  {
    name: "adam without a first moment",
    make: (p) => optim.adam(p, { beta1: null, ema: EMA }),
    stepOf: () => adam(null, 0.999, false),
  },
  {
    name: "adam without a second moment, long tensors",
    make: (p) => optim.adam(p, { beta2: null, eps: 1e-3, ema: EMA }),
    stepOf: () => adam(0.9, null, false),
    rules: () => ({ eps: 1e-3 }),
    shapes: long,
  },
  {
    name: "rmsprop",
    make: (p) => optim.rmsprop(p, { ...grouped, decay: 0.8, momentum: 0.9, eps: 1e-3 }),
    stepOf: () => rmsprop(0.8, 0.9),
    rules: (path) => ({ ...decay(path), eps: 1e-3 }),
    ones: ["rms"],
  },
  {
    name: "rmsprop without momentum",
    make: (p) => optim.rmsprop(p, { ema: EMA }),
    stepOf: () => rmsprop(0.9, null),
    ones: ["rms"],
  },
  { name: "fromage", make: (p) => optim.fromage(p, grouped), stepOf: () => fromage, rules: decay },
  {
    name: "fromage, long tensors, a large eps",
    make: (p) => optim.fromage(p, { eps: 3, ema: EMA }),
    stepOf: () => fromage,
    rules: () => ({ eps: 3 }),
    shapes: long,
  },
  {
    name: "hybrid: three rules, each with its own buffers",
    make: (p) =>
      optim.hybrid(
        p,
        [
          { optimizer: "adam", match: /(gain|b)$/, weightDecay: 0.01 },
          {
            optimizer: "rmsprop",
            match: ["cube", "rows"],
            decay: 0.8,
            momentum: 0.9,
            lrScale: 0.5,
          },
          { optimizer: "sgdAgc", momentum: 0.9, clipping: 0.05 },
        ],
        { ema: EMA },
      ),
    stepOf: (path) =>
      /(gain|b)$/.test(path)
        ? adam(0.9, 0.999, false)
        : ["cube", "rows"].includes(path)
          ? rmsprop(0.8, 0.9)
          : sgd,
    rules: (path) =>
      /(gain|b)$/.test(path)
        ? { weightDecay: 0.01 }
        : ["cube", "rows"].includes(path)
          ? { lrScale: 0.5 }
          : {},
    ones: ["rms"],
  },
];

const small: Shapes = { w: [3, 4], b: [4], deep: [6, 2] };
const makers: Readonly<Record<string, (p: Params) => Made>> = {
  adam: (p) => optim.adam(p, { ema: EMA }) as unknown as Made,
  adamw: (p) => optim.adamw(p, { weightDecay: 0.1 }) as unknown as Made,
  rmsprop: (p) => optim.rmsprop(p, { momentum: 0.9 }) as unknown as Made,
  fromage: (p) => optim.fromage(p) as unknown as Made,
  hybrid: (p) =>
    optim.hybrid(p, [{ optimizer: "adam", match: ["b"] }, { optimizer: "fromage" }]) as Made,
  agc: (p) => optim.agc(optim.adam(p), { ignore: ["b"] }) as unknown as Made,
};
/** Steps in a recording and one by one, bit for bit. */
const recorded = Object.entries(makers).map(
  ([name, make]): Case => ({
    name: `${name}: replayed steps give the bits of eager ones, also when the learning rate changes`,
    async run(gpu) {
      const both: Flat[] = [];
      for (const replay of [true, false]) {
        const params = inArenas(gpu, weights(small));
        const opt = make(params);
        const step = gpu.record(
          (grads: Params, lr: Tensor, itr: Tensor) => opt.update(grads, { lr, step: itr }),
          { replay },
        );
        for (let t = 0; t < 5; t++) step(gradient(small, t) as never, rate(t), t);
        both.push((await gpu.read(params)) as Flat);
        step.dispose();
        opt.dispose();
        tree.dispose(params);
      }
      for (const path of Object.keys(small))
        equalBits(path, both[0]![path]!.data, both[1]![path]!.data);
    },
  }),
);

const dispatchCounts: Case = {
  name: "optimizers take a constant number of dispatches, however many parameters there are",
  async run(gpu) {
    const many = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`p${i}`, [i + 1, 3]]));
    const wanted: Record<string, number> = { adam: 2, adamw: 2, rmsprop: 1, fromage: 2 };
    for (const [name, dispatches] of Object.entries(wanted)) {
      for (const shapes of [small, many]) {
        const params = inArenas(gpu, weights(shapes));
        const opt = makers[name]!(params);
        const grads = inArenas(gpu, gradient(shapes, 0));
        const [lr, step] = [gpu.tensor(Float32Array.of(0.1), []), gpu.zeros([])];
        const made = await counted(gpu, () => opt.update(grads, { lr, step }));
        equal(`${name}: dispatches`, made.dispatches, dispatches);
        opt.dispose();
        tree.dispose([params, grads, lr, step]);
      }
    }
  },
};

export const cases: readonly Case[] = [...trials.map(against), ...recorded, dispatchCounts];
