// Cases of bad input: one clear error that names op, expectation and value, and an engine that is usable after it.

import {
  DeviceError,
  LimitError,
  NfgradError,
  openGpu,
  RecordError,
  ShapeError,
  type Tensor,
  tree,
} from "../../src/index.ts";
import { alike } from "../alike.ts";
import { assert, type Case, equal, equalBits, throws, values } from "../harness.ts";
import { f32, params } from "./net.ts";
import { add, matmul, mul, relu, scale, sum } from "./toy.ts";

/** Calls that the types refuse too: what a JavaScript user meets. */
const loose = (f: unknown) => f as (...args: unknown[]) => Tensor;

export const cases: readonly Case[] = [
  {
    name: "shapes that are none",
    async run(gpu) {
      await throws(
        "too few",
        () => gpu.tensor(f32(1, 2), [3]),
        ShapeError,
        /tensor/,
        /\[3\]/,
        /\b2\b/,
      );
      await throws("empty data", () => gpu.tensor(new Float32Array(0)), ShapeError, /\[0\]/);
      await throws("empty dimension", () => gpu.tensor(f32(), [2, 0]), ShapeError, /\[2,0\]/);
      await throws("negative", () => gpu.zeros([-1, -1]), ShapeError, /\[-1,-1\]/);
      await throws("fraction", () => gpu.zeros([1.5]), ShapeError, /\[1\.5\]/);
      await throws("NaN", () => gpu.zeros([Number.NaN]), ShapeError, /NaN/);
      const spec = {
        a: { w: { shape: [0, 3], init: Object.assign(() => f32(), { random: false }) } },
      };
      await throws("init", () => gpu.init(spec), ShapeError, /init/, /'a\/w'/, /\[0,3\]/);
      const wrong = { w: { shape: [3], init: Object.assign(() => f32(1), { random: false }) } };
      await throws("init's values", () => gpu.init(wrong), ShapeError, /'w'/, /\[3\]/, /\b1\b/);
      await throws("init of nothing", () => gpu.init({}), ShapeError, /no parameter/);
      using t = gpu.tensor(f32(1, 2, 3, 4), [2, 2]);
      equalBits("usable after", await t.data(), [1, 2, 3, 4]);
    },
  },
  {
    name: "a scalar has shape [], and item() wants one element",
    async run(gpu) {
      using s = gpu.tensor(f32(5), []);
      equal("shape", [...s.shape], []);
      equal("item", await s.item(), 5);
      using one = gpu.tensor(f32(6), [1, 1]);
      equal("item of [1,1]", await one.item(), 6);
      using two = gpu.tensor(f32(1, 2));
      await throws("item of two", () => two.item(), ShapeError, /item/, /\[2\]/);
    },
  },
  {
    name: "arguments of ops that are none",
    async run(gpu) {
      using x = gpu.tensor(f32(1, 2), [1, 2]);
      await throws("missing", () => loose(mul)(x), ShapeError, /^mul/, /'w'/, /undefined/);
      await throws("null", () => loose(mul)(null, x), ShapeError, /'x'/, /null/);
      await throws("a number", () => loose(mul)(x, 3), ShapeError, /'w'/, /number/);
      await throws("host data", () => loose(mul)(x, f32(1)), ShapeError, /'w'/);
      await throws("a list", () => loose(mul)([x], x), ShapeError, /'x'/, /list/);
      await throws("too many", () => loose(scale)(x, { by: 2 }, 7), ShapeError, /^scale/);
      await throws("attributes", () => loose(scale)(x, 3), ShapeError, /^scale/);
      await throws("a missing attribute", () => loose(scale)(x), NfgradError, /scale/, /f\b|by/);
      using w = gpu.tensor(f32(1, 2, 3), [3, 1]);
      const live = gpu.memory().live;
      await throws("shapes", () => matmul(x, w), ShapeError, /^matmul/, /\[3,1\]/, /\[1,2\]/);
      equal("nothing is left", gpu.memory().live, live);
      using y = mul(x, x);
      equalBits("usable after", await y.data(), [1, 4]);
    },
  },
  {
    name: "more than the adapter allows",
    async run(gpu) {
      const max = gpu.info.limits.maxStorageBufferBindingSize!;
      const live = gpu.memory();
      const n = Math.floor(max / 4) + 1;
      const says = new RegExp(String(max));
      await throws(
        "zeros",
        () => gpu.zeros([n]),
        LimitError,
        /zeros/,
        says,
        new RegExp(`${4 * n}`),
      );
      const spec = { w: { shape: [n], init: Object.assign(() => f32(), { random: false }) } };
      await throws("init", () => gpu.init(spec), LimitError, /'w'/, says);
      await throws("a scratch", () => gpu.dispatch.scratch([n]), LimitError, /scratch/, says);
      equal("nothing was made", gpu.memory(), live);
      using t = gpu.tensor(f32(1));
      equalBits("usable after", await t.data(), [1]);
    },
  },
  {
    name: "a tensor of another gpu",
    async run(gpu) {
      const other = await openGpu(alike(gpu));
      const [x, foreign] = [gpu.tensor(f32(1)), other.tensor(f32(2))];
      await throws("op", () => mul(x, foreign), DeviceError, /^mul/, /'w'/, /another gpu/);
      await throws("op, first", () => mul(foreign, x), DeviceError, /^mul/, /another gpu/);
      const f = gpu.record((v: Tensor) => relu(v, { gain: 1 }), { name: "f" });
      await throws("argument", () => f(foreign), DeviceError, /^f/, /another gpu/);
      const g = gpu.record((v: Tensor) => mul(v, foreign), { name: "g" });
      await throws("captured", () => g(f32(1)), DeviceError, /another gpu/);
      await throws("assign to", () => gpu.assign(foreign, f32(1)), DeviceError, /another gpu/);
      await throws("assign from", () => gpu.assign(x, foreign), DeviceError, /another gpu/);
      await throws("read", () => gpu.read({ x, foreign }), DeviceError, /another gpu/);
      await throws("keep", () => gpu.keep(foreign), DeviceError, /another gpu/);
      await throws(
        "scope",
        () => gpu.scope(() => mul(foreign, foreign)),
        DeviceError,
        /another gpu/,
      );
      await other.close();
      f.dispose();
      g.dispose();
      using y = mul(x, x);
      equalBits("usable after", await y.data(), [1]);
      x.dispose();
    },
  },
  {
    name: "a closed gpu",
    async run(gpu) {
      const other = await openGpu(alike(gpu));
      const x = other.tensor(f32(1));
      const f = other.record((v: Tensor) => mul(v, x), { name: "f" });
      for (let i = 0; i < 3; i++) f(f32(i));
      await other.close();
      await other.close();
      const closed = /closed/;
      await throws("tensor", () => other.tensor(f32(1)), DeviceError, closed);
      await throws("op", () => mul(x, x), DeviceError, /^mul/, closed);
      await throws("data()", () => x.data(), DeviceError, closed);
      await throws("replay", () => f(f32(1)), DeviceError, closed);
      await throws("scope", () => other.scope(() => null), DeviceError, closed);
      await throws("sync", () => other.sync(), DeviceError, closed);
      await throws("assign", () => other.assign(x, f32(1)), DeviceError, closed);
      await throws("init", () => params(other, { w: values([1]) }), DeviceError, closed);
      x.dispose();
      f.dispose();
      using y = gpu.tensor(f32(7));
      equalBits("another gpu is usable after", await y.data(), [7]);
    },
  },
  {
    name: "assign checks names, shapes and dtypes before the first write",
    async run(gpu) {
      const p = params(gpu, { a: values([1, 2]), b: { c: values([3]) } });
      const ok = { a: f32(7, 8), b: { c: f32(9) } };
      const to = gpu.assign as unknown as (t: unknown, from: unknown) => void;
      const cases: [string, unknown, RegExp][] = [
        ["missing", { a: ok.a }, /'b\/c'/],
        ["extra", { ...ok, z: f32(1) }, /'z'/],
        ["length", { ...ok, b: { c: f32(1, 2) } }, /'b\/c'/],
        ["shape", { ...ok, b: { c: { data: f32(1), shape: [1, 1] } } }, /'b\/c'.*\[1,1\]/],
        ["lying shape", { ...ok, b: { c: { data: f32(1, 2), shape: [1] } } }, /'b\/c'/],
        ["dtype", { ...ok, b: { c: Uint32Array.of(1) } }, /'b\/c'.*u32/],
        ["not a value", { ...ok, b: { c: "9" } }, /'b\/c'/],
      ];
      for (const [what, from, says] of cases)
        await throws(what, () => to(p, from), ShapeError, /assign/, says);
      equalBits("nothing was written", [...(await p.a.data()), ...(await p.b.c.data())], [1, 2, 3]);
      gpu.assign(p, ok);
      equalBits("then it is", [...(await p.a.data()), ...(await p.b.c.data())], [7, 8, 9]);
      const lazy = {
        a: { shape: [2], dtype: "F32", read: async () => f32(4, 5) },
        b: { c: { shape: [1], dtype: "F32", read: async () => f32(6) } },
      };
      await gpu.assign(p, lazy);
      equalBits("lazy leaves", [...(await p.a.data()), ...(await p.b.c.data())], [4, 5, 6]);
      const inside = gpu.record(function inside(x: Tensor) {
        gpu.assign(p.a, f32(1, 2));
        return relu(x, { gain: 1 });
      });
      await throws("host data in a recording", () => inside(f32(1)), RecordError, /assign/);
      inside.dispose();
      tree.dispose(p);
    },
  },
  {
    name: "init in a recording, and other things that belong outside",
    async run(gpu) {
      const f = gpu.record(function makes(x: Tensor) {
        params(gpu, { w: values([1]) });
        return relu(x, { gain: 1 });
      });
      await throws("init", () => f(f32(1)), RecordError, /params/, /inside a recorded/);
      const w = params(gpu, { w: values([1]) });
      const g = gpu.record(function reads(x: Tensor) {
        void gpu.read(w);
        return relu(x, { gain: 1 });
      });
      await throws("read", () => g(f32(1)), RecordError, /read/);
      for (const r of [f, g]) r.dispose();
      tree.dispose(w);
    },
  },
  {
    name: "NaN and infinities in data flow through",
    async run(gpu) {
      const x = gpu.tensor(f32(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0));
      using y = gpu.scope(() => add(x, scale(x, { by: 1 })));
      equalBits("values", await y.data(), [
        Number.NaN,
        Number.POSITIVE_INFINITY,
        Number.NEGATIVE_INFINITY,
        -0,
      ]);
      using s = gpu.scope(() => sum(x));
      assert(Number.isNaN(await s.item()), "the sum is NaN");
      x.dispose();
    },
  },
];
