// Cases of what a replay uses in place: constants, captured tensors, memory that other recordings share.
import { type Tensor, tree, valueAndGrad, vjp } from "../../src/index.ts";
import { type Case, equal, equalBits } from "../harness.ts";
import { f32, flat, params } from "./net.ts";
import { add, mul, relu, scale, sum } from "./toy.ts";

export const cases: readonly Case[] = [
  {
    name: "constants made inside are replayed",
    async run(gpu) {
      const f = gpu.record((x: Tensor) => {
        const c = gpu.tensor(f32(10, 20));
        const h = mul(x, c);
        return add(h, gpu.tensor(f32(1, 2)));
      });
      for (let i = 0; i < 5; i++) equalBits("values", await f(f32(i, 1)).data(), [10 * i + 1, 22]);
      f.dispose();
    },
  },
  {
    name: "constants made inside after memory was given back, in scopes and in gradients",
    async run(gpu) {
      const w = gpu.tensor(f32(3, 4));
      const f = gpu.record((x: Tensor) => {
        const early = gpu.scope(() => scale(scale(scale(x, { by: 1 }), { by: 1 }), { by: 1 }));
        early.dispose();
        const late = gpu.tensor(f32(10, 20)); // must not get what the scales have used
        const scoped = gpu.scope(() => mul(x, gpu.tensor(f32(1, 2))));
        const { grads } = valueAndGrad((p: { w: Tensor }) => {
          const one = gpu.tensor(f32(5, 6));
          const y = mul(p.w, one);
          one.dispose();
          return sum(mul(y, x));
        })({ w });
        return add(add(mul(x, late), scoped), grads.w);
      });
      for (let i = 0; i < 5; i++) {
        const noise = gpu.scope(() => [1, 2, 3, 4].map((v) => scale(w, { by: v })));
        equalBits(`call ${i}`, await f(f32(i, 1)).data(), [10 * i + i + 5 * i, 20 + 2 + 6]);
        tree.dispose(noise);
      }
      f.dispose();
      w.dispose();
    },
  },
  {
    name: "recordings of other shapes leave alone what was given back",
    async run(gpu) {
      const f = gpu.record((x: Tensor) => {
        const h = scale(x, { by: 2 });
        return gpu.scope(() => scale(scale(scale(h, { by: 2 }), { by: 2 }), { by: 2 }));
      });
      const [flatShape, column] = [[16], [16, 1]];
      const data = new Float32Array(16).fill(1);
      const run = async (shape: number[], v: number) =>
        equalBits(
          `[${shape}] of ${v}`,
          await f({ data: data.map(() => v), shape }).data(),
          data.map(() => 16 * v),
        );
      for (const v of [1, 2, 3]) await run(flatShape, v);
      for (const v of [4, 5, 6]) await run(column, v);
      const others = [1, 2, 3, 4].map((v) => gpu.tensor(data.map(() => v)));
      for (const v of [7, 8]) {
        await run(flatShape, v);
        await run(column, v);
      }
      for (const [i, t] of others.entries())
        equalBits(
          `tensor ${i}`,
          await t.data(),
          data.map(() => i + 1),
        );
      f.dispose();
      tree.dispose(others);
    },
  },
  {
    name: "captured tensors are used and updated in place",
    async run(gpu) {
      const w = gpu.tensor(f32(1, 1));
      const f = gpu.record((x: Tensor) => {
        const y = mul(x, w);
        gpu.assign(w, y);
        return y;
      });
      const out: number[] = [];
      for (let i = 0; i < 5; i++) out.push(...(await f(f32(2, 3)).data()));
      equal("powers", out, [2, 3, 4, 9, 8, 27, 16, 81, 32, 243]);
      gpu.assign(w, { data: f32(1, 10), shape: [2] });
      equalBits("after assign from outside", await f(f32(2, 3)).data(), [2, 30]);
      equalBits("the tensor", await w.data(), [2, 30]);
      f.dispose();
      w.dispose();
    },
  },
  {
    name: "running statistics by assign: eager = replay",
    async run(gpu) {
      const run = async (replay: boolean) => {
        const s = params(gpu, {
          mean: { data: new Float32Array(4), shape: [4] },
          old: { data: new Float32Array(4).fill(9), shape: [4] },
        });
        const f = gpu.record(
          (v: Tensor) => {
            gpu.assign(s.old, s.mean); // two places of one arena
            gpu.assign(s.mean, mul(add(v, s.mean), v));
            return scale(s.old, { by: 2 });
          },
          { replay },
        );
        const out: number[] = [];
        for (let i = 0; i < 6; i++) out.push(...(await f(f32(1, i, 0.3, -1)).data()));
        gpu.assign(s, { mean: f32(1, 2, 3, 4), old: s.mean });
        out.push(...(await f(f32(1, 1, 1, 1)).data()), ...(await flat(s)));
        f.dispose();
        tree.dispose(s);
        return out;
      };
      equalBits("statistics", await run(true), await run(false));
    },
  },
  {
    name: "a recording inside a recording is part of it",
    async run(gpu) {
      const inner = gpu.record((x: Tensor) => relu(x, { gain: 3 }), { name: "inner" });
      const outer = gpu.record((x: Tensor) => add(inner(x), inner(scale(x, { by: 2 }))));
      for (let i = 0; i < 4; i++) equalBits("values", await outer(f32(i)).data(), [9 * i]);
      equalBits("inner alone", await inner(f32(2)).data(), [6]);
      outer.dispose();
      equalBits("after outer is disposed", await inner(f32(3)).data(), [9]);
      inner.dispose();
    },
  },
  {
    name: "what nobody reads is left out of a recording, what can be seen from outside is not",
    async run(gpu) {
      const x = gpu.tensor(f32(1, 2));
      const seen = gpu.tensor(f32(0, 0));
      const count = async (f: () => unknown) => {
        for (let i = 0; i < 2; i++) f();
        await gpu.sync();
        const before = gpu.counts();
        f();
        await gpu.sync();
        const after = gpu.counts();
        return [after.dispatches - before.dispatches, after.copies - before.copies];
      };
      const gradient = gpu.record(() => vjp((a: Tensor) => mul(a, x))(x, seen).grads);
      equal("a gradient without its value", await count(gradient), [1, 0]);
      const both = gpu.record(() => {
        const { value, grads } = vjp((a: Tensor) => mul(a, x))(x, seen);
        return { value, grads };
      });
      equal("and with it", await count(both), [2, 0]);
      const chain = gpu.record(() => {
        scale(scale(x, { by: 2 }), { by: 2 });
        return scale(x, { by: 2 });
      });
      equal("a chain of which nothing is returned", await count(chain), [1, 0]);
      const assigned = gpu.record(() => {
        gpu.assign({ seen }, { seen: scale(x, { by: 3 }) });
      });
      equal("memory from outside", await count(assigned), [1, 1]);
      equalBits("what was written there", await seen.data(), [3, 6]);
      equalBits("the gradient", await gradient().data(), [3, 12]);
      for (const f of [gradient, both, chain, assigned]) f.dispose();
      tree.dispose({ x, seen });
    },
  },
  {
    name: "short replays share a submit, and are submitted though nobody waits",
    async run(gpu) {
      const x = gpu.tensor(f32(1, 2));
      const f = gpu.record(() => scale(x, { by: 2 }));
      for (let i = 0; i < 3; i++) await f().data();
      const before = gpu.counts();
      for (let i = 0; i < 10; i++) f();
      equal("submits at once", gpu.counts().submits - before.submits, 0);
      for (let i = 0; i < 100 && gpu.counts().submits === before.submits; i++)
        await new Promise((done) => setTimeout(done, 20));
      equal("submits soon", gpu.counts().submits - before.submits, 1);
      equal("dispatches", gpu.counts().dispatches - before.dispatches, 10);
      f.dispose();
      x.dispose();
    },
  },
  {
    name: "arguments of replays that nobody waited for stay in order, small ones and large ones",
    async run(gpu) {
      const sizes = [4, 2 ** 17];
      const totals = sizes.map((n) => gpu.zeros([n]));
      const adds = totals.map((total) =>
        gpu.record((x: Tensor) => gpu.assign(total, add(scale(total, { by: 3 }), x))),
      );
      const expected = sizes.map(() => 0);
      for (let i = 0; i < 12; i++) {
        for (const [k, n] of sizes.entries()) {
          adds[k]!(new Float32Array(n).fill(i + k));
          expected[k] = 3 * expected[k]! + i + k;
        }
      }
      for (const [k, total] of totals.entries()) {
        const data = await total.data();
        equalBits(`${sizes[k]} values`, [data[0]!, data.at(-1)!], [expected[k]!, expected[k]!]);
        adds[k]!.dispose();
      }
      tree.dispose(totals);
    },
  },
];
