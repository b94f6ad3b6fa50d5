// Cases of how optimizers are used: recordings, gradients from anywhere, averages, saved state. The kernels' values are
// judged in sgdAgc.ts, what optimizers refuse in optimRules.ts.
import { type Gpu, RecordError, type Tensor, tree, valueAndGrad } from "../../src/index.ts";
import * as optim from "../../src/optim/index.ts";
import { scale } from "../core/toy.ts";
import { type Case, counted, equal, equalBits, near, throws } from "../harness.ts";
import { f64 } from "../oracle.ts";
import {
  apart,
  averaged,
  type Flat,
  gradient,
  inArenas,
  long,
  mixed,
  type Params,
  weights,
} from "../sgd.ts";

const shapes = { ...mixed, vector: long.vector! };
const options: optim.SgdAgcOptions = {
  momentum: 0.9,
  nesterov: true,
  weightDecay: 0.01,
  ema: { decay: 0.9 },
};
/** A model small enough to write down. */
const small = { w: [3, 4], b: [4] } as const;
const lrAt = (step: number): number => 0.1 / (1 + step);

/** Six steps in one way or another; all that they leave behind. */
async function train(gpu: Gpu, update: (opt: optim.Optimizer<Params>, step: number) => void) {
  const params = inArenas(gpu, weights(shapes));
  const opt = optim.sgdAgc(params, options);
  const memory: string[] = [];
  for (let step = 0; step < 6; step++) {
    update(opt, step);
    await gpu.sync();
    memory.push(JSON.stringify(gpu.memory()));
  }
  const left = { params, ...opt.state, ema: opt.ema! };
  const host = (await gpu.read(left)) as unknown as Record<string, Flat>;
  opt.dispose();
  tree.dispose(params);
  return { host, memory };
}
function same(what: string, a: Record<string, Flat>, b: Record<string, Flat>): void {
  for (const [key, flat] of Object.entries(a))
    for (const [name, { data }] of Object.entries(flat))
      equalBits(`${what}: ${key} of '${name}'`, b[key]![name]!.data, data);
}

