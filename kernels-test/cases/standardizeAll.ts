// Weight standardization of many layers at once: the bits of one layer at a time (which standardize.ts holds against
// f64), in one dispatch each way, however weights, gains and their gradients lie.
import {
  type Gpu,
  nn,
  ops,
  ReleasedError,
  ShapeError,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { type Case, counted, equal, equalBits, fail, near, rand, throws } from "../harness.ts";
import { f64 } from "../oracle.ts";
import { standardizeF64 } from "./standardize.ts";

interface Layer {
  readonly w: Tensor;
  readonly gain?: Tensor | null;
}
type Apply = (layers: readonly Layer[]) => Tensor[];
type Shapes = readonly (readonly number[])[];

const even: Shapes = [
  [3, 3, 4, 16],
  [1, 1, 40, 8],
  [3, 3, 5, 68],
  [7, 4],
  [1, 1, 1, 12],
];
const odd: Shapes = [
  [3, 3, 4, 7],
  [2, 5],
];

const all: Apply = (layers) =>
  ops.standardizeAll(
    layers.map(({ w }) => w),
    layers.map(({ gain }) => gain ?? null),
  );
const oneByOne: Apply = (layers) => layers.map(({ w, gain }) => ops.standardize(w, gain ?? null));
const spec = (shapes: Shapes, without: readonly number[] = []) =>
  shapes.map((shape, i) => ({
    w: nn.param(shape, nn.init.normal(0.3)),
    ...(!without.includes(i) && { gain: nn.param([shape.at(-1)!], nn.init.normal(1)) }),
  }));

/** Another gradient for each element of each result. */
const weigh = (ys: readonly Tensor[], cs: readonly Tensor[]): Tensor =>
  ys.map((y, i) => ops.sum(ops.mul(y, cs[i]!))).reduce((a, b) => ops.add(a, b));

/** What a case differentiates by, and the layers that it makes of that. */
interface Setting<P> {
  readonly params: P;
  readonly layers: (p: P) => readonly Layer[];
  /** Dispatches of standardization, forward (`taped`: where there is a gradient, if others) and backward. */
  readonly forward: number;
  readonly taped?: number;
  readonly backward: number;
  /** Copies of gradients; default 0: they are made where they belong. */
  readonly copies?: number;
  /** A loss of its own, of the results and the parameters. */
  readonly loss?: (ys: readonly Tensor[], cs: readonly Tensor[], p: P) => Tensor;
}

async function judge<P>(gpu: Gpu, { params, layers, loss = weigh, ...want }: Setting<P>) {
  const live = gpu.memory().live;
  const own = layers(params);
  const cs = own.map(({ w }, i) => gpu.tensor(rand(w.shape, i + 1)));
  const run = (apply: Apply) => gpu.scope(() => apply(own)) as Tensor[];
  const [many, single] = [
    await counted(gpu, () => run(all)),
    await counted(gpu, () => run(oneByOne)),
  ];
  equal("dispatches forward", many.dispatches, want.forward);
  for (const [i, y] of many.result.entries()) {
    const { w, gain } = own[i]!;
    equal(`shape of y ${i}`, [...y.shape], [...w.shape]);
    const got = await y.data();
    equalBits(`y ${i}`, got, await single.result[i]!.data());
    const oracle = standardizeF64(
      f64(w.shape, await w.data()),
      gain ? f64(gain.shape, await gain.data()) : null,
    );
    near(`y ${i} against f64`, got, oracle.data, { tolerance: 5e-7 });
  }
  tree.dispose(many.result);
  for (const y of single.result) y.dispose();

  const gradients = (apply: Apply) => {
    const f = valueAndGrad((p: P & object) => loss(apply(layers(p)), cs, p));
    return () => tree.leaves(f(params as never).grads).map(({ tensor }) => tensor);
  };
  const measure = async (apply: Apply) => {
    const pull = gradients(apply);
    await gpu.sync();
    const before = gpu.counts();
    const { result, dispatches } = await counted(gpu, () => gpu.scope(pull));
    const copies = gpu.counts().copies - before.copies;
    const data = await Promise.all(result.map((t) => t.data()));
    for (const t of result) t.dispose();
    return { data, dispatches, copies };
  };
  const [got, expected] = [await measure(all), await measure(oneByOne)];
  tree.leaves(params).forEach(({ path }, i) => {
    equalBits(`gradient of ${path}`, got.data[i]!, expected.data[i]!);
    const bad = got.data[i]!.findIndex((v) => !Number.isFinite(v));
    if (bad >= 0) fail(`gradient of ${path} [${bad}]`, "a finite number", got.data[i]![bad]);
  });
  // One at a time takes one dispatch each way for each layer that is differentiated.
  const each = own.length + differentiated(params, own);
  equal(
    "dispatches",
    got.dispatches - expected.dispatches + each,
    (want.taped ?? want.forward) + want.backward,
  );
  equal("copies of gradients", got.copies - (want.copies ?? 0), 0);

  const recorded = gpu.record(gradients(all));
  for (let call = 0; call < 3; call++) {
    for (const [i, t] of recorded().entries())
      equalBits(`recorded gradient ${i}, call ${call}`, await t.data(), got.data[i]!);
  }
  recorded.dispose();
  for (const c of cs) c.dispose();
  equal("live buffers", gpu.memory().live, live);
}

function differentiated(params: unknown, layers: readonly Layer[]): number {
  const wanted = new Set(tree.leaves(params).map(({ tensor }) => tensor));
  return layers.filter(({ w, gain }) => wanted.has(w) || (gain && wanted.has(gain))).length;
}

interface Model {
  readonly name: string;
  readonly shapes: Shapes;
  readonly without?: readonly number[];
  readonly dispatches: number;
}
const models: readonly Model[] = [
  { name: "of a model", shapes: even, dispatches: 1 },
  { name: "of one layer", shapes: [[3, 3, 4, 16]], dispatches: 1 },
  { name: "some without gain", shapes: even, without: [0, 3], dispatches: 1 },
  { name: "all without gain", shapes: even, without: [0, 1, 2, 3, 4], dispatches: 1 },
  { name: "with odd columns", shapes: [...odd, ...even], dispatches: 2 },
];
const inOneArena = models.map(
  ({ name, shapes, without, dispatches }): Case => ({
    name: `standardizeAll ${name}`,
    run: async (gpu) => {
      const params = gpu.init(spec(shapes, without), { seed: 1 }) as readonly Layer[];
      const each = { forward: dispatches, backward: dispatches };
      await judge(gpu, { params, layers: (p) => p, ...each });
      tree.dispose(params);
    },
  }),
);

const arenas: Case = {
  name: "standardizeAll in several arenas, a gain apart from its weight",
  run: async (gpu) => {
    const params = gpu.init(spec(even), { seed: 1, arenaBytes: 12_544 }) as readonly Layer[];
    const pairs = new Set(params.map(({ w, gain }) => `${w.buffer.id} ${gain!.buffer.id}`));
    const apart = params.filter(({ w, gain }) => w.buffer.id !== gain!.buffer.id);
    equal("a gain apart", apart.length > 0, true);
    const n = pairs.size;
    await judge(gpu, { params, layers: (p) => p, forward: n, backward: n });
    tree.dispose(params);
  },
};

const plain: Case = {
  name: "standardizeAll of tensors with buffers of their own",
  run: async (gpu) => {
    const params = [...even, ...odd].map((shape) => ({
      w: gpu.tensor(rand(shape, 5, 0.3)),
      gain: gpu.tensor(rand([shape.at(-1)!], 6)),
    }));
    const n = params.length;
    await judge(gpu, { params, layers: (p: typeof params) => p, forward: n, backward: n });
    tree.dispose(params);
  },
};

const frozen: Case = {
  name: "standardizeAll where only some weights and gains are trained",
  run: async (gpu) => {
    const layers = gpu.init(spec(even), { seed: 2 }) as readonly Required<Layer>[];
    const params = {
      w0: layers[0]!.w,
      w1: layers[1]!.w,
      gain1: layers[1]!.gain!,
      gain2: layers[2]!.gain!,
    };
    await judge(gpu, {
      params,
      layers: (p: typeof params) => [
        { w: p.w0, gain: layers[0]!.gain },
        { w: p.w1, gain: p.gain1 },
        { w: layers[2]!.w, gain: p.gain2 },
        layers[3]!,
        layers[4]!,
      ],
      forward: 1,
      taped: 2, // what is trained, and what is not
      backward: 3, // a gain is trained, both, a gain alone
    });
    tree.dispose(layers);
  },
};

const shared: Case = {
  name: "standardizeAll of weights that something else reads, too",
  run: async (gpu) => {
    const params = gpu.init(spec(even), { seed: 3 }) as readonly Layer[];
    await judge(gpu, {
      params,
      layers: (p) => [...p, p[1]!],
      loss: (ys, cs, p) => ops.add(weigh(ys, cs), ops.sum(ops.square(p[0]!.w))),
      forward: 1,
      backward: 3, // weights 0 and 1 have more than one gradient to add up
      copies: 1,
    });
    tree.dispose(params);
  },
};

const unused: Case = {
  name: "standardizeAll where a result is not used, and one twice",
  run: async (gpu) => {
    const params = gpu.init(spec(even), { seed: 4 }) as readonly Layer[];
    const live = gpu.memory().live;
    const cs = params.map(({ w }, i) => gpu.tensor(rand(w.shape, i + 1)));
    const pull = (apply: Apply) =>
      gpu.scope(() => {
        const f = valueAndGrad((p: readonly Layer[]) => {
          const [a, , b, c] = apply(p);
          return weigh([a!, b!, c!, a!], [cs[0]!, cs[2]!, cs[3]!, cs[0]!]);
        });
        return tree.leaves(f(params as never).grads).map(({ tensor }) => tensor);
      });
    const [got, expected] = [pull(all), pull(oneByOne)];
    for (const [i, { path }] of tree.leaves(params).entries()) {
      const g = await got[i]!.data();
      if (!/^[14]/.test(path)) equalBits(`gradient of ${path}`, g, await expected[i]!.data());
      else
        equal(
          `gradient of ${path}`,
          g.every((v) => v === 0),
          true,
        );
    }
    for (const t of [...got, ...expected]) t.dispose();
    for (const c of cs) c.dispose();
    equal("live buffers", gpu.memory().live, live);
    tree.dispose(params);
  },
};

const errors: Case = {
  name: "standardizeAll refuses what it cannot take",
  run: async (gpu) => {
    const [w, gain, ids] = [gpu.zeros([3, 4]), gpu.zeros([4]), gpu.zeros([3, 4], "u32")];
    const live = gpu.memory().live;
    const { standardizeAll } = ops;
    await throws("none", () => standardizeAll([]), ShapeError, /standardizeAll: expected a list/);
    await throws("no list", () => standardizeAll(w as never), ShapeError, /expected a list/);
    await throws(
      "gains",
      () => standardizeAll([w, w], [gain]),
      ShapeError,
      /1 gains for 2 weights/,
    );
    await throws("dtype", () => standardizeAll([w, ids]), ShapeError, /standardizeAll: w is u32/);
    await throws("gain", () => standardizeAll([w], [w]), ShapeError, /gain is f32 \[3,4\]/);
    await throws("eps", () => standardizeAll([w], null, { eps: -1 }), ShapeError, /eps -1/);
    await throws("no tensor", () => standardizeAll([w, null as never]), ShapeError, /layer 1/);
    equal("live buffers", gpu.memory().live, live);
    const ys = standardizeAll([w, w]);
    await throws("one of them", () => ys[0]!.dispose(), ReleasedError, /tree\.dispose/);
    tree.dispose(ys);
    equal("live buffers", gpu.memory().live, live);
    for (const t of [w, gain, ids]) t.dispose();
  },
};

export const cases: readonly Case[] = [
  ...inOneArena,
  arenas,
  plain,
  frozen,
  shared,
  unused,
  errors,
];
