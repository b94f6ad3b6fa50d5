// Cases of record and replay: what recordings give, and how long their results last.
import { type Gpu, ReleasedError, type Tensor, tree, valueAndGrad } from "../../src/index.ts";
import { assert, type Case, equal, equalBits, throws } from "../harness.ts";
import { f32, flat, params } from "./net.ts";
import { add, dropout, mul, relu, scale, sum } from "./toy.ts";

const doubled = (gpu: Gpu) =>
  gpu.record(function doubled(x: Tensor) {
    return relu(x, { gain: 2 });
  });

export const cases: readonly Case[] = [
  {
    name: "other data, shapes and dtypes",
    async run(gpu) {
      const f = doubled(gpu);
      for (let i = 0; i < 5; i++) equalBits("two", await f(f32(i, -1)).data(), [2 * i, 0]);
      equalBits("another shape", await f(f32(1, 2, 3)).data(), [2, 4, 6]);
      equalBits("the first shape again", await f(f32(-1, 2)).data(), [0, 4]);
      equalBits("a number", await f(4).data(), [8]);
      const t = gpu.tensor(f32(5, 6));
      equalBits("a tensor", await f(t).data(), [10, 12]);
      equalBits(
        "host data with a shape",
        await f({ data: f32(1, 2), shape: [1, 2] }).data(),
        [2, 4],
      );
      const u = gpu.record((x: Tensor, key: Tensor) => dropout(x, key, { rate: 0, stream: 1 }));
      equalBits("u32", await u(f32(1, 2), Uint32Array.of(7)).data(), [1, 2]);
      f.dispose();
      u.dispose();
      t.dispose();
    },
  },
  {
    name: "arguments and results in trees",
    async run(gpu) {
      const f = gpu.record((b: { x: Tensor; list: readonly Tensor[] }, keep: { by: string }) => {
        const y = add(b.x, b.list[0]!);
        return { y, all: [mul(y, y)] as const, by: keep.by };
      });
      for (let i = 0; i < 4; i++) {
        const r = f({ x: f32(i, 1), list: [f32(1, 1)] }, { by: "sum" });
        equalBits("y", await r.y.data(), [i + 1, 2]);
        equalBits("list", await r.all[0].data(), [(i + 1) ** 2, 4]);
        equal("a string comes back", r.by, "sum");
      }
      f.dispose();
    },
  },
  {
    name: "a boolean or a string chooses the recording",
    async run(gpu) {
      const mode = gpu.record((x: Tensor, twice: boolean) => relu(x, { gain: twice ? 2 : 1 }));
      const out: number[] = [];
      for (const b of [true, true, true, false, false, false, true])
        out.push(await mode(f32(1), b).item());
      equal("booleans", out, [2, 2, 2, 1, 1, 1, 2]);
      const named = gpu.record((x: Tensor, k: "one" | "five") =>
        relu(x, { gain: k === "one" ? 1 : 5 }),
      );
      const words: number[] = [];
      for (const k of ["one", "five", "one", "five", "one", "five"] as const)
        words.push(await named(f32(1), k).item());
      equal("strings", words, [1, 5, 1, 5, 1, 5]);
      mode.dispose();
      named.dispose();
    },
  },
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
    name: "readback inside works eagerly",
    async run(gpu) {
      const seen: number[] = [];
      const f = gpu.record(
        (x: Tensor) => {
          const h = relu(x, { gain: 3 });
          void h.data().then((v) => seen.push(...v));
          return relu(h, { gain: 2 });
        },
        { replay: false },
      );
      equalBits("result", await f(f32(1, 2)).data(), [6, 12]);
      equal("seen", seen, [3, 6]);
      f.dispose();
    },
  },
  {
    name: "a result lasts until the next call",
    async run(gpu) {
      for (const replay of [true, false]) {
        const f = gpu.record((x: Tensor) => relu(x, { gain: 2 }), { replay, name: "leased" });
        for (let round = 0; round < 3; round++) {
          const early = f(f32(1, 2));
          const late = f(f32(3, 4));
          await throws("read too late", () => early.data(), ReleasedError, /leased/, /next call/);
          await throws("used too late", () => scale(early, { by: 1 }), ReleasedError, /leased/);
          equalBits("the second result", await late.data(), [6, 8]);
        }
        const pending = f(f32(1, 1)).data();
        f(f32(9, 9));
        equalBits("a read that began before the next call", await pending, [2, 2]);
        const kept = gpu.keep(f(f32(5, 6)));
        f(f32(0, 0));
        equalBits("kept", await kept.data(), [10, 12]);
        kept.dispose();
        f.dispose();
      }
    },
  },
  {
    name: "dispose of a result leaves the recording whole",
    async run(gpu) {
      const f = doubled(gpu);
      for (let i = 0; i < 3; i++) {
        {
          using gone = f(f32(5, 5));
          void gone;
        }
        const other = gpu.tensor(f32(7, 7));
        equalBits("next call", await f(f32(1, 1)).data(), [2, 2]);
        equalBits("another tensor", await other.data(), [7, 7]);
        other.dispose();
      }
      f.dispose();
    },
  },
  {
    name: "its own result as an argument",
    async run(gpu) {
      const f = gpu.record((h: Tensor, x: Tensor) => mul(h, x));
      let h = f(f32(1, 1), f32(2, 3));
      for (let k = 0; k < 4; k++) h = f(h, f32(2, 3));
      equalBits("2^5, 3^5", await h.data(), [32, 243]);
      const eager = gpu.record((v: Tensor, x: Tensor) => mul(v, x), { replay: false });
      let e = eager(f32(1, 1), f32(2, 3));
      for (let k = 0; k < 4; k++) e = eager(e, f32(2, 3));
      equalBits("eager", await e.data(), [32, 243]);
      f.dispose();
      eager.dispose();
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
    name: "dispose of a recording gives its memory back",
    async run(gpu) {
      const live = gpu.memory().live;
      const f = doubled(gpu);
      for (const n of [1, 1, 1, 100, 100, 5000]) await f(new Float32Array(n).fill(1)).data();
      assert(gpu.memory().live > live, "a recording holds memory", gpu.memory().live);
      f.dispose();
      equal("live afterwards", gpu.memory().live, live);
      equalBits("it can be recorded again", await f(f32(1, 2)).data(), [2, 4]);
      f.dispose();
      equal("live at the end", gpu.memory().live, live);
    },
  },
];
