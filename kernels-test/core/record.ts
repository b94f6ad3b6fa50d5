// Cases of record and replay: what recordings give, and how long their results last.
import { type Gpu, ReleasedError, type Tensor, tree, valueAndGrad } from "../../src/index.ts";
import { assert, type Case, equal, equalBits, throws } from "../harness.ts";
import { f32 } from "./net.ts";
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
    name: "host arrays are never walked element by element",
    async run(gpu) {
      const data = new Float32Array(64).fill(1);
      const w = gpu.tensor(f32(1));
      const { entries } = Object;
      let walked = 0;
      Object.entries = ((x: object) => {
        if (ArrayBuffer.isView(x)) walked++;
        return entries(x);
      }) as typeof entries;
      try {
        const f = gpu.record((b: { x: Tensor }, y: Tensor) => add(b.x, y));
        for (let i = 0; i < 3; i++) await f({ x: data }, { data, shape: [64] }).data();
        f.dispose();
        const g = valueAndGrad(
          (p: { w: Tensor }, x: Tensor) => [sum(mul(p.w, x)), { x, host: data }] as const,
        ) as unknown as (p: object, x: unknown) => { aux: { host: unknown } };
        const result = gpu.scope(() => g({ w }, f32(3)) as never) as { aux: { host: unknown } };
        equal("a host array in a result stays one", result.aux.host === data, true);
        tree.dispose([w, result]);
      } finally {
        Object.entries = entries;
      }
      equal("walks", walked, 0);
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
