// Cases of whole training steps: eager and replayed, in turn and at once, on clean and on poisoned memory, give equal
// bits, and the pool's figures stand still. Each opens gpus of its own.
import { type Gpu, type Tensor, tree, valueAndGrad } from "../../src/index.ts";
import { assert, type Case, equal, equalBits } from "../harness.ts";
import { batch, flat, initNet, lossOf, momentum, net, own, trainer } from "./net.ts";
import { mul, scale } from "./toy.ts";

interface Run {
  readonly replay: boolean;
  readonly steps: number;
  readonly debug?: boolean;
  /** Something else uses the pool between steps. */
  readonly noise?: boolean;
}
const train = (gpu: Gpu, { replay, steps, debug = false, noise = false }: Run) => {
  const run = async (g: Gpu) => {
    const p = initNet(g, 3);
    const { step } = trainer(g, p, { replay });
    const losses: number[] = [];
    let early = "";
    let late = "";
    let perStep: Record<string, number> = {};
    for (let i = 0; i < steps; i++) {
      const { x, y } = batch(i);
      const before = g.counts();
      const loss = step(x, y, 0.05 * Math.min(1, (i + 1) / 5), Uint32Array.of(i, 0));
      losses.push(await loss.item());
      const after = g.counts();
      perStep = Object.fromEntries(
        Object.entries(after).map(([k, v]) => [k, v - before[k as keyof typeof before]]),
      );
      if (noise) {
        using junk = g.scope(() =>
          scale(g.tensor(new Float32Array(5000).fill(Number.NaN)), { by: 1 }),
        );
        await junk.data();
      }
      if (i === 3) early = JSON.stringify(g.memory());
    }
    late = JSON.stringify(g.memory());
    return { losses, weights: await flat(p), early, late, perStep };
  };
  return own(gpu, run, debug);
};

/** Training and evaluation with batches of two sizes; what each gives, in its own order. */
const both = (gpu: Gpu, replay: boolean, concurrent: boolean) =>
  own(gpu, async (g) => {
    const p = initNet(g, 3);
    const other = initNet(g, 9);
    const { step } = trainer(g, p, { replay });
    const predict = g.record((x: Tensor) => net(p, x), { replay, name: "predict" });
    const frozen = g.record((x: Tensor) => net(other, x), { replay, name: "frozen" });
    const seen: number[] = [];
    const training = async () => {
      for (let i = 0; i < 12; i++) {
        const { x, y } = batch(i, i % 3 === 2 ? 5 : 16);
        seen.push(await step(x, y, 0.05, Uint32Array.of(i, 1)).item());
        if (i % 4 === 1) seen.push(...(await predict(x).data()));
      }
    };
    const evaluation = async () => {
      const out: number[] = [];
      for (let i = 0; i < 12; i++)
        out.push(...(await frozen(batch(i + 50, i % 2 ? 7 : 16).x).data()));
      return out;
    };
    let evaluated: number[];
    if (concurrent) [, evaluated] = await Promise.all([training(), evaluation()]);
    else {
      await training();
      evaluated = await evaluation();
    }
    return [...seen, ...evaluated, ...(await flat(p))];
  });

