// The SkipInit and Fixup ResNets and the plain layers they are made of: initial values, names, draws, training in a
// recording, what options they refuse.
import {
  type Gpu,
  nn,
  OptionError,
  ops,
  random,
  ShapeError,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { assert, type Case, equal, equalBits, near, throws } from "../harness.ts";
import { hash } from "../nets.ts";

const variant = { depth: [1, 2, 1, 1] };
const options = { numClasses: 10, variant, width: 1, stochdepthRate: 0.4, dropRate: 0.2 };
const images = (gpu: Gpu, n = 2, size = 32): Tensor =>
  gpu.tensor(random.normal(random.key(9), [n, size, size, 3]));

async function hashOf(gpu: Gpu, spec: { readonly initialConv: nn.PlainConvSpec }, train: boolean) {
  const made = gpu.init(spec, { seed: 3, train });
  const parts = await Promise.all(tree.leaves(made).map((leaf) => leaf.tensor.data()));
  tree.dispose(made);
  return hash(Float32Array.from(parts.flatMap((p) => Array.from(p))));
}

export const cases: readonly Case[] = [
  {
    name: "skipinit and fixup: initial values are Haiku's for PRNGKey(3), in training mode and not",
    async run(gpu) {
      const fcInit = nn.init.normal(0.01);
      const skip = nn.skipinitResnet({ ...options, fcInit });
      const fixup = nn.fixupResnet({ ...options, fcInit });
      equal("skipinit, training", await hashOf(gpu, skip.spec, true), 0x0fc1c32f);
      equal("skipinit, evaluation", await hashOf(gpu, skip.spec, false), 0x1e073b00);
      equal("fixup, training", await hashOf(gpu, fixup.spec, true), 0x4b1381e0);
      equal("fixup, evaluation", await hashOf(gpu, fixup.spec, false), 0xd0897d3f);
    },
  },
  {
    name: "skipinit and fixup: names are Haiku's in order; counts of ResNet50",
    async run() {
      const skip = nn.skipinitResnet({ numClasses: 1000 });
      const names = Object.entries(skip.names);
      equal("first", names.slice(0, 3), [
        ["initialConv/w", "SkipInit_ResNet/~/initial_conv/w"],
        ["blocks/0/convShortcut/w", "SkipInit_ResNet/~/nf_res_block/~/conv_shortcut/w"],
        ["blocks/0/convShortcut/b", "SkipInit_ResNet/~/nf_res_block/~/conv_shortcut/b"],
      ]);
      equal(
        "a gain",
        skip.names["blocks/3/skipGain"],
        "SkipInit_ResNet/~/nf_res_block_3/skip_gain",
      );
      equal("tensors", names.length, 123);
      equal("multiply-adds", skip.countFlops(224, 224).total, 15071707136);
      const fixup = nn.fixupResnet({ numClasses: 1000 });
      equal("fixup's first block", Object.values(fixup.names).slice(1, 11), [
        "FixUp_ResNet/bias1",
        "FixUp_ResNet/bias2", // created last, but Haiku keeps a module's parameters together
        ...["bias1a", "bias1b", "bias2a", "bias2b", "bias3a", "bias3b", "scale"].map(
          (name) => `FixUp_ResNet/~/res_block/${name}`,
        ),
        "FixUp_ResNet/~/res_block/~/conv_shortcut/w",
      ]);
      equal("fixup's end", Object.values(fixup.names).slice(-2), [
        "FixUp_ResNet/~/linear/w",
        "FixUp_ResNet/~/linear/b",
      ]);
      equal("fixup's multiply-adds", fixup.countFlops(224, 224).total, 15071707136);
    },
  },
  {
    name: "skipinit and fixup: draws, rates, and what a training call without keys says",
    async run(gpu) {
      const made = { skipinitResnet: nn.skipinitResnet, fixupResnet: nn.fixupResnet };
      for (const [name, make] of Object.entries(made)) {
        const net = make(options);
        near(
          "rates",
          net.blocks.map((b) => b.stochdepthRate),
          [0, 0.08, 0.16, 0.24, 0.32],
          { tolerance: 1e-12 },
        );
        equal("draws", net.draws, 5);
        equal("no dropout by default", make({ ...options, dropRate: null }).draws, 4);
        const params = gpu.init<nn.SkipInitResnetSpec | nn.FixupResnetSpec>(net.spec);
        const x = images(gpu);
        const call = net as (p: typeof params, x: Tensor, m: nn.Mode) => Tensor;
        await throws(
          "keys",
          () => call(params, x, { train: true }),
          ShapeError,
          RegExp(name),
          /5 masks/,
        );
        tree.dispose([params, x]);
      }
    },
  },
  {
    name: "skipinit: with its first gains, 0, dropping branches changes nothing",
    async run(gpu) {
      const net = nn.skipinitResnet({ ...options, fcInit: nn.init.normal(0.1) });
      const params = gpu.init(net.spec);
      const x = images(gpu);
      // The gains are 0: whatever is dropped, only dropout in front of the classifier shows.
      const still = nn.skipinitResnet({ ...options, dropRate: 0, fcInit: nn.init.normal(0.1) });
      const keys = gpu.tensor(random.keys([1, 2], still.draws));
      const a = gpu.scope(() => still(params, x, { train: true, keys }));
      const b = gpu.scope(() => still(params, x, { train: false }));
      equalBits("logits", await a.data(), await b.data());
      tree.dispose([params, x, keys, a, b]);
    },
  },
  {
    name: "fixup: a recorded training step replays the eager one, bit for bit, and lowers the loss",
    async run(gpu) {
      const net = nn.fixupResnet({ ...options, width: 1, fcInit: nn.init.normal(0.01) });
      const labels = gpu.tensor(Uint32Array.of(1, 7));
      const x = images(gpu);
      const losses = async (replay: boolean) => {
        const params = gpu.init(net.spec, { seed: 1 });
        const lossAndGrad = valueAndGrad((p: typeof params, keys: Tensor) =>
          ops.softmaxCrossEntropy(net(p, x, { train: true, keys }), labels),
        );
        const step = gpu.record(
          (keys: Tensor) => {
            const { value, grads } = lossAndGrad(params, keys);
            const by = tree.leaves(grads).map((leaf) => ops.mul(leaf.tensor, 0.01));
            gpu.assign(params, tree.map(params, (p, i) => ops.sub(p, by[i]!)) as never);
            return value;
          },
          { replay },
        );
        const seen: number[] = [];
        for (let t = 0; t < 5; t++) {
          seen.push(await step(random.keys([4, t], net.draws)).item());
        }
        step.dispose();
        tree.dispose(params);
        return seen;
      };
      const [recorded, eager] = [await losses(true), await losses(false)];
      equal("losses", recorded, eager);
      assert(recorded.at(-1)! < recorded[0]!, "the loss falls", recorded);
      tree.dispose([labels, x]);
    },
  },
  {
    name: "skipinit and fixup refuse what they cannot be made of",
    async run() {
      const bad = (more: object) => () => nn.skipinitResnet({ ...options, ...more });
      await throws("variant", bad({ variant: "ResNet5" }), OptionError, /ResNet5.*ResNet50/s);
      await throws("width", bad({ width: 0.3 }), OptionError, /skipinitResnet: width 0.3/);
      await throws(
        "activation",
        bad({ activation: "rele" }),
        OptionError,
        /'rele' is none of celu/,
      );
      await throws("depth", bad({ variant: { depth: [0, 0] } }), OptionError, /depth \[0, 0\]/);
      const five = { variant: { depth: [1, 1, 1, 1, 1] } };
      await throws("stages", bad(five), OptionError, /5 stages, expected 4 or fewer/);
      const fixup = () => nn.fixupResnet({ ...options, width: 1.5 });
      await throws("fixup", fixup, OptionError, /fixupResnet: width 1.5/);
      const grouped = () => nn.conv2d({ inCh: 4, outCh: 6, kernelShape: 3, groups: 4 });
      await throws("groups", grouped, ShapeError, /conv2d: 4 groups/);
    },
  },
  {
    name: "nn.conv2d is hk.Conv2D: a bias unless told otherwise, initial values by fan-in",
    async run(gpu) {
      const conv = nn.conv2d({ inCh: 4, outCh: 6, kernelShape: 3, stride: 2, groups: 2 });
      equal("spec", Object.keys(conv.spec), ["w", "b"]);
      equal("w", conv.spec.w.shape, [3, 3, 2, 6]);
      equal(
        "without",
        Object.keys(nn.conv2d({ inCh: 1, outCh: 1, kernelShape: 1, withBias: false }).spec),
        ["w"],
      );
      const params = gpu.init(conv.spec, { seed: 5 });
      const own = nn.init.truncatedNormal(1 / Math.sqrt(18))(
        random.sequence(random.key(5)).next(),
        [3, 3, 2, 6],
      );
      equalBits("initial values", await params.w.data(), own);
      const x = gpu.tensor(random.normal(random.key(1), [2, 5, 7, 4]));
      const y = gpu.scope(() => conv(params, x));
      const z = ops.conv2d(x, params.w, params.b ?? null, {
        stride: 2,
        padding: "SAME",
        groups: 2,
      });
      equalBits("y", await y.data(), await z.data());
      equal("shape", [...y.shape], [2, 3, 4, 6]);
      tree.dispose([params, x, y, z]);
    },
  },
];