export const cases: readonly Case[] = [
  {
    name: "eager and replayed steps with a changing learning rate give equal bits",
    async run(gpu) {
      const eager = await train(gpu, (opt, step) => {
        const grads = apart(gpu, gradient(shapes, step));
        opt.update(grads, { lr: lrAt(step), step });
        tree.dispose(grads);
      });
      for (const replay of [false, true]) {
        let recorded: ReturnType<typeof record> | undefined;
        const record = (opt: optim.Optimizer<Params>) =>
          gpu.record((grads: Params, lr: Tensor, step: Tensor) => opt.update(grads, { lr, step }), {
            name: "update",
            replay,
          });
        const { host, memory } = await train(gpu, (opt, step) => {
          recorded ??= record(opt);
          recorded(gradient(shapes, step), lrAt(step), step);
        });
        same(replay ? "replayed" : "not replayed", eager.host, host);
        equal("memory from step to step", memory[5], memory[3]);
        recorded!.dispose();
      }
      equal("memory from step to step", eager.memory[5], eager.memory[3]);
    },
  },
  {
    name: "a number is a constant of a recording",
    async run(gpu) {
      const params = inArenas(gpu, weights(small));
      const opt = optim.sgd(params);
      let lr = 0.1;
      const step = gpu.record((grads: Params) => opt.update(grads, { lr }), { name: "step" });
      step(gradient(small, 0));
      lr = 0.2;
      await throws("another rate", () => step(gradient(small, 0)), RecordError, /step/, /0\.2/);
      step.dispose();
      opt.dispose();
      tree.dispose(params);
    },
  },
  {
    name: "gradients of valueAndGrad are used where they lie",
    async run(gpu) {
      const params = inArenas(gpu, { w: { data: Float32Array.of(3), shape: [] } });
      const opt = optim.sgd(params, { momentum: 0.5 });
      const lossAndGrad = valueAndGrad((p: Params) => scale(p.w!, { by: 4 }));
      for (const expected of [3 - 0.25 * 4, 3 - 0.25 * 4 - 0.25 * 6]) {
        const { grads } = lossAndGrad(params);
        await gpu.sync();
        const { copies } = gpu.counts();
        opt.update(grads, { lr: 0.25 });
        await gpu.sync();
        equal("copies", gpu.counts().copies, copies);
        equal("w", await params.w!.item(), expected);
      }
      opt.dispose();
      tree.dispose(params);
    },
  },
  {
    name: "an optimizer that is made in a scope outlives it",
    async run(gpu) {
      const params = apart(gpu, weights(small)); // a buffer each: state is made in the scope too
      let made: { opt: optim.Optimizer<Params>; alone: optim.Ema<Params> } | undefined;
      gpu.scope<void>(() => {
        made = { opt: optim.sgdAgc(params, options), alone: optim.ema(params, { decay: 0.5 }) };
      });
      const { opt, alone } = made!;
      const grads = apart(gpu, gradient(small, 0));
      opt.update(grads, { lr: 0.1, step: 0 });
      alone.update({ step: 0 });
      await gpu.read({ ...(opt.ema as Params) });
      opt.dispose();
      alone.dispose();
      tree.dispose([params, grads]);
    },
  },
  {
    name: "other leaves of the gradients are not looked at, parameters outside stay",
    async run(gpu) {
      const params = inArenas(gpu, weights(mixed));
      const part = { "fc/w": params["fc/w"]!, "conv/w": params["conv/w"]! };
      const opt = optim.sgdAgc(part as Params);
      const grads = apart(gpu, gradient(mixed, 0));
      opt.update(grads, { lr: 1 });
      for (const [name, { data }] of Object.entries(weights(mixed))) {
        const is = await params[name]!.data();
        if (name in part)
          equal(
            `'${name}' moved`,
            is.some((v, i) => v !== data[i]),
            true,
          );
        else equalBits(`'${name}'`, is, data);
      }
      opt.dispose();
      tree.dispose([params, grads]);
    },
  },
  {
    name: "an average alone is the fused one, and both are f64's",
    async run(gpu) {
      for (const warmup of [true, false]) {
        const ema = { decay: 0.97, warmup };
        const params = inArenas(gpu, weights(shapes));
        const opt = optim.sgd(params, { ema });
        const alone = optim.ema(params, ema);
        const grads = apart(gpu, gradient(shapes, 0));
        const at = Object.entries(weights(shapes)).map(([name, { data, shape }]) => {
          const w = f64(shape, data);
          return { name, w, ema: w };
        });
        for (let step = 0; step < 3; step++) {
          opt.update(grads, { lr: 0.1, step });
          const { dispatches } = await counted(gpu, () => alone.update({ step }));
          equal("dispatches", dispatches, 1);
          for (const one of at) {
            const now = f64(one.w.shape, await params[one.name]!.data());
            one.ema = averaged(one.ema, now, ema.decay, warmup, step);
          }
        }
        for (const one of at) {
          const fused = await opt.ema![one.name]!.data();
          near(`'${one.name}'`, fused, one.ema.data, { tolerance: 3e-7 });
          equalBits(`'${one.name}'`, await alone.params[one.name]!.data(), fused);
        }
        opt.dispose();
        alone.dispose();
        tree.dispose([params, grads]);
      }
    },
  },
  {
    name: "state is saved and loaded by name",
    async run(gpu) {
      const [a, b] = [inArenas(gpu, weights(mixed)), inArenas(gpu, weights(mixed), 2048)];
      const [first, second] = [a, b].map((p) => optim.sgdAgc(p, { momentum: 0.9 }));
      const grads = apart(gpu, gradient(mixed, 0));
      first!.update(grads, { lr: 0.1 });
      const saved = await gpu.read({ params: a, opt: first!.state as { momentum: Params } });
      equal(
        "paths",
        tree.leaves(first!.state).map((l) => l.path),
        Object.keys(mixed).map((n) => `momentum/${n}`),
      );
      gpu.assign({ params: b, opt: second!.state as { momentum: Params } }, saved);
      for (const [p, opt] of [
        [a, first!],
        [b, second!],
      ] as const) {
        opt.update(grads, { lr: 0.1 });
        opt.dispose();
        if (p === b)
          same("continued", { w: (await gpu.read(a)) as Flat }, { w: (await gpu.read(b)) as Flat });
      }
      tree.dispose([a, b, grads]);
    },
  },
];