export const cases: readonly Case[] = [
  {
    name: "eager and replayed steps: equal bits, and it learns",
    async run(gpu) {
      const eager = await train(gpu, { replay: false, steps: 40 });
      const replayed = await train(gpu, { replay: true, steps: 40, noise: true });
      equalBits("losses", replayed.losses, eager.losses);
      equalBits("weights", replayed.weights, eager.weights);
      const [first, last] = [eager.losses[0]!, eager.losses.at(-1)!];
      assert(last < first * 0.7, "the loss falls by 30 %", `${first} -> ${last}`);
      equal("pool after step 3 and 39, eager", eager.late, eager.early);
      equal("pool after step 3 and 39, replayed", replayed.late, replayed.early);
      equal("new pipelines in the last step", replayed.perStep.pipelines, 0);
      equal("new bind groups in the last step", replayed.perStep.bindGroups, 0);
      equal("new bind groups in the last step, eager", eager.perStep.bindGroups, 0);
      equal("dispatches a step", replayed.perStep.dispatches, eager.perStep.dispatches);
      assert(
        replayed.perStep.submits! <= 3,
        "submits of a replayed step",
        replayed.perStep.submits,
      );
    },
  },
  {
    name: "a poisoned pool gives the same bits",
    async run(gpu) {
      const clean = await train(gpu, { replay: false, steps: 8 });
      const eager = await train(gpu, { replay: false, steps: 8, debug: true });
      const replayed = await train(gpu, { replay: true, steps: 8, debug: true, noise: true });
      equalBits("eager", eager.losses, clean.losses);
      equalBits("replayed", replayed.losses, clean.losses);
      equalBits("weights", replayed.weights, clean.weights);
    },
  },
  {
    name: "pool figures after step 3 and step 300 are equal",
    async run(gpu) {
      for (const replay of [false, true]) {
        const { early, late } = await train(gpu, { replay, steps: 301 });
        equal(replay ? "replayed" : "eager", late, early);
      }
    },
  },
  {
    name: "training and evaluation at once, awaits interleaved",
    async run(gpu) {
      const inTurn = await both(gpu, false, false);
      equalBits("replayed, at once", await both(gpu, true, true), inTurn);
      equalBits("eager, at once", await both(gpu, false, true), inTurn);
    },
  },
  {
    name: "the naive loop, without record or scope, has a constant pool",
    run: (gpu) =>
      own(gpu, async (g) => {
        const p = initNet(g, 5);
        const { x, y } = batch(1);
        const lossAndGrad = valueAndGrad(lossOf);
        const opt = momentum(g, p);
        const losses: number[] = [];
        let early = "";
        for (let i = 0; i < 30; i++) {
          const { value, grads } = lossAndGrad(p, x, y);
          opt.update(grads, { lr: 0.02 });
          losses.push(await value.item());
          if (i === 4) early = JSON.stringify(g.memory());
        }
        equal("pool after step 4 and 29", JSON.stringify(g.memory()), early);
        assert(losses.at(-1)! < losses[0]!, "it learns", losses);
      }),
  },
  {
    name: "unread results do not pile up",
    run: (gpu) =>
      own(gpu, async (g) => {
        const p = initNet(g, 5);
        const { x, y } = batch(1);
        const lossAndGrad = valueAndGrad(lossOf);
        const { step } = trainer(g, p, { replay: true });
        let early = "";
        for (let i = 0; i < 20; i++) {
          lossAndGrad(p, x, y);
          step(x, y, 0.01, Uint32Array.of(i, 0));
          if (i === 4) early = JSON.stringify(g.memory());
        }
        await g.sync();
        equal("pool after step 4 and 19", JSON.stringify(g.memory()), early);
      }),
  },
  {
    name: "gradients of two microbatches in one recording, mixed and gathered",
    run: (gpu) =>
      own(gpu, async (g) => {
        const run = async (replay: boolean) => {
          const p = initNet(g, 5);
          const lossAndGrad = valueAndGrad(lossOf);
          const opt = momentum(g, p);
          const accumulate = g.record(
            (x1: Tensor, y1: Tensor, x2: Tensor, y2: Tensor) => {
              const one = lossAndGrad(p, x1, y1);
              const two = lossAndGrad(p, x2, y2);
              const { w, b } = one.grads.head;
              opt.update(
                { ...one.grads, head: { w: mul(w, two.grads.head.w), b: two.grads.head.b } },
                { lr: 0.01 },
              );
              return [one.value, two.value, b] as const;
            },
            { name: "accumulate", replay },
          );
          const out: number[] = [];
          for (let i = 0; i < 5; i++) {
            const [a, b] = [batch(i), batch(i + 9)];
            for (const t of accumulate(a.x, a.y, b.x, b.y)) out.push(...(await t.data()));
          }
          out.push(...(await flat(p)));
          accumulate.dispose();
          tree.dispose({ p, state: opt.state });
          return out;
        };
        const eager = await run(false);
        assert(eager.every(Number.isFinite), "finite");
        equalBits("replayed", await run(true), eager);
      }),
  },
];
