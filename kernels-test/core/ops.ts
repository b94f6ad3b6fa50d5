// Cases of defineOp: the forms that an op can have, and the gradient of each.
import {
  defineOp,
  grad,
  remat,
  ShapeError,
  stopGradient,
  TapeError,
  type Tensor,
  tree,
  vjp,
} from "../../src/index.ts";
import { assert, type Case, equal, equalBits, near, throws, values } from "../harness.ts";
import { batch, flat, initNet, lossOf, net, params, softCap } from "./net.ts";
import { add, crossEntropy, elementwise, matmul, mul, relu, scale, squareMul, sum } from "./toy.ts";

const two = (gpu: Parameters<typeof params>[0]) =>
  params(gpu, { a: values([1, 2, 3]), b: values([1, 1, 1]), unused: values([9, 9, 9, 9, 9]) });

export const cases: readonly Case[] = [
  {
    name: "the gradient of a composition, where an op has no backward",
    async run(gpu) {
      const p = two(gpu);
      const g = gpu.scope(() => grad((q: typeof p) => sum(squareMul(q.a, q.b)))(p));
      equalBits("by x", await g.a.data(), [2, 4, 6]);
      equalBits("by w", await g.b.data(), [1, 4, 9]);
      const twice = gpu.scope(() => grad((q: typeof p) => sum(squareMul(q.a, q.a)))(p));
      equalBits("the same input twice", await twice.a.data(), [3, 12, 27]);
      const one = gpu.scope(() => grad((q: typeof p) => sum(squareMul(stopGradient(q.a), q.b)))(p));
      equalBits("one input only", await one.b.data(), [1, 4, 9]);
      tree.dispose([p, g, twice, one]);
    },
  },
  {
    name: "an op with neither backward nor reference",
    async run(gpu) {
      const copyK = elementwise("copy", { read: ["x"], body: "y[i] = x[i];" });
      const forwardOnly = defineOp({
        name: "forwardOnly",
        inputs: ["x"],
        shape: ({ x }) => x.shape,
        forward: (run, { x, y }) => run(copyK, { x, y }, { n: x.size }, [x.size]),
      });
      const p = two(gpu);
      using y = forwardOnly(p.a);
      equalBits("forward", await y.data(), [1, 2, 3]);
      const f = () => grad((q: typeof p) => sum(forwardOnly(q.a)))(p);
      await throws("backward", f, TapeError, /^forwardOnly/, /neither/);
      const g = gpu.scope(() =>
        grad((q: typeof p) => sum(mul(q.a, forwardOnly(stopGradient(q.b)))))(p),
      );
      equalBits("behind stopGradient", await g.a.data(), [1, 1, 1]);
      tree.dispose([p, g]);
    },
  },
  {
    name: "several outputs: an unused one counts as zero, u32 outputs have no gradient",
    async run(gpu) {
      const splitK = elementwise("split", {
        read: ["x"],
        write: ["y", "z", "labels"],
        body: "y[i] = x[i] * 2.0; z[i] = x[i] * 3.0; labels[i] = u32(x[i]);",
      });
      const joinK = elementwise("join", {
        read: ["x", "w"],
        body: "y[i] = x[i] * 2.0 + w[i] * 3.0;",
      });
      const split = defineOp({
        name: "split",
        inputs: ["x"],
        outputs: ["double", "triple", "whole"],
        saves: [],
        shape: ({ x }) => ({
          double: x.shape,
          triple: x.shape,
          whole: { shape: x.shape, dtype: "u32" },
        }),
        forward: (run, { x, double, triple, whole }) =>
          run(splitK, { x, y: double, z: triple, labels: whole }, { n: x.size }, [x.size]),
        backward: (run, { ddouble, dtriple, dx }) =>
          run(joinK, { x: ddouble, w: dtriple, y: dx }, { n: dx.size }, [dx.size]),
      });
      const p = two(gpu);
      const both = gpu.scope(() => {
        const f = (q: typeof p) => {
          const { double, triple } = split(q.a);
          return sum(add(double, triple));
        };
        return grad(f)(p);
      });
      equalBits("both", await both.a.data(), [5, 5, 5]);
      const one = gpu.scope(() => grad((q: typeof p) => sum(split(q.a).triple))(p));
      equalBits("one", await one.a.data(), [3, 3, 3]);
      const whole = gpu.scope(() => split(p.a).whole);
      equal("dtype", whole.dtype, "u32");
      equalBits("whole", await whole.data(), [1, 2, 3]);
      tree.dispose([p, both, one, whole]);
    },
  },
  {
    name: "optional inputs and lists of inputs",
    async run(gpu) {
      const scaleSumK = elementwise("axpy", {
        read: ["x", "w"],
        params: "f: f32",
        body: "y[i] = x[i] + p.f * w[i];",
      });
      const copyK = elementwise("take", {
        read: ["x"],
        params: "f: f32",
        body: "y[i] = p.f * x[i];",
      });
      const axpy = defineOp({
        name: "axpy",
        inputs: ["x", "w?"],
        saves: [],
        passes: ["x"],
        shape: ({ x }) => x.shape,
        forward: (run, { x, w, y }, { f = 2 }: { f?: number }) => {
          if (w) run(scaleSumK, { x, w, y }, { n: x.size, f }, [x.size]);
          else run(copyK, { x, y }, { n: x.size, f: 1 }, [x.size]);
        },
        backward: (run, { dy, dw }, { f = 2 }) => {
          if (dw) run(copyK, { x: dy, y: dw }, { n: dw.size, f }, [dw.size]);
        },
      });
      const p = two(gpu);
      const g = gpu.scope(() => grad((q: typeof p) => sum(axpy(q.a, q.b, { f: 3 })))(p));
      equalBits("a", await g.a.data(), [1, 1, 1]);
      equalBits("b", await g.b.data(), [3, 3, 3]);
      const y = gpu.scope(() => [
        axpy(p.a),
        axpy(p.a, null),
        axpy(p.a, p.b),
        axpy(p.a, null, { f: 5 }),
      ]);
      equal("forms of the call", await flat(y), [1, 2, 3, 1, 2, 3, 3, 4, 5, 1, 2, 3]);

      const total = defineOp({
        name: "total",
        inputs: ["...xs"],
        saves: [],
        shape: ({ xs }) => xs[0]!.shape,
        forward: (run, { xs, y }) => {
          const part = run.scratch(y.shape);
          run(copyK, { x: xs[0]!, y: part }, { n: y.size, f: 1 }, [y.size]);
          xs.slice(1).forEach((x, i) => {
            const to = i === xs.length - 2 ? y : run.scratch(y.shape);
            run(scaleSumK, { x, w: part, y: to }, { n: y.size, f: 1 }, [y.size]);
          });
        },
        backward: (run, { dy, dxs }) => {
          for (const [i, dx] of dxs.entries())
            if (dx) run(copyK, { x: dy, y: dx }, { n: dx.size, f: i + 1 }, [dx.size]);
        },
      });
      const h = gpu.scope(() => grad((q: typeof p) => sum(total([q.a, p.b])))(p));
      equalBits("list", await h.a.data(), [1, 1, 1]);
      const k = gpu.scope(() => grad((q: typeof p) => sum(total([q.b, q.a])))(p));
      equalBits("second of a list", await k.a.data(), [2, 2, 2]);
      tree.dispose([p, g, y, h, k]);
    },
  },
  {
    name: "vjp takes any shape of value",
    async run(gpu) {
      const p = initNet(gpu, 5);
      const x = gpu.tensor(batch(1).x);
      const dy = gpu.tensor({ data: new Float32Array(64).fill(0.5), shape: [16, 4] });
      const { value, grads } = gpu.scope(() => vjp((q: typeof p) => net(q, x))(p, dy));
      equal("value", [...value.shape], [16, 4]);
      const sumOf = gpu.scope(() => grad((q: typeof p) => sum(scale(net(q, x), { by: 0.5 })))(p));
      near("gradients", await flat(grads), await flat(sumOf), { tolerance: 1e-6 });
      const wrong = gpu.tensor(new Float32Array(4));
      const f = () => vjp((q: typeof p) => net(q, x))(p, wrong);
      await throws("dy of another shape", f, ShapeError, /\[16,4\]/, /\[4\]/);
      tree.dispose([p, x, dy, wrong, value, grads, sumOf]);
    },
  },
  {
    name: "remat gives the same bits",
    async run(gpu) {
      const p = initNet(gpu, 5);
      const { x, y } = batch(1);
      const [xs, ys] = [gpu.tensor(x), gpu.tensor(y)];
      const plain = gpu.scope(() => grad((q: typeof p) => lossOf(q, xs, ys)[0])(p));
      const body = remat((q: typeof p, v: Tensor) => net(q, v));
      const again = gpu.scope(() => grad((q: typeof p) => crossEntropy(body(q, xs), ys))(p));
      equalBits("gradients", await flat(again), await flat(plain));
      const outside = () =>
        grad((q: typeof p) => sum(remat((v: Tensor) => matmul(v, q.hidden.w))(q.hidden.w)))(p);
      await throws("a captured parameter", outside, TapeError, /pass it as an argument/);
      using off = gpu.scope(() => body(p, xs));
      using on = gpu.scope(() => net(p, xs));
      equalBits("outside of a gradient", await off.data(), await on.data());
      tree.dispose([p, xs, ys, plain, again]);
    },
  },
  {
    name: "a kernel on a tensor that is being differentiated",
    async run(gpu) {
      const doubleK = elementwise("double", { read: ["x"], body: "y[i] = 2.0 * x[i];" });
      const p = two(gpu);
      const f = (q: typeof p) => {
        const y = gpu.zeros([3]);
        gpu.dispatch(doubleK, { x: q.a, y }, { n: 3 }, [3]);
        return sum(mul(q.a, y));
      };
      await throws("dispatch", () => grad(f)(p), TapeError, /'x'/, /defineOp/);
      tree.dispose(p);
    },
  },
  {
    name: "an op of one's own from outside the package",
    async run(gpu) {
      const x = gpu.tensor(Float32Array.of(0, 30, -60));
      const y = softCap(x, { cap: 30 });
      const t = [0, 30, -60].map((v) => 30 * Math.tanh(v / 30));
      near("forward", await y.data(), t, { tolerance: 1e-4 });
      const g = gpu.scope(() => grad((q: { x: Tensor }) => sum(softCap(q.x, { cap: 30 })))({ x }));
      near(
        "backward",
        await g.x.data(),
        t.map((v) => 1 - (v / 30) ** 2),
        { tolerance: 1e-3 },
      );
      using r = gpu.scope(() => relu(y, { gain: 2 }));
      assert((await r.data())[2] === 0, "composes with other ops");
      tree.dispose([x, y, g]);
    },
  },
];
