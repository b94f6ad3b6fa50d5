// Cases of ownership: who gives memory back, when, and what is said to those who come too late.
import {
  type Gpu,
  grad,
  ReleasedError,
  remat,
  ShapeError,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { assert, type Case, equal, equalBits, throws, values } from "../harness.ts";
import { batch, f32, initNet, lossOf, own, params, pick } from "./net.ts";
import { mul, scale, sum } from "./toy.ts";

/** Bytes of the pool after three calls of 20 blocks of 5 ops on 256 KiB. */
const chain = (gpu: Gpu, block: "plain" | "scope" | "remat", train: boolean) =>
  own(
    gpu,
    async (g) => {
      const p = params(g, { w: { data: new Float32Array(65536).fill(1), shape: [256, 256] } });
      const body = (x: Tensor): Tensor => {
        let h = x;
        for (let i = 0; i < 4; i++) h = scale(h, { by: 1 });
        return mul(h, h);
      };
      const rebuilt = remat(body);
      const all = (x: Tensor): Tensor => {
        let h = x;
        for (let i = 0; i < 20; i++) {
          const v = h;
          h = block === "scope" ? g.scope(() => body(v)) : block === "remat" ? rebuilt(v) : body(v);
        }
        return pick(h);
      };
      const f = train
        ? g.record(() => valueAndGrad((q: typeof p) => all(q.w))(p).value)
        : g.record(() => all(p.w));
      for (let i = 0; i < 3; i++) equal("value", await f().item(), 64);
      return g.memory().bytes;
    },
    false,
  );

/** The first line of this stack that has a place. */
const here = () => new Error().stack?.split("\n").find((line) => /:\d+/.test(line));
const fileIn = (line = "") =>
  /([\w.-]+\.\w+)(\?[^:]*)?:\d+:\d+/.exec(line)?.[1] ?? `no file: ${line}`;

export const cases: readonly Case[] = [
  {
    name: "a scope keeps only what it returns",
    async run(gpu) {
      const live = gpu.memory().live;
      let inner: Tensor | undefined;
      const { y, list } = gpu.scope(() => {
        const x = gpu.tensor(f32(1, 2));
        inner = scale(x, { by: 3 });
        return { y: scale(inner, { by: 2 }), list: [gpu.scope(() => scale(x, { by: 5 }))] };
      });
      equal("live", gpu.memory().live, live + 2);
      equalBits("y", await y.data(), [6, 12]);
      equalBits("from a scope in the scope", await list[0]!.data(), [5, 10]);
      await throws("the rest", () => inner!.data(), ReleasedError, /scale/, /\[2\]/, /gpu\.scope/);
      tree.dispose([y, list]);
      equal("live at the end", gpu.memory().live, live);
    },
  },
  {
    name: "a scope returns what it was given, and null, and nothing",
    async run(gpu) {
      const x = gpu.tensor(f32(1, 2));
      equal("the same tensor", gpu.scope(() => x) === x, true);
      equal(
        "null",
        gpu.scope(() => null),
        null,
      );
      equal(
        "nothing",
        gpu.scope(() => undefined),
        undefined,
      );
      equalBits("still there", await x.data(), [1, 2]);
      x.dispose();
    },
  },
  {
    name: "functions that fail give everything back",
    async run(gpu) {
      const p = initNet(gpu, 5);
      const { x, y } = batch(1);
      const [xs, ys] = [gpu.tensor(x), gpu.tensor(y)];
      const live = gpu.memory().live;
      const mine = () => {
        throw new Error("mine");
      };
      for (let i = 0; i < 3; i++) {
        const scoped = () =>
          gpu.scope(() => {
            scale(xs, { by: 2 });
            mine();
          });
        await throws("scope", scoped, Error, /^mine$/);
        const f = () =>
          valueAndGrad((q: typeof p) => {
            lossOf(q, xs, ys);
            return mine() as unknown as Tensor;
          })(p);
        await throws("valueAndGrad", f, Error, /^mine$/);
        for (const replay of [true, false]) {
          const g = () =>
            gpu.record(
              () => {
                valueAndGrad(lossOf)(p, xs, ys);
                mine();
              },
              { replay },
            )();
          await throws(`record, replay ${replay}`, g, Error, /^mine$/);
        }
        const shapes = () => gpu.scope(() => mul(scale(xs, { by: 2 }), ys));
        await throws("an op in a scope", shapes, ShapeError, /^mul/);
        equal("live", gpu.memory().live, live);
      }
      tree.dispose([p, xs, ys]);
    },
  },
  {
    name: "keep makes a tensor the caller's",
    async run(gpu) {
      let kept: Tensor | undefined;
      gpu.scope(() => {
        kept = gpu.keep(scale(gpu.tensor(f32(1, 2)), { by: 2 }));
        return null;
      });
      equalBits("from a scope", await kept!.data(), [2, 4]);
      const p = params(gpu, { w: values([1, 2, 3]) });
      let activation: Tensor | undefined;
      const g = gpu.scope(() =>
        grad((q: typeof p) => {
          const h = mul(q.w, q.w);
          activation = gpu.keep(h);
          return sum(h);
        })(p),
      );
      equalBits("from a gradient", await activation!.data(), [1, 4, 9]);
      equalBits("the gradient", await g.w.data(), [2, 4, 6]);
      tree.dispose([kept, p, g, activation]);
    },
  },
  {
    name: "dispose, twice, and use after it",
    async run(gpu) {
      const t = gpu.tensor(f32(1, 2));
      const view = scale(t, { by: 1 });
      t.dispose();
      t.dispose();
      await throws("data()", () => t.data(), ReleasedError, /^data\(\)/, /tensor \[2\]/, /dispose/);
      await throws("an op", () => mul(view, t), ReleasedError, /^mul/, /dispose/);
      await throws("keep", () => gpu.keep(t), ReleasedError, /keep/);
      await throws("assign", () => gpu.assign(t, f32(1, 2)), ReleasedError, /assign/);
      await throws("read", () => gpu.read({ t }), ReleasedError);
      view.dispose();
    },
  },
  {
    name: "dispose of a tensor that a tape still reads",
    async run(gpu) {
      const p = params(gpu, { w: values([1, 2, 3]) });
      const g = gpu.scope(() =>
        grad((q: typeof p) => {
          const h = mul(q.w, q.w);
          const out = sum(mul(h, h));
          h.dispose();
          return out;
        })(p),
      );
      equalBits("4 w^3", await g.w.data(), [4, 32, 108]);
      tree.dispose([p, g]);
    },
  },
  {
    name: "a scope a block, and remat, save memory",
    async run(gpu) {
      const inference = await chain(gpu, "plain", false);
      const scoped = await chain(gpu, "scope", false);
      assert(scoped < 0.3 * inference, "inference, scope a block", [scoped, inference]);
      const training = await chain(gpu, "plain", true);
      const scopedTraining = await chain(gpu, "scope", true);
      assert(scopedTraining < 0.6 * training, "training, scope a block", [
        scopedTraining,
        training,
      ]);
      const rebuilt = await chain(gpu, "remat", true);
      assert(rebuilt < 0.5 * training, "training, remat", [rebuilt, training]);
    },
  },
  {
    name: "memory() says what is alive and, in debug mode, who made it",
    run: (gpu) =>
      own(gpu, async (g) => {
        equal("nothing at the start", g.memory().alive, []);
        const p = params(g, { w: values(new Float32Array(1000)) });
        const x = g.tensor(f32(1, 2, 3));
        const [arena, tensor] = g.memory().alive;
        equal("the arena", [arena!.op, arena!.bytes], ["params", 4096]);
        equal("the tensor", [tensor!.op, tensor!.bytes], ["tensor", 12]);
        equal("the site is this file, or the bundle of it", fileIn(tensor!.site), fileIn(here()));
        tree.dispose([p, x]);
        equal("nothing at the end", g.memory().alive, []);
      }),
  },
  {
    name: "writes come in order: assign, compute, read",
    async run(gpu) {
      const t = gpu.tensor(f32(1));
      const reads: Promise<Float32Array | Uint32Array>[] = [];
      const made: Tensor[] = [];
      for (let i = 0; i < 300; i++) {
        gpu.assign(t, f32(i));
        const y = scale(t, { by: 2 });
        made.push(y);
        reads.push(y.data());
      }
      const all = await Promise.all(reads);
      equal(
        "values",
        all.map((v) => v[0]),
        Array.from({ length: 300 }, (_, i) => 2 * i),
      );
      equalBits("the last", await t.data(), [299]);
      tree.dispose([t, made]);
    },
  },
  {
    name: "no size is rounded up to the adapter's largest, of which SwiftShader has no buffer",
    async run(gpu) {
      const { pool } = gpu.internals.memory;
      const most = gpu.info.limits.maxBufferSize!;
      const wanted = 256 * Math.floor((0.99 * most) / 256);
      const size = pool.sizeFor(wanted);
      assert(size >= wanted && size < most, `a size for ${wanted} of ${most} bytes`, size);
    },
  },
];
