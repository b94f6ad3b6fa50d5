// Cases of record and replay: what recordings give, what they refuse, what they catch at the second call.
import {
  type Gpu,
  RecordError,
  ReleasedError,
  ShapeError,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { assert, type Case, equal, equalBits, throws } from "../harness.ts";
import { batch, flat, initNet, lossOf, momentum, params } from "./net.ts";
import { add, dropout, elementwise, mul, relu, scale, sum } from "./toy.ts";

const doubled = (gpu: Gpu) =>
  gpu.record(function doubled(x: Tensor) {
    return relu(x, { gain: 2 });
  });
const f32 = (...v: number[]) => Float32Array.from(v);

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
    name: "a baked learning rate is an error at the second call",
    async run(gpu) {
      const p = initNet(gpu, 3);
      const { x, y } = batch(1);
      const opt = momentum(gpu, p);
      const lossAndGrad = valueAndGrad(lossOf);
      let i = 0;
      const step = gpu.record(function baked(xs: Tensor, ys: Tensor) {
        const { value, grads } = lossAndGrad(p, xs, ys);
        opt.update(grads, { lr: 0.1 / ++i });
        return value;
      });
      await step(x, y).item();
      const before = await flat(p);
      await throws("host data", () => step(x, y), RecordError, /^baked/, /argument/);
      equalBits("the failed call did nothing", await flat(p), before);
      let k = 0;
      const scaled = gpu.record(function bakedParam(v: Tensor) {
        return scale(v, { by: ++k });
      });
      scaled(f32(1));
      await throws("a Params value", () => scaled(f32(1)), RecordError, /f=1\b/, /f=2\b/);
      step.dispose();
      scaled.dispose();
      tree.dispose({ p, state: opt.state });
    },
  },
  {
    name: "a baked seed, a changed branch, another captured tensor",
    async run(gpu) {
      let n = 0;
      const seed = gpu.record(function seeded(x: Tensor) {
        return dropout(x, gpu.tensor(Uint32Array.of(++n)), { rate: 0.5, stream: 0 });
      });
      seed(f32(1, 2));
      await throws("seed", () => seed(f32(1, 2)), RecordError, /^seeded/, /\b1\b/, /\b2\b/);
      let calls = 0;
      const branch = gpu.record(function branch(x: Tensor) {
        return ++calls > 1 ? relu(relu(x, { gain: 1 }), { gain: 1 }) : relu(x, { gain: 1 });
      });
      branch(f32(1));
      await throws("branch", () => branch(f32(1)), RecordError, /^branch/);
      const [a, b] = [gpu.tensor(f32(1)), gpu.tensor(f32(2))];
      let w = a;
      const captured = gpu.record(function captured(x: Tensor) {
        return mul(x, w);
      });
      captured(f32(1));
      w = b;
      await throws("captured", () => captured(f32(1)), RecordError, /^captured/);
      w = a;
      equalBits("the first again", await captured(f32(3)).data(), [3]);
      for (const f of [seed, branch, captured]) f.dispose();
      tree.dispose([a, b]);
    },
  },
  {
    name: "check: false takes the first call's word for it",
    async run(gpu) {
      let k = 0;
      const f = gpu.record((x: Tensor) => scale(x, { by: ++k }), { check: false });
      const out: number[] = [];
      for (let i = 0; i < 4; i++) out.push(await f(f32(5)).item());
      equal("values", out, [5, 5, 5, 5]);
      equal("calls of the function", k, 1);
      f.dispose();
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
    name: "readback, keep, async and a promise inside are refused",
    async run(gpu) {
      const reads = gpu.record(function reads(x: Tensor) {
        void x.data();
        return relu(x, { gain: 1 });
      });
      await throws("data()", () => reads(f32(1)), RecordError, /read/);
      const item = gpu.record(function item(x: Tensor) {
        void sum(x).item();
        return relu(x, { gain: 1 });
      });
      await throws("item()", () => item(f32(1)), RecordError, /read/);
      const keeps = gpu.record((x: Tensor) => gpu.keep(relu(x, { gain: 1 })));
      await throws("keep", () => keeps(f32(1)), RecordError, /keep/);
      const wait = (async (x: Tensor) => {
        await Promise.resolve();
        return x;
      }) as unknown as (x: Tensor) => Tensor;
      const waits = gpu.record(wait, { name: "waits" });
      await throws("async", () => waits(f32(1)), RecordError, /^waits/, /async/);
      const eager = gpu.record(wait, { replay: false, name: "eagerWait" });
      await throws("async, eager", () => eager(f32(1)), RecordError, /async/);
      await throws(
        "async scope",
        () => gpu.scope(() => wait(reads as never)),
        RecordError,
        /async/,
      );
      using after = gpu.scope(() => scale(gpu.tensor(f32(1)), { by: 3 }));
      equalBits("usable after", await after.data(), [3]);
      for (const f of [reads, item, keeps, waits, eager]) f.dispose();
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
    name: "a parameter as an argument, and writes to an argument",
    async run(gpu) {
      const p = params(gpu, { w: { data: f32(1, 2), shape: [2] } });
      const f = gpu.record(function takesParams(q: typeof p) {
        return sum(q.w);
      });
      await throws("a parameter", () => f(p), RecordError, /takesParams/, /parameter/);
      const addOne = elementwise("addOne", { write: ["y"], body: "y[i] += 1.0;" });
      const writes = gpu.record(function writes(x: Tensor) {
        gpu.dispatch(addOne, { y: x }, { n: x.size }, [x.size]);
        return relu(x, { gain: 1 });
      });
      await throws("a kernel's write", () => writes(f32(1)), RecordError, /'y'/, /argument|input/);
      const assigns = gpu.record(function assigns(x: Tensor) {
        gpu.assign(x, { data: f32(1), shape: [1] });
        return relu(x, { gain: 1 });
      });
      await throws("assign", () => assigns(f32(1)), RecordError, /argument|input/);
      equalBits("the parameter afterwards", await p.w.data(), [1, 2]);
      for (const g of [f, writes, assigns]) g.dispose();
      tree.dispose(p);
    },
  },
  {
    name: "an argument as the result",
    async run(gpu) {
      // Its memory is overwritten by the next call; either it is refused, or it has the argument's values.
      const f = gpu.record(function identity(x: Tensor) {
        return x;
      });
      const result = await Promise.resolve()
        .then(() => f(f32(4, 5)).data())
        .catch((e: Error) => e);
      if (result instanceof Error) {
        assert(result instanceof RecordError, "a RecordError", result);
        assert(/identity/.test(result.message), "names the function", result);
      } else equalBits("values", result, [4, 5]);
      f.dispose();
    },
  },
  {
    name: "a captured tensor that is gone",
    async run(gpu) {
      const w = gpu.tensor(f32(2, 2));
      const f = gpu.record(function cap(x: Tensor) {
        return mul(x, w);
      });
      for (let i = 0; i < 3; i++) equalBits("before", await f(f32(1, 2)).data(), [2, 4]);
      w.dispose();
      await throws("after", () => f(f32(1, 2)), ReleasedError, /^cap/, /captured/, /dispose/);
      f.dispose();
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
    name: "a function that throws while it is recorded",
    async run(gpu) {
      let fail = true;
      const w = gpu.tensor(f32(1));
      const f = gpu.record(function moody(x: Tensor) {
        gpu.assign(w, x);
        const y = relu(x, { gain: 2 });
        if (fail) throw new Error("mine");
        return y;
      });
      await throws("the user's error", () => f(f32(5)), Error, /^mine$/);
      equalBits("nothing was done", await w.data(), [1]);
      fail = false;
      for (let i = 0; i < 3; i++) equalBits("then it works", await f(f32(i)).data(), [2 * i]);
      const shape = gpu.record((x: Tensor, y: Tensor) => mul(x, y));
      await throws("an op's error", () => shape(f32(1), f32(1, 2)), ShapeError, /^mul/);
      equalBits("other shapes", await shape(f32(3), f32(2)).data(), [6]);
      f.dispose();
      shape.dispose();
      w.dispose();
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
  {
    name: "what an argument is not",
    async run(gpu) {
      const f = doubled(gpu) as unknown as (x: unknown) => Tensor;
      await throws(
        "data of another length",
        () => f({ data: f32(1, 2), shape: [3] }),
        ShapeError,
        /\[3\]/,
      );
      await throws("empty", () => f(new Float32Array(0)), ShapeError, /positive/);
      const t = gpu.tensor(f32(1));
      t.dispose();
      await throws("released", () => f(t), ReleasedError, /dispose/);
      equalBits("usable after", await f(f32(2)).data(), [4]);
      (f as unknown as { dispose(): void }).dispose();
    },
  },
];
