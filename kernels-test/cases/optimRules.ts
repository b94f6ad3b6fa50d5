// Cases of what optimizers are told and what they refuse: options, gradients, rules by group, and the schedules.

import {
  DeviceError,
  type Gpu,
  OptionError,
  openGpu,
  ReleasedError,
  ShapeError,
  tree,
} from "../../src/index.ts";
import * as optim from "../../src/optim/index.ts";
import { alike } from "../alike.ts";
import { type Case, counted, equal, equalBits, near, throws } from "../harness.ts";
import { apart, gradient, inArenas, type Params, weights } from "../sgd.ts";

/** A small model's parameters and what is refused about them. */
const small = { w: [3, 4], b: [4] } as const;
async function refused(
  gpu: Gpu,
  what: string,
  options: optim.SgdAgcOptions,
  ...patterns: RegExp[]
): Promise<void> {
  const params = inArenas(gpu, weights(small));
  const { live } = gpu.memory();
  await throws(what, () => optim.sgdAgc(params, options), OptionError, /^sgdAgc: /, ...patterns);
  equal(`${what}: live buffers afterwards`, gpu.memory().live, live);
  tree.dispose(params);
}

/** `update` must throw and leave parameters and state as they are. */
async function untouched(
  gpu: Gpu,
  what: string,
  type: typeof ShapeError | typeof DeviceError | typeof OptionError | typeof ReleasedError,
  update: (opt: optim.Optimizer<Params>, grads: Params) => void,
  ...patterns: RegExp[]
): Promise<void> {
  const params = inArenas(gpu, weights(small));
  const opt = optim.sgdAgc(params, { momentum: 0.9, ema: { decay: 0.5 } });
  const grads = apart(gpu, gradient(small, 0));
  const { dispatches } = await counted(gpu, () => {});
  const { live } = gpu.memory();
  const before = gpu.counts();
  await throws(what, () => update(opt, grads), type, ...patterns);
  await gpu.sync();
  equal(`${what}: dispatches`, gpu.counts().dispatches - before.dispatches, dispatches);
  equal(`${what}: copies`, gpu.counts().copies, before.copies);
  equal(`${what}: live buffers afterwards`, gpu.memory().live, live);
  for (const [name, { data }] of Object.entries(weights(small)))
    equalBits(`${what}: '${name}'`, await params[name]!.data(), data);
  opt.dispose();
  tree.dispose(params);
}

const names = {
  "stem/w": "NFNet/~/stem_conv0/w",
  "stem/gain": "NFNet/~/stem_conv0/gain",
  "stem/bias": "NFNet/~/stem_conv0/bias",
  "block/se/w": "NFNet/~/nf_block/~/squeeze_excite/~/linear/w",
  "block/se/b": "NFNet/~/nf_block/~/squeeze_excite/~/linear/b",
  "block/skip": "NFNet/~/nf_block/skip_gain",
  "bn/scale": "ResNet/~/batchnorm/scale",
  "bn/offset": "ResNet/~/batchnorm/offset",
  "head/w": "NFNet/~/linear/w",
  "head/b": "NFNet/~/linear/b",
};

