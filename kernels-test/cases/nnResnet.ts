// The BatchNorm layer and the ResNets on it: names, running statistics, recordings, evaluation, what options they refuse.
import { nn, OptionError, ops, type Tensor, tree, valueAndGrad } from "../../src/index.ts";
import { assert, type Case, equal, equalBits, near, throws } from "../harness.ts";
import { hash } from "../nets.ts";

const variant = { depth: [1, 2, 1, 1] };
const small = { numClasses: 3, width: 0.25, variant: { depth: [1, 1, 1, 1] } };
const images = (
  gpu: { tensor(d: Float32Array<ArrayBuffer>, s: readonly number[]): Tensor },
  t = 0,
) =>
  gpu.tensor(
    Float32Array.from({ length: 2 * 32 * 32 * 3 }, (_, i) => Math.sin(i * 1.7 + t) + 0.3 * t),
    [2, 32, 32, 3],
  );

export const cases: readonly Case[] = [
  {
    name: "resnet: initial values are Haiku's for PRNGKey(3), with and without preactivation",
    async run(gpu) {
      const options = {
        width: 1,
        numClasses: 10,
        variant,
        useSe: true,
        fcInit: nn.init.normal(0.01),
      };
      for (const { preactivation, dropRate, tensors, want } of [
        { preactivation: true, dropRate: 0.2, tensors: 74, want: 331756066 },
        { preactivation: false, dropRate: 0.3, tensors: 82, want: 2422899746 },
      ]) {
        const { spec } = nn.resnet({ ...options, preactivation, dropRate });
        const made = gpu.init(spec, { seed: 3 });
        const parts = await Promise.all(tree.leaves(made).map((leaf) => leaf.tensor.data()));
        equal("tensors", parts.length, tensors);
        const all = Float32Array.from(parts.flatMap((p) => Array.from(p)));
        equal(`preactivation ${preactivation}: hash of all values`, hash(all), want);
        tree.dispose(made);
      }
    },
  },
  {
    name: "resnet: names and shapes of parameters and statistics are Haiku's",
    async run(gpu) {
      const v1 = nn.resnet({ width: 1, numClasses: 10, variant, preactivation: false });
      const v2 = nn.resnet({ width: 1, numClasses: 10, variant });
      equal(
        "a shortcut's",
        v1.names["blocks/1/shortcutBn/scale"],
        "ResNet/~/res_block_v1_1/shortcut_bn/scale",
      );
      equal("a block's", v2.names["blocks/0/bn0/offset"], "ResNet/~/res_block_v2/~/bn0/offset");
      equal(
        "a shortcut's statistics",
        v1.stateNames["blocks/0/shortcutBn/varEma/average"],
        "ResNet/~/res_block_v1/shortcut_bn/~/var_ema/average",
      );
      equal("v1 has no last one", "finalBn/meanEma/counter" in v1.stateNames, false);
      equal(
        "v2 has",
        v2.stateNames["finalBn/meanEma/counter"],
        "ResNet/~/final_bn/~/mean_ema/counter",
      );
      const state = gpu.init(v2.stateSpec);
      equal("hidden", [...state.blocks[0]!.bn0.meanEma.hidden.shape], [1, 1, 1, 16]);
      equal("counter", [...state.blocks[0]!.bn0.meanEma.counter.shape], []);
      tree.dispose(state);
    },
  },
  {
    name: "batchNorm: the first step's debiased average is the batch's statistics, the second a mix",
    async run(gpu) {
      const norm = nn.batchNorm({ ch: 3, createScale: true, createOffset: false, decayRate: 0.75 });
      const [params, state, x] = [gpu.init(norm.spec), gpu.init(norm.stateSpec), images(gpu)];
      equal("parameters", Object.keys(params), ["scale"]);
      const step = () => gpu.scope(() => norm(params, x, { train: true, state }));
      const batch = gpu.scope(() => ops.batchNorm(x));
      const [mean, variance] = [await batch.mean.data(), await batch.variance.data()];
      for (let n = 1; n <= 3; n++) {
        const { y, state: next } = step();
        gpu.assign(state, next);
        for (const t of [y, ...tree.leaves(next).map((l) => l.tensor)]) t.dispose();
        // The same batch again: the debiased average stays where it is, the plain one grows towards it.
        const { meanEma, varEma } = await gpu.read(state);
        equal("counter", meanEma.counter.data[0], n);
        near("mean", meanEma.average.data, mean, { tolerance: 3e-7 });
        near("variance", varEma.average.data, variance, { tolerance: 3e-7 });
        const share = 1 - 0.75 ** n;
        near(
          "hidden",
          varEma.hidden.data,
          variance.map((v) => v * share),
          { tolerance: 3e-7 },
        );
      }
      for (const t of [batch.y, batch.mean, batch.variance, x]) t.dispose();
      tree.dispose(params);
      tree.dispose(state);
    },
  },
  ...[true, false].map(
    (preactivation): Case => ({
      name: `resnet: a recording with assign(state, next) inside replays as calls do, preactivation ${preactivation}`,
      async run(gpu) {
        const live = gpu.memory().live;
        const model = nn.resnet({
          ...small,
          preactivation,
          useSe: true,
          fcInit: nn.init.normal(0.1),
        });
        const results: Float32Array[][] = [];
        const batches = [0, 1, 2, 3].map((t) => images(gpu, t));
        for (const replay of [true, false]) {
          const params = gpu.init(model.spec, { seed: 1 });
          const state = gpu.init(model.stateSpec);
          const lossAndGrad = valueAndGrad((p: typeof params, x: Tensor) => {
            const { logits, state: next } = model(p, x, { train: true, state });
            return [ops.mean(ops.square(logits)), { next }] as const;
          });
          const train = gpu.record(
            (x: Tensor) => {
              const { value, grads, aux } = lossAndGrad(params, x);
              gpu.assign(state, aux.next);
              return { value, dw: grads.initialConv.w };
            },
            { replay },
          );
          const predict = gpu.record(
            (x: Tensor) => model(params, x, { train: false, state }).logits,
            { replay },
          );
          const seen: Float32Array[] = [];
          for (const x of batches) {
            const { value, dw } = train(x);
            seen.push((await value.data()) as Float32Array, (await dw.data()) as Float32Array);
          }
          // The recording of evaluation reads what training wrote meanwhile.
          const before = await predict(batches[0]!).data();
          train(batches[1]!);
          const after = await predict(batches[0]!).data();
          assert(
            before.some((v, i) => v !== after[i]),
            "training moves evaluation",
          );
          for (const { path, tensor } of tree.leaves(state)) {
            const data = await tensor.data();
            if (path.endsWith("counter")) equal(path, data[0], 5);
            assert(data.every(Number.isFinite), `${path} is finite`);
          }
          seen.push(before as Float32Array, after as Float32Array);
          results.push(seen);
          train.dispose();
          predict.dispose();
          tree.dispose(params);
          tree.dispose(state);
        }
        for (const [i, data] of results[0]!.entries())
          equalBits(`result ${i}`, data, results[1]![i]!);
        for (const x of batches) x.dispose();
        equal("buffers left behind", gpu.memory().live, live);
      },
    }),
  ),
  {
    name: "resnet: evaluation leaves the statistics alone; with the batch's own it is training without dropout",
    async run(gpu) {
      const normKwargs = { decayRate: 0 };
      const model = nn.resnet({ ...small, normKwargs, fcInit: nn.init.normal(0.1) });
      const [params, state, x] = [gpu.init(model.spec), gpu.init(model.stateSpec), images(gpu)];
      const run = async (mode: { train: boolean; testLocalStats?: boolean }) => {
        const out = gpu.scope(() =>
          model.outputs(params, x, { ...mode, state, returnMetrics: true }),
        );
        const logits = await out.logits.data();
        equal("metrics", out.metrics?.avgVar.length, 5);
        equal("the given state", out.state === state, !mode.train);
        if (mode.train) gpu.assign(state, out.state);
        for (const t of [out.logits, out.pool]) t.dispose();
        return logits;
      };
      const trained = await run({ train: true });
      equalBits("local", await run({ train: false, testLocalStats: true }), trained);
      // Without memory the averages are the last batch's statistics.
      equalBits("running", await run({ train: false }), trained);
      equal("counter", (await state.blocks[0]!.bn0.meanEma.counter.data())[0], 1);
      x.dispose();
      tree.dispose(params);
      tree.dispose(state);
    },
  },
  {
    name: "resnet and batchNorm refuse what they cannot be made of",
    async run(gpu) {
      const norm = { ch: 4, createScale: true, createOffset: true, decayRate: 0.9 };
      const refuse = (what: RegExp, make: () => unknown) =>
        throws(String(what), make, OptionError, what);
      await refuse(/decayRate 1 /, () => nn.batchNorm({ ...norm, decayRate: 1 }));
      await refuse(/eps -1/, () => nn.batchNorm({ ...norm, eps: -1 }));
      await refuse(/axis \[1,2\]/, () => nn.batchNorm({ ...norm, axis: [1, 2] }));
      await refuse(/scaleInit needs createScale/, () =>
        nn.batchNorm({ ...norm, createScale: false, scaleInit: nn.init.ones }),
      );
      await refuse(/variant 'ResNet18' is none of ResNet50/, () =>
        nn.resnet({ ...small, variant: "ResNet18" }),
      );
      await refuse(/4 stages/, () => nn.resnet({ ...small, variant: { depth: [1, 1] } }));
      await refuse(/width 0.3/, () => nn.resnet({ ...small, width: 0.3 }));
      await refuse(/activation 'swoosh' is none of/, () =>
        nn.resnet({ ...small, activation: "swoosh" as "relu" }),
      );
      await refuse(/glu halves/, () =>
        nn.resnet({ ...small, activation: "glu", preactivation: false }),
      );
      const model = nn.resnet(small);
      const [params, x] = [gpu.init(model.spec), images(gpu)];
      await refuse(/resnet: no state was given/, () =>
        model(params, x, { train: false } as Parameters<typeof model>[2]),
      );
      x.dispose();
      tree.dispose(params);
    },
  },
];
