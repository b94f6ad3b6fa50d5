// Cases of record and replay: what recordings refuse, and what they catch at the second call.
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
import { batch, f32, flat, initNet, lossOf, momentum, params } from "./net.ts";
import { dropout, elementwise, mul, relu, scale, sum } from "./toy.ts";

const doubled = (gpu: Gpu) =>
  gpu.record(function doubled(x: Tensor) {
    return relu(x, { gain: 2 });
  });

export const cases: readonly Case[] = [
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
    name: "another place in one arena is another captured tensor",
    async run(gpu) {
      const p = params(gpu, { a: { data: f32(2), shape: [1] }, b: { data: f32(3), shape: [1] } });
      let w = p.a;
      const read = gpu.record((x: Tensor) => mul(x, w), { name: "reads" });
      equalBits("first", await read(f32(1)).data(), [2]);
      w = p.b;
      await throws("read of another", () => read(f32(1)), RecordError, /^reads/, /captured/);
      const write = gpu.record(
        (x: Tensor) => {
          const y = relu(x, { gain: 1 });
          gpu.assign(w, y);
          return y;
        },
        { name: "writes" },
      );
      write(f32(5));
      w = p.a;
      await throws("write of another", () => write(f32(6)), RecordError, /^writes/, /captured/);
      equalBits("written once", await flat(p), [2, 5]);
      read.dispose();
      write.dispose();
      tree.dispose(p);
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