export const cases: readonly Case[] = [
  {
    name: "options are checked",
    async run(gpu) {
      const bad = [-1, Number.NaN, Number.POSITIVE_INFINITY];
      for (const value of bad) {
        for (const name of ["momentum", "dampening", "weightDecay", "clipping", "eps"])
          await refused(gpu, name, { [name]: value }, new RegExp(name), new RegExp(`${value}`));
        for (const name of ["weightDecay", "clipping", "eps", "lrScale"])
          await refused(
            gpu,
            name,
            { groups: [{ match: /w/, [name]: value }] },
            /groups\[0\]/,
            new RegExp(name),
          );
        await refused(gpu, "decay", { ema: { decay: value } }, /ema decay/);
      }
      await refused(gpu, "decay", { ema: { decay: 1.5 } }, /1\.5/);
      await refused(gpu, "nesterov", { nesterov: true }, /nesterov needs a momentum/);
      await refused(
        gpu,
        "idle",
        { groups: [{ match: /gain/ }] },
        /groups\[0\] \(\/gain\/\)/,
        /w, b/,
      );
      await refused(gpu, "idle", { groups: [{ match: /./ }, { match: ["b"] }] }, /groups\[1\]/);
      await refused(gpu, "unknown", { groups: [{ match: ["b", "bias"] }] }, /no parameter 'bias'/);
      await throws("nothing", () => optim.sgd({}), OptionError, /sgd: no parameters/);
      const w = gpu.zeros([2]);
      await throws("tied", () => optim.sgd({ a: w, b: w }), OptionError, /'a' and 'b'/);
      const labels = gpu.zeros([2], "u32");
      await throws("u32", () => optim.sgd({ labels }), ShapeError, /'labels' is u32/);
      const many = gpu.zeros([2, 1, 2, 1, 2]);
      await throws("5 axes", () => optim.sgdAgc({ many }), ShapeError, /'many' is \[2,1,2,1,2\]/);
      optim.sgd({ many }).dispose();
      const clips = { groups: [{ match: /./, clipping: 1 }] };
      await throws("sgd", () => optim.sgd({ w }, clips), OptionError, /use sgdAgc/);
      for (const t of [w, labels, many]) t.dispose();
    },
  },
  {
    name: "gradients and rates are checked before any work",
    async run(gpu) {
      const lr = 0.1;
      const step = 0;
      const missing = /sgdAgc: no gradient for 'b'/;
      const { b: _, ...rest } = { b: 0 };
      await untouched(
        gpu,
        "missing",
        ShapeError,
        (o, { w }) => o.update({ w: w!, ...rest } as Params, { lr, step }),
        missing,
      );
      const other = gpu.zeros([3, 5]);
      const wrong = [/gradient of 'w'/, /\[3,5\]/, /\[3,4\]/];
      await untouched(
        gpu,
        "shape",
        ShapeError,
        (o, { b }) => o.update({ w: other, b: b! }, { lr, step }),
        ...wrong,
      );
      const ints = gpu.zeros([3, 4], "u32");
      await untouched(
        gpu,
        "dtype",
        ShapeError,
        (o, { b }) => o.update({ w: ints, b: b! }, { lr, step }),
        /u32/,
      );
      const gone = gpu.zeros([3, 4]);
      gone.dispose();
      await untouched(
        gpu,
        "released",
        ReleasedError,
        (o, { b }) => o.update({ w: gone, b: b! }, { lr, step }),
        /'w'/,
      );
      const second = await openGpu(alike(gpu));
      const foreign = second.zeros([3, 4]);
      await untouched(
        gpu,
        "foreign",
        DeviceError,
        (o, { b }) => o.update({ w: foreign, b: b! }, { lr, step }),
        /'w'/,
        /another gpu/,
      );
      await untouched(
        gpu,
        "foreign lr",
        DeviceError,
        (o, g) => o.update(g, { lr: second.zeros([]), step }),
        /lr/,
      );
      await second.close();
      await untouched(
        gpu,
        "NaN",
        OptionError,
        (o, g) => o.update(g, { lr: Number.NaN, step }),
        /lr/,
        /NaN/,
      );
      await untouched(
        gpu,
        "lr",
        ShapeError,
        (o, g) => o.update(g, { lr: other, step }),
        /lr is one f32/,
        /\[3,5\]/,
      );
      await untouched(gpu, "no step", OptionError, (o, g) => o.update(g, { lr }), /step/);
      await untouched(
        gpu,
        "step",
        ShapeError,
        (o, g) => o.update(g, { lr, step: ints }),
        /step is one f32/,
      );
      for (const t of [other, ints]) t.dispose();
    },
  },
  {
    name: "groups: a pattern, a predicate or paths; the first that matches decides",
    async run(gpu) {
      const host = Object.fromEntries(
        Object.keys(names).map((n) => [n, { data: new Float32Array(4).fill(1), shape: [4] }]),
      );
      const params = inArenas(gpu, host);
      const opt = optim.sgd(params, {
        weightDecay: 0.5,
        groups: [
          { match: /^stem/g, lrScale: 3 },
          { match: ["head/w", "stem/w"], weightDecay: 0.25 },
          { match: (path) => path.startsWith("bn"), weightDecay: null },
        ],
      });
      const grads = gpu.zerosLike(params);
      opt.update(grads, { lr: 1 });
      const expected = { stem: -0.5, "head/w": 0.75, bn: 1 };
      for (const name of Object.keys(names)) {
        const key = Object.keys(expected).find((k) => name.startsWith(k));
        const [w] = await params[name]!.data();
        equal(name, w, key ? expected[key as keyof typeof expected] : 0.5);
      }
      opt.dispose();
      tree.dispose([params, grads]);
    },
  },
  {
    name: "nfnetGroups: gains and biases do not decay, the classifier's weight is not clipped",
    async run() {
      const groups = optim.nfnetGroups({ names });
      const rule = (path: string) =>
        groups.findIndex(({ match }) => (match as (path: string) => boolean)(path));
      const decay = [
        "stem/gain",
        "stem/bias",
        "block/se/b",
        "block/skip",
        "bn/scale",
        "bn/offset",
        "head/b",
      ];
      const found = Object.keys(names).filter((n) => rule(n) === 0);
      equal("no weight decay", found, decay);
      equal(
        "no clipping",
        Object.keys(names).filter((n) => rule(n) === 1),
        ["head/w"],
      );
      equal(
        "rules",
        groups.map(({ match: _, ...r }) => r),
        [{ weightDecay: null }, { clipping: null }],
      );
      await throws("a stranger", () => rule("tail/w"), OptionError, /tail\/w/);
      const [first, ...others] = optim.nfRegnetGroups({ names });
      const same = Object.keys(names).filter((n) => (first!.match as (p: string) => boolean)(n));
      equal("nfRegnetGroups", [same, first!.weightDecay, others.length], [decay, null, 0]);
    },
  },
  {
    name: "schedules: the reference's formulas",
    async run() {
      const f0 = optim.warmupCosine({ base: 1.6, warmup: 1563.924560546875, steps: 112_602 });
      const warm = optim.warmupCosine({ base: 1, min: 0.1, start: 0.2, warmup: 4, steps: 12 });
      const steps = optim.warmupExponential({ base: 8, warmup: 2, factor: 0.5, interval: 3 });
      const half = optim.cosine({ base: 3, min: 1, steps: 10 });
      const is = [
        ...[0, 1, 4, 8, 12, 20].map(warm), // step 4 is the warm-up's last, past 12 it rises again
        ...[0, 1, 2, 3, 4, 5, 8].map(steps),
        ...[0, 5, 10, 20].map(half),
        ...[0, 1000, 112_602].map(f0),
        optim.warmupCosine({ base: 2, warmup: 0, steps: 8 })(0),
        optim.constant({ base: 0.3 })(7),
        optim.scaleByBatch(0.1, 4096),
      ];
      const should = [
        ...[0.2, 0.4, 1, 0.55, 0.1, 1],
        ...[0, 4, 8, 8, 8, 4, 2],
        ...[3, 2, 1, 3],
        ...[0, (1.6 * 1000) / 1563.924560546875, 0],
        ...[2, 0.3, 1.6],
      ];
      near("values", is, should, { tolerance: 1e-15 });
    },
  },
  {
    name: "schedules: what they refuse",
    async run() {
      const bad: [string, () => unknown][] = [
        ["base", () => optim.constant({ base: Number.NaN })],
        ["steps", () => optim.cosine({ base: 1, steps: 0 })],
        ["steps", () => optim.warmupCosine({ base: 1, warmup: 5, steps: 5 })],
        ["warmup", () => optim.warmupCosine({ base: 1, warmup: -1, steps: 5 })],
        ["interval", () => optim.warmupExponential({ base: 1, warmup: 1, factor: 1, interval: 0 })],
      ];
      for (const [name, f] of bad) await throws(name, f, OptionError, new RegExp(name));
    },
  },
];
