// Cases of the tape: what gradients are, and which cannot be had.
import {
  grad,
  NfgradError,
  ReleasedError,
  ShapeError,
  stopGradient,
  TapeError,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { assert, type Case, equal, equalBits, near, throws, values } from "../harness.ts";
import { batch, f32, flat, initNet, lossOf, own, params } from "./net.ts";
import { add, mul, scale, sum } from "./toy.ts";

const two = (gpu: Parameters<typeof params>[0]) =>
  params(gpu, { a: values([1, 2, 3]), b: values([1, 1, 1]), unused: values([9, 9, 9, 9, 9]) });

export const cases: readonly Case[] = [
  {
    name: "every gradient of a network against differences",
    async run(gpu) {
      const p = initNet(gpu, 5);
      const { x, y } = batch(1);
      const [xs, ys, key] = [gpu.tensor(x), gpu.tensor(y), gpu.tensor(Uint32Array.of(7, 0), [2])];
      const { value, grads, aux } = gpu.scope(() => valueAndGrad(lossOf)(p, xs, ys, key));
      equal("aux survives", [...aux.logits.shape], [16, 4]);
      const g = tree.leaves(grads);
      for (const [i, { path, tensor }] of tree.leaves(p).entries()) {
        const w = (await tensor.data()) as Float32Array<ArrayBuffer>;
        const d = await g[i]!.tensor.data();
        const norm = Math.hypot(...d);
        const at = async (s: number) => {
          gpu.assign(tensor, {
            data: w.map((v, j) => v + (s * d[j]!) / norm),
            shape: tensor.shape,
          });
          using loss = gpu.scope(() => lossOf(p, xs, ys, key)[0]);
          return loss.item();
        };
        const eps = 1e-2;
        const fd = ((await at(eps)) - (await at(-eps))) / (2 * eps);
        gpu.assign(tensor, { data: w, shape: tensor.shape });
        near(`gradient of ${path} along itself`, [norm], [fd], { tolerance: 2e-2 });
      }
      tree.dispose({ p, xs, ys, key, value, grads, aux });
    },
  },
  {
    name: "one parameter used three times",
    async run(gpu) {
      const p = two(gpu);
      const g = gpu.scope(() => grad((q: typeof p) => sum(mul(mul(q.a, q.a), q.a)))(p));
      equalBits("d(a^3)", await g.a.data(), [3, 12, 27]);
      tree.dispose([p, g]);
    },
  },
  {
    name: "a parameter that nothing uses has gradient zero",
    async run(gpu) {
      const p = two(gpu);
      const g = gpu.scope(() => grad((q: typeof p) => sum(q.a))(p));
      equalBits("unused", await g.unused.data(), [0, 0, 0, 0, 0]);
      equalBits("b", await g.b.data(), [0, 0, 0]);
      tree.dispose([p, g]);
    },
  },
  {
    name: "the value is the parameter itself, or a view of it",
    async run(gpu) {
      const p = params(gpu, { s: values([4], []), one: values([5]) });
      const f = valueAndGrad((q: typeof p) => q.s);
      const { value, grads } = gpu.scope(() => f(p));
      equalBits("value", await value.data(), [4]);
      equalBits("gradient", await grads.s.data(), [1]);
      equalBits("gradient of the other", await grads.one.data(), [0]);
      equalBits("the parameter afterwards", await p.s.data(), [4]);
      tree.dispose([p, grads]);
    },
  },
  {
    name: "gradients that are dy itself do not share memory",
    async run(gpu) {
      const p = two(gpu);
      // The same dy goes to both inputs of `add`, twice to `a`, and is then added into.
      const f = (q: typeof p) => {
        const s = add(q.a, q.b);
        return sum(add(add(s, q.a), mul(s, s)));
      };
      const g = gpu.scope(() => grad(f)(p));
      equalBits("a", await g.a.data(), [2 + 2 * 2, 2 + 2 * 3, 2 + 2 * 4]);
      equalBits("b", await g.b.data(), [1 + 2 * 2, 1 + 2 * 3, 1 + 2 * 4]);
      const h = gpu.scope(() => grad((q: typeof p) => sum(add(q.a, q.a)))(p));
      equalBits("a + a", await h.a.data(), [2, 2, 2]);
      // Two inner values hold one dy when a second gradient comes to the first of them.
      const inner = (q: typeof p) => {
        const [h1, h2] = [scale(q.a, { by: 1 }), scale(q.b, { by: 1 })];
        const early = scale(h1, { by: 5 });
        return sum(add(add(h1, h2), early));
      };
      const k = gpu.scope(() => grad(inner)(p));
      equalBits("the one", await k.a.data(), [6, 6, 6]);
      equalBits("the other", await k.b.data(), [1, 1, 1]);
      tree.dispose([p, g, h, k]);
    },
  },
  {
    name: "the same tensor at two places of the tree",
    async run(gpu) {
      const t = gpu.tensor(Float32Array.of(1, 2, 3));
      const f = grad((q: { x: Tensor; y: Tensor }) =>
        sum(add(mul(q.x, q.x), scale(q.y, { by: 7 }))),
      );
      const g = gpu.scope(() => f({ x: t, y: t }));
      equalBits("x", await g.x.data(), [2, 4, 6]);
      equalBits("y", await g.y.data(), [7, 7, 7]);
      tree.dispose([t, g]);
    },
  },
  {
    name: "stopGradient",
    async run(gpu) {
      const p = two(gpu);
      const g = gpu.scope(() => grad((q: typeof p) => sum(mul(stopGradient(q.a), q.b)))(p));
      equalBits("stopped", await g.a.data(), [0, 0, 0]);
      equalBits("not stopped", await g.b.data(), [1, 2, 3]);
      tree.dispose([p, g]);
    },
  },
  {
    name: "a value that depends on nothing is an error",
    async run(gpu) {
      const p = two(gpu);
      const loose = () => grad((_: typeof p, x: Tensor) => sum(x))(p, p.a);
      await throws("another tensor", loose, TapeError, /does not depend/);
      const stopped = () => grad((q: typeof p) => sum(stopGradient(q.a)))(p);
      await throws("stopped", stopped, TapeError, /does not depend/);
      const list = () => valueAndGrad((q: typeof p) => mul(q.a, q.a))(p);
      await throws("not a scalar", list, ShapeError, /scalar/, /\[3\]/);
      await throws("no tensor", () => grad((q: object) => q as Tensor)({}), TapeError, /no tensor/);
      const u = gpu.tensor(Uint32Array.of(1));
      const whole = () => grad((q: { u: Tensor }) => sum(q.u))({ u });
      await throws("a u32 parameter", whole, TapeError, /'u' is u32/);
      const assigned = () =>
        grad((q: typeof p) => {
          gpu.assign(p.b, q.a);
          return sum(q.a);
        })(p);
      await throws("assign of a variable", assigned, NfgradError, /assign/, /differentiated/);
      u.dispose();
      const nothing = () => grad((() => undefined) as unknown as (q: typeof p) => Tensor)(p);
      await throws("nothing returned", nothing, TapeError, /must return/);
      tree.dispose(p);
    },
  },
  {
    name: "second derivatives are refused",
    async run(gpu) {
      const p = two(gpu);
      const square = (q: typeof p) => sum(mul(q.a, q.a));
      const nested = () => grad((q: typeof p) => sum(grad(square)(q).a))(p);
      await throws("of a parameter", nested, TapeError, /second derivatives/);
      const captured = () =>
        grad((q: typeof p) => {
          grad((r: { z: Tensor }) => sum(mul(r.z, q.a)))({ z: p.b });
          return sum(q.a);
        })(p);
      await throws("a captured outer parameter", captured, TapeError, /outer gradient/);
      tree.dispose(p);
    },
  },
  {
    name: "a gradient inside a gradient, of something else, is allowed",
    async run(gpu) {
      const p = two(gpu);
      const f = (q: typeof p) => {
        const inner = grad((r: { z: Tensor }) => sum(mul(r.z, r.z)))({ z: p.b });
        return sum(mul(q.a, inner.z));
      };
      const g = gpu.scope(() => grad(f)(p));
      equalBits("a", await g.a.data(), [2, 2, 2]);
      tree.dispose([p, g]);
    },
  },
  {
    name: "an activation that leaks out is released",
    async run(gpu) {
      const p = two(gpu);
      let leak: Tensor | undefined;
      const f = (q: typeof p) => {
        leak = mul(q.a, q.b);
        return sum(leak);
      };
      const g = gpu.scope(() => grad(f)(p));
      await throws("data()", () => leak!.data(), ReleasedError, /mul/, /\[3\]/, /released/);
      await throws("an op", () => scale(leak!, { by: 1 }), ReleasedError, /^scale/, /mul/);
      const late = () => sum(leak!);
      await throws("in the next gradient", () => grad((_q: typeof p) => late())(p), ReleasedError);
      tree.dispose([p, g]);
    },
  },
  {
    name: "a state that goes from call to call",
    run: (gpu) =>
      own(gpu, async (g) => {
        const p = two(g);
        const f = valueAndGrad((q: typeof p, state: Tensor, change: { yes: boolean }) => {
          const next = change.yes ? add(state, q.b) : state;
          return [sum(mul(q.a, state)), { next }] as const;
        });
        let state = g.tensor(f32(1, 1, 1));
        const seen: number[] = [];
        for (const yes of [true, false, false, true, true]) {
          const { value, aux } = f(p, state, { yes });
          state = aux.next;
          seen.push(await value.item());
        }
        equal("values", seen, [6, 12, 12, 12, 18]);
        equalBits("state", await state.data(), [4, 4, 4]);
      }),
  },
  {
    name: "an op on a tape that has ended",
    async run(gpu) {
      const p = two(gpu);
      let inside: typeof p | undefined;
      const f = grad((q: typeof p) => {
        inside = q;
        return sum(q.a);
      });
      const g = gpu.scope(() => f(p));
      await throws("mul", () => mul(inside!.a, inside!.b), TapeError, /^mul/, /has ended/);
      tree.dispose([p, g]);
    },
  },
  {
    name: "trees of interfaces, lists and nulls",
    async run(gpu) {
      interface Linear {
        readonly w: Tensor;
        readonly b: Tensor | null;
      }
      const p = two(gpu);
      const model: { layers: readonly Linear[] } = {
        layers: [
          { w: p.a, b: p.b },
          { w: p.b, b: null },
        ],
      };
      const f = (q: typeof model) => sum(mul(q.layers[0]!.w, q.layers[0]!.b!));
      const g = gpu.scope(() => grad(f)({ layers: [model.layers[0]!] }));
      equalBits("w", await g.layers[0]!.w.data(), [1, 1, 1]);
      equalBits("b", await g.layers[0]!.b!.data(), [1, 2, 3]);
      assert(Array.isArray(g.layers), "a list stays a list");
      tree.dispose([p, g]);
    },
  },
  {
    name: "gradient by input and by parameter at once",
    async run(gpu) {
      const p = initNet(gpu, 5);
      const { x, y } = batch(1);
      const both = { p, x: gpu.tensor(x) };
      const f = valueAndGrad((t: typeof both, l: Tensor) => lossOf(t.p, t.x, l)[0]);
      const { value, grads } = gpu.scope(() => f(both, y));
      assert(
        (await grads.x.data()).some((v) => v !== 0),
        "the input's gradient is not zero",
      );
      const alone = gpu.scope(() => grad((q: typeof p) => lossOf(q, both.x, gpu.tensor(y))[0])(p));
      equalBits("the parameters' gradients", await flat(grads.p), await flat(alone));
      tree.dispose([both, value, grads, alone]);
    },
  },
  {
    name: "5,000 ops deep",
    async run(gpu) {
      const p = params(gpu, { a: { data: new Float32Array(100).fill(1), shape: [100] } });
      const f = grad((q: typeof p) => {
        let h = scale(q.a, { by: 1 });
        for (let i = 0; i < 5000; i++) h = scale(h, { by: 1 });
        return sum(h);
      });
      const g = gpu.scope(() => f(p));
      equalBits("gradient", await g.a.data(), new Float32Array(100).fill(1));
      tree.dispose([p, g]);
    },
  },
];
