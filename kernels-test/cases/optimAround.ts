// Cases of what stands around an optimizer: clipping before it, sharpness-aware steps, and what all refuse.
import {
  type Gpu,
  OptionError,
  ops,
  optim,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { assert, type Case, equal, equalBits, near, throws, values } from "../harness.ts";
import { f64 } from "../oracle.ts";
import {
  apart,
  clipped,
  type Flat,
  gradient,
  inArenas,
  long,
  mixed,
  type Params,
  type Shapes,
  weights,
} from "../sgd.ts";

const rate = (step: number): number => 0.05 / (1 + step);
const small: Shapes = { w: [3, 4], b: [4], deep: [6, 2] };

const around: readonly Case[] = [
  {
    name: "agc before sgd is sgdAgc; ignored parameters are not clipped; gradients stay as they are",
    async run(gpu) {
      const grads = inArenas(gpu, gradient(mixed, 0));
      const before = (await gpu.read(grads)) as Flat;
      const [a, b] = [inArenas(gpu, weights(mixed)), inArenas(gpu, weights(mixed))];
      const options = { momentum: 0.9, weightDecay: 0.1 };
      const ignore = ["fc", "skip", /gain$/];
      const one = optim.agc(optim.sgd(a, options), { clipping: 0.02, ignore });
      const match = (path: string) => /^fc\/|^skip$|gain$/.test(path);
      const two = optim.sgdAgc(b, {
        ...options,
        clipping: 0.02,
        groups: [{ match, clipping: null }],
      });
      for (let t = 0; t < 2; t++) for (const opt of [one, two]) opt.update(grads, { lr: 0.1 });
      const [x, y, after] = [await gpu.read(a), await gpu.read(b), await gpu.read(grads)];
      for (const path of Object.keys(mixed)) {
        equalBits(path, x[path]!.data, y[path]!.data);
        equalBits(`gradient of ${path}`, (after as Flat)[path]!.data, before[path]!.data);
      }
      equal("state", one.state.momentum === undefined, false);
      one.dispose();
      two.dispose();
      tree.dispose([a, b, grads]);
    },
  },
  {
    name: "adaptiveGradClip: both rules, long units, what is equal and what is not finite",
    async run(gpu) {
      for (const shapes of [mixed, long]) {
        const params = inArenas(gpu, weights(shapes));
        const grads = inArenas(gpu, gradient(shapes, 1));
        for (const rule of ["optim", "optax"] as const) {
          const clip = optim.adaptiveGradClip(params, { clipping: 0.05, eps: 1e-3, rule });
          const got = (await gpu.read(clip(grads))) as Flat;
          for (const [path, { data, shape }] of Object.entries(gradient(shapes, 1))) {
            const w = weights(shapes)[path]!;
            const want = clipped(f64(w.shape, w.data), f64(shape, data), 0.05, 1e-3);
            near(`${rule} ${path}`, got[path]!.data, want.data, { tolerance: 2e-7 });
          }
          clip.dispose();
        }
        tree.dispose([params, grads]);
      }
      // A norm of 1 against most of 1, and a NaN beside a number.
      const w = { even: values([4, 0], [2, 1]), nan: values([1, 1, 1, 1], [2, 2]) };
      const g = { even: values([0, 1], [2, 1]), nan: values([Number.NaN, 0.1, 3, 0.1], [2, 2]) };
      const [params, grads] = [inArenas(gpu, w as Flat), inArenas(gpu, g as Flat)];
      const run = async (rule: "optim" | "optax") => {
        const clip = optim.adaptiveGradClip(params, { clipping: 0.25, eps: 0, rule });
        const got = (await gpu.read(clip(grads))) as Flat;
        clip.dispose();
        return [...got.even!.data, ...got.nan!.data].map(String);
      };
      equal("optim", await run("optim"), [
        "0",
        "1",
        "NaN",
        String(Math.fround(0.1)),
        "3",
        String(Math.fround(0.1)),
      ]);
      equal("optax", await run("optax"), [
        "0",
        "1",
        "NaN",
        String(Math.fround(0.1)),
        "NaN",
        String(Math.fround(0.1)),
      ]);
      tree.dispose([params, grads]);
    },
  },
  {
    name: "agc goes before an optimizer of one's own",
    async run(gpu) {
      const params = inArenas(gpu, weights(small));
      const seen: number[] = [];
      const own = {
        params,
        update(grads: Params, { lr }: { lr: optim.Scalar }) {
          seen.push(lr as number);
          gpu.scope<void>(() =>
            gpu.assign(
              params,
              tree.map(grads, (t) => ops.mul(t, 2)),
            ),
          );
        },
      };
      const opt = optim.agc(own, { clipping: 0.5 });
      const grads = inArenas(gpu, gradient(small, 0));
      const clip = optim.adaptiveGradClip(params, { clipping: 0.5 });
      const want = (await gpu.read(clip(grads))) as Flat;
      opt.update(grads, { lr: 0.25 });
      equal("lr", seen, [0.25]);
      const got = (await gpu.read(params)) as Flat;
      for (const path of Object.keys(small))
        equalBits(
          path,
          got[path]!.data,
          want[path]!.data.map((v) => 2 * v),
        );
      (opt as unknown as { dispose(): void }).dispose();
      clip.dispose();
      tree.dispose([params, grads]);
    },
  },
  {
    name: "unitwiseNorm keeps the axes that it sums",
    async run(gpu) {
      const shapes = {
        conv: [3, 3, 2, 5],
        fc: [4, 3],
        cube: [2, 3, 2],
        bias: [6],
        row: [1, 1, 1, 7],
        one: [],
      };
      const want = { conv: [1, 1, 1, 5], fc: [1, 3], cube: [1, 3, 2], bias: [], row: [], one: [] };
      const t = apart(gpu, weights(shapes));
      for (const [name, shape] of Object.entries(want)) {
        const n = optim.unitwiseNorm(t[name]!);
        equal(name, n.shape, shape);
        n.dispose();
      }
      const three = optim.unitwiseNorm(gpu.tensor(Float32Array.of(1, 2, 2)));
      equal("norm", await three.item(), 3);
      three.dispose();
      tree.dispose(t);
    },
  },
];

/** Loss `sum of c * w^4 / 4`, whose gradient is `c * w^3`. */
const samCases: readonly Case[] = [true, false].map((replay) => ({
  name: `sam against f64, ${replay ? "in a recording" : "step by step"}: uphill, back, and the optimizer's step`,
  async run(gpu: Gpu) {
    const { live } = gpu.memory();
    const shapes: Shapes = { a: [3, 5], b: [7], c: [70, 130] };
    const start = weights(shapes);
    const params = inArenas(gpu, start);
    const loss = (p: Params) =>
      ops.mul(
        Object.values(p)
          .map((t) => ops.sum(ops.square(ops.square(t))))
          .reduce((a, b) => ops.add(a, b)),
        0.25,
      );
    const lossAndGrad = valueAndGrad(loss);
    const opt = optim.sgd(params, { momentum: 0.9 });
    const sharp = optim.sam(opt, { rho: 0.3 });
    const update = (lr: Tensor | number) => sharp.update(() => lossAndGrad(params), { lr });
    const step = gpu.record((lr: Tensor) => update(lr));
    const w = new Map(Object.entries(start).map(([k, h]) => [k, Float64Array.from(h.data)]));
    const m = new Map(Object.entries(start).map(([k, h]) => [k, new Float64Array(h.data.length)]));
    for (let t = 0; t < 4; t++) {
      const value = replay ? step(rate(t)) : update(rate(t));
      const all = [...w.values()].flatMap((v) => [...v]);
      near("loss", [await value.item()], [all.reduce((s, v) => s + v ** 4 / 4, 0)], {
        tolerance: 1e-6,
      });
      const far = 0.3 / Math.sqrt(all.reduce((s, v) => s + v ** 6, 0));
      for (const [path, v] of w) {
        const moved = m.get(path)!;
        v.forEach((x, i) => {
          moved[i] = 0.9 * moved[i]! + (x + far * x ** 3) ** 3;
          v[i] = x - rate(t) * moved[i]!;
        });
      }
    }
    const got = (await gpu.read(params)) as Flat;
    for (const [path, v] of w) near(path, got[path]!.data, v, { tolerance: 1e-6 });
    // rho 0: bit for bit what the optimizer does alone.
    const [a, b] = [inArenas(gpu, start), inArenas(gpu, start)];
    const [x, y] = [optim.sgd(a), optim.sgd(b)];
    const none = optim.sam(x, { rho: 0 });
    none.update(() => lossAndGrad(a), { lr: 0.01 });
    y.update(lossAndGrad(b).grads, { lr: 0.01 });
    const [p, q] = [(await gpu.read(a)) as Flat, (await gpu.read(b)) as Flat];
    for (const path of Object.keys(shapes)) equalBits(path, p[path]!.data, q[path]!.data);
    step.dispose();
    for (const d of [none, sharp, opt, x, y]) d.dispose();
    tree.dispose([params, a, b]);
    await gpu.sync();
    assert(
      gpu.memory().live <= live + 4,
      "little is left: results last until the next call",
      gpu.memory().live - live,
    );
  },
}));

const refusals: Case = {
  name: "optimizers refuse what they cannot take, and leave nothing behind",
  async run(gpu) {
    const params = inArenas(gpu, weights(small));
    const { live } = gpu.memory();
    const own = optim.adam(params);
    await throws(
      "itself",
      () => own.update(params, { lr: 1 }),
      OptionError,
      /'w' is the parameter/,
    );
    equal("no step was counted", await own.state.step.item(), 0);
    own.dispose();
    const bad: readonly [() => unknown, RegExp][] = [
      [
        () => optim.adam(params, { beta1: 1 }),
        /^adam: beta1 is null or a number from 0 to below 1, got 1/,
      ],
      [() => optim.adamw(params, { beta2: -0.1 }), /^adamw: beta2/],
      [() => optim.adam(params, { eps: Number.NaN }), /^adam: eps/],
      [
        () => optim.adam(params, { groups: [{ match: /b/, clipping: 1 }] }),
        /^adam: a group has clipping=1/,
      ],
      [
        () => optim.adam(params, { groups: [{ match: /x/ }] }),
        /groups\[0\] \(\/x\/\) selects no parameter/,
      ],
      [() => optim.rmsprop(params, { decay: 2 }), /^rmsprop: decay is a number from 0 to 1, got 2/],
      [() => optim.rmsprop(params, { momentum: -1 }), /^rmsprop: momentum/],
      [() => optim.fromage(params, { weightDecay: -1 }), /^fromage: weightDecay/],
      [() => optim.sam(optim.sgd(params), { rho: -1 }), /^sam: rho/],
      [
        () => optim.agc(optim.sgd(params), { ignore: ["linear"] }),
        /^agc: ignore: 'linear' matches no parameter; there are w, b, deep/,
      ],
      [
        () => optim.agc(optim.sgd(params), { ignore: [/^x/] }),
        /ignore: '\/\^x\/' matches no parameter/,
      ],
      [() => optim.adaptiveGradClip(params, { clipping: -1 }), /^agc: clipping/],
      [
        () => optim.adaptiveGradClip(params, { rule: "x" as "optax" }),
        /^agc: rule 'x' is none of optim, optax/,
      ],
      [
        () => optim.hybrid(params, [{ optimizer: "adam", match: ["w"] }]),
        /^hybrid: no group matches b, deep/,
      ],
      [
        () => optim.hybrid(params, [{ optimizer: "lion" as "adam" }]),
        /^hybrid: groups\[0\].optimizer 'lion' is none of sgd, sgdAgc/,
      ],
      [
        () => optim.hybrid(params, [{ optimizer: "adam", clipping: 1 }]),
        /^hybrid: groups\[0\] \(adam\) has clipping=1/,
      ],
      [
        () => optim.hybrid(params, [{ optimizer: "adam" }, { optimizer: "sgd" }]),
        /groups\[1\].*selects no parameter/,
      ],
      [
        () => optim.hybrid(params, [{ optimizer: "adam", match: ["v"] }]),
        /groups\[0\]: no parameter 'v'/,
      ],
    ];
    for (const [make, message] of bad) await throws(`${message}`, make, OptionError, message);
    // sam and agc were given optimizers, which hold their two unused buffers and tables.
    const left = gpu.memory().live - live;
    assert(left <= 3 * 8, `only the optimizers inside are left, ${left} buffers`);
    tree.dispose(params);
  },
};

export const cases: readonly Case[] = [...around, ...samCases, refusals];
