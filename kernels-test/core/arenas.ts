// Cases of trees and arenas: where parameters and gradients lie, and what is done with whole trees.
import {
  grad,
  LimitError,
  ReleasedError,
  ShapeError,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { assert, type Case, equal, equalBits, throws, values } from "../harness.ts";
import { batch, f32, flat, initNet, momentum, own, params, pick, trainer } from "./net.ts";
import { mul, scale, sum } from "./toy.ts";

export const cases: readonly Case[] = [
  {
    name: "parameters are disposed as a whole tree",
    async run(gpu) {
      const live = gpu.memory().live;
      const p = params(gpu, { a: values([1]), b: { c: values([2]), d: values([3, 4]) } });
      equal("one arena", gpu.memory().live, live + 1);
      await throws("one leaf", () => p.a.dispose(), ReleasedError, /arena/, /tree\.dispose/);
      await throws("a part", () => tree.dispose(p.b), ReleasedError, /2 of the 3/);
      equalBits("still there", await p.b.d.data(), [3, 4]);
      tree.dispose(p);
      equal("live", gpu.memory().live, live);
      await throws("after", () => p.a.data(), ReleasedError, /tree\.dispose/);
    },
  },
  {
    name: "gradients and zerosLike lie in arenas of the parameters' layout",
    async run(gpu) {
      const host = { a: values([1, 2, 3]), b: values([4]), c: values(new Float32Array(100)) };
      const p = params(gpu, host, { arenaBytes: 512 });
      const at = (t: unknown) => tree.layout(t).places.map(({ arena, offset }) => [arena, offset]);
      equal("two arenas", tree.arenas(p).length, 2);
      const g = gpu.scope(() => grad((q: typeof p) => sum(q.c))(p));
      equal("gradients", at(g), at(p));
      assert(tree.pack(g, p) === g, "pack has nothing to do");
      const z = gpu.zerosLike(p);
      equal("zeros", at(z), at(p));
      equal("values", await flat(z), new Array(104).fill(0));
      const mixed = { ...g, b: gpu.tensor(f32(7)) };
      const packed = gpu.scope(() => tree.pack(mixed, p));
      equal("gathered", at(packed), at(p));
      equal("gathered values", await flat(packed), await flat(mixed));
      await throws("pack: missing", () => tree.pack({ a: g.a }, p), ShapeError, /'b'/);
      const extra = () => tree.pack({ ...g, z: g.a }, p);
      await throws("pack: extra", extra, ShapeError, /'z'/);
      const shape = () => tree.pack({ ...g, b: g.a }, p);
      await throws("pack: shape", shape, ShapeError, /'b'/, /\[3\]/, /\[1\]/);
      equal(
        "sizes",
        tree.arenas(p).map((t) => t.size),
        [128, 128],
      );
      tree.dispose([p, g, z, mixed.b, packed]);
    },
  },
  {
    name: "one arena and many: equal bits",
    async run(gpu) {
      const train = async (arenaBytes: number) => {
        const p = initNet(gpu, 3, { arenaBytes });
        const { step, dispose } = trainer(gpu, p, { replay: true });
        const out: number[] = [];
        for (let i = 0; i < 6; i++) {
          const { x, y } = batch(i);
          out.push(await step(x, y, 0.05, Uint32Array.of(i, 0)).item());
        }
        out.push(...(await flat(p)));
        const arenas = tree.arenas(p).length;
        dispose();
        tree.dispose(p);
        return { out, arenas };
      };
      const one = await train(2 ** 20);
      const many = await train(1024);
      equal("arenas", [one.arenas, many.arenas], [1, 3]);
      equalBits("losses and weights", many.out, one.out);
    },
  },
  {
    name: "parameters larger than one binding are cut into arenas",
    run: (gpu) =>
      own(
        gpu,
        async (g) => {
          const max = g.info.limits.maxStorageBufferBindingSize!;
          const rows = Math.floor(Math.min(max, 2 ** 27) / 3 / 4096); // three fit in no arena with the fourth
          const shape = [rows, 1024];
          const host = { data: new Float32Array(rows * 1024).fill(1), shape };
          const p = params(g, { a: host, b: host, c: host, d: host }, { arenaBytes: 2 ** 27 });
          equal("arenas", tree.arenas(p).length, 2);
          const lossAndGrad = valueAndGrad((q: typeof p, x: Tensor) => {
            let s = mul(pick(q.a), x);
            for (const w of [q.b, q.c, q.d]) s = mul(s, pick(w));
            return s;
          });
          const opt = momentum(g, p);
          const step = g.record((x: Tensor, lr: Tensor) => {
            const { value, grads } = lossAndGrad(p, x);
            opt.update(grads, { lr });
            return value;
          });
          equal("value", await step({ data: f32(2 ** -24), shape: [] }, 2 ** -20).item(), 1);
          const w = (await p.d.data()) as Float32Array;
          const n = rows * 1024;
          const stride = Math.floor(n / 64);
          const moved = 1 - 2 ** -20 * (64 ** 3 * 2 ** -24);
          equal("a picked weight", w[stride], Math.fround(moved));
          equal("the others", [w[1], w[n - 1]], [1, 1]);
          const large = () => g.zeros([Math.floor(max / 4) + 1]);
          await throws("one tensor too large", large, LimitError, new RegExp(String(max)));
        },
        false,
      ),
  },
  {
    name: "one readback of a whole tree",
    async run(gpu) {
      const p = initNet(gpu, 5);
      const u = gpu.tensor(Uint32Array.of(1, 2 ** 32 - 1));
      await gpu.sync();
      const before = gpu.counts();
      const all = await gpu.read({ p, list: [u] });
      equal("submits", gpu.counts().submits - before.submits, 1);
      equalBits(
        "values",
        tree.leaves(p).length === 5 ? all.p.hidden.w.data : [],
        await p.hidden.w.data(),
      );
      equal("shape", [...all.p.hidden.w.shape], [16, 16]);
      equalBits("u32", all.list[0]!.data, [1, 2 ** 32 - 1]);
      assert(all.list[0]!.data instanceof Uint32Array, "u32 stays u32");
      tree.dispose([p, u]);
    },
  },
  {
    name: "paths, map and layout of trees",
    async run(gpu) {
      const t = (v: number) => gpu.tensor(f32(v));
      const model = { b: [t(1), { w: t(2) }], a: null, c: { d: t(3) } };
      equal(
        "paths in order of keys",
        tree.leaves(model).map((l) => l.path),
        ["b/0", "b/1/w", "c/d"],
      );
      const twice = gpu.scope(() => tree.map(model, (x) => scale(x, { by: 2 })));
      equal("map", await flat(twice), [2, 4, 6]);
      equal("null stays", twice.a, null);
      tree.dispose([model, twice]);
    },
  },
];
