// How models are built: initial values, widths, rates, draws, and what options they refuse.
import { nn, OptionError, random, ShapeError, tree } from "../../src/index.ts";
import { assert, type Case, equal, near, throws } from "../harness.ts";
import { hash, tiny } from "../nets.ts";

export const cases: readonly Case[] = [
  {
    name: "initial values are Haiku's for PRNGKey(0), in training mode and not",
    async run(gpu) {
      const options = { variant: tiny, numClasses: 10, dropRate: 0.2, stochdepthRate: 0.25 };
      const { spec } = nn.nfnet(options);
      for (const { train, want } of [
        { train: true, want: 0x65c88cbf },
        { train: false, want: 0x05402e69 },
      ]) {
        const made = gpu.init(spec, { seed: 0, train });
        const parts = await Promise.all(tree.leaves(made).map((leaf) => leaf.tensor.data()));
        const all = Float32Array.from(parts.flatMap((p) => Array.from(p)));
        equal(`train ${train}: values`, all.length, 94392);
        equal(`train ${train}: hash of all values`, hash(all), want);
        tree.dispose(made);
      }
    },
  },
  {
    name: "beta is read, then a stage's first block sets the expected deviation back, then it grows",
    async run() {
      const { blocks } = nn.nfnet({ variant: "F1", numClasses: 10, alpha: 0.3 });
      const depth = [2, 4, 12, 6];
      const want: number[] = [];
      let variance = 1;
      for (const n of depth)
        for (let i = 0; i < n; i++) {
          want.push(1 / Math.sqrt(variance));
          variance = (i === 0 ? 1 : variance) + 0.3 ** 2;
        }
      const betas = blocks.map((b) => b.beta);
      near("beta", betas, want, { tolerance: 1e-12 });
      equal("first block", betas[0], 1);
      // A stage's first block still sees the variance of the whole stage before, its second one block's.
      near("second stage", [betas[2]!, betas[3]!], [1 / Math.sqrt(1.18), 1 / Math.sqrt(1.09)]);
    },
  },
  {
    name: "stochastic depth grows from none at block 0; draws are counted",
    async run() {
      const net = nn.nfnet({ variant: tiny, numClasses: 10, stochdepthRate: 0.25, dropRate: 0.2 });
      const rates = net.blocks.map((b) => b.stochdepthRate);
      near(
        "rates",
        rates,
        [0, 1, 2, 3, 4, 5].map((i) => (0.25 * i) / 6),
        { tolerance: 1e-12 },
      );
      equal("draws with dropout", net.draws, 6);
      equal("default", nn.nfnet({ variant: tiny, numClasses: 10 }).draws, 5);
      equal("none", nn.nfnet({ variant: tiny, numClasses: 10, stochdepthRate: 0 }).draws, 0);
      equal("F0", nn.nfnet({ numClasses: 10 }).draws, 12);
      equal("no dropout", nn.nfnet({ numClasses: 10, dropRate: 0 }).draws, 11);
      const draws = (stochdepthRate: number) =>
        nn.nfBlock({ inCh: 128, outCh: 256, stochdepthRate }).draws;
      equal(
        "a rate of 1 is none, as in the reference",
        [draws(0), draws(0.5), draws(1)],
        [0, 1, 0],
      );
    },
  },
  {
    name: "widths are whole groups, rounded down; one below the group size is refused",
    async run() {
      const width = (o: nn.NFBlockOptions) => nn.nfBlock(o).config.width;
      equal("F0+", nn.nfnet({ variant: "F0+", numClasses: 10 }).blocks[0]!.width, 128);
      equal("big width", width({ inCh: 16, outCh: 60, groupSize: 8 }), 24);
      equal("small width", width({ inCh: 50, outCh: 60, groupSize: 8, bigWidth: false }), 24);
      equal("int()", width({ inCh: 8, outCh: 11, groupSize: 1, expansion: 0.7 }), 7);
      await throws(
        "narrow",
        () => nn.nfBlock({ inCh: 8, outCh: 32, groupSize: 17 }),
        ShapeError,
        /nfBlock/,
        /16 channels/,
        /group size 17/,
      );
      equal("NF-RegNet", nn.nfRegnetBlock({ inCh: 13, outCh: 10 }).config.width, 24);
      await throws(
        "narrow",
        () => nn.nfRegnetBlock({ inCh: 3, outCh: 8 }),
        ShapeError,
        /6 channels/,
      );
      equal("NF-ResNet", nn.nfResBlock({ inCh: 4, outCh: 27 }).config.width, 6);
      await throws("none", () => nn.nfResBlock({ inCh: 4, outCh: 3 }), ShapeError, /nfResBlock/);
    },
  },
  {
    name: "width multiplies stages but not the stem; int() truncates; the last convolution",
    async run() {
      const options = { variant: tiny, numClasses: 10 };
      const net = nn.nfnet({ ...options, width: 1.3 });
      equal("stem", net.spec.stem.conv3.w.shape, [3, 3, 64, 8]);
      equal(
        "stages",
        net.blocks.map((b) => b.outCh),
        [20, 41, 41, 83, 83, 83],
      );
      equal("final", net.spec.finalConv.w.shape, [1, 1, 83, 166]);
      const mult = nn.nfnet({ ...options, finalConvMult: 1.99 });
      equal("multiple", mult.spec.finalConv.w.shape, [1, 1, 64, 127]);
      const given = nn.nfnet({ ...options, finalConvMult: null, finalConvCh: 30 });
      equal("given", given.spec.linear.w.shape, [30, 10]);
      await throws(
        "neither",
        () => nn.nfnet({ ...options, finalConvMult: null }),
        OptionError,
        /finalConvCh/,
      );
      const one = nn.nfnet({ ...options, useTwoConvs: false });
      assert(!("conv1b" in one.spec.blocks[0]!), "one 3x3 convolution");
    },
  },
  {
    name: "squeeze-and-excite has max(1, int(channels * ratio)) hidden channels",
    async run() {
      const hidden = (inCh: number, seRatio?: number) =>
        nn.squeezeExcite({ inCh, outCh: 8, ...(seRatio === undefined ? {} : { seRatio }) }).hidden;
      equal("hidden", [hidden(8), hidden(7), hidden(1), hidden(10, 0.25)], [4, 3, 1, 2]);
      equal("given", nn.squeezeExcite({ inCh: 7, outCh: 8, seRatio: null, hiddenCh: 5 }).hidden, 5);
      const none = () => nn.squeezeExcite({ inCh: 7, outCh: 8, seRatio: null });
      await throws("neither", none, OptionError, /seRatio/, /hiddenCh/);
    },
  },
  {
    name: "the siblings' blocks: order of creation and projections",
    async run() {
      const modules = (block: nn.Block) => Object.keys(block.spec);
      equal("NF-RegNet", modules(nn.nfRegnetBlock({ inCh: 8, outCh: 16 })), [
        ...["convShortcut", "conv0", "conv1", "squeezeExcite", "conv2", "skipGain"],
      ]);
      equal("NF-ResNet", modules(nn.nfResBlock({ inCh: 16, outCh: 16 })), [
        ...["conv0", "conv1", "conv2", "skipGain"],
      ]);
      const excited = nn.nfResBlock({ inCh: 16, outCh: 32, useSe: true });
      equal("with squeeze-and-excite", modules(excited), [
        ...["convShortcut", "conv0", "conv1", "conv2", "squeezeExcite", "skipGain"],
      ]);
      const names = nn.haikuNames(excited.spec, "block");
      equal("name", names["squeezeExcite/linear1/b"], "block/~/squeeze_excite/~/linear_1/b");
      equal("name", names["convShortcut/w"], "block/~/conv_shortcut/w");
      equal("name", names.skipGain, "block/skip_gain");
    },
  },
  {
    name: "initializers have Haiku's spreads",
    async run() {
      const shape = [3, 3, 40, 60];
      const std = (init: (key: random.Key, shape: readonly number[]) => Float32Array) => {
        const values = init(random.key(5), shape);
        const mean = values.reduce((s, v) => s + v, 0) / values.length;
        return Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0) / values.length);
      };
      const { varianceScaling, truncatedNormal, normal, uniform, lecunNormal } = nn.init;
      for (const [what, got, want] of [
        ["normal", std(normal(0.01)), 0.01],
        ["truncated", std(truncatedNormal(2)), 2 * 0.8796],
        ["lecun", std(lecunNormal), Math.sqrt(1 / 360)],
        ["fan_in", std(varianceScaling(2, "fan_in", "normal")), Math.sqrt(2 / 360)],
        ["fan_out", std(varianceScaling(1, "fan_out", "uniform")), Math.sqrt(1 / 540)],
        ["fan_avg", std(varianceScaling(1, "fan_avg")), Math.sqrt(1 / 450)],
        ["uniform", std(uniform(-1, 3)), 4 / Math.sqrt(12)],
      ] as const)
        assert(Math.abs(got / want - 1) < 0.02, what, got / want);
      equal(
        "random",
        [normal().random, nn.init.zeros.random, nn.init.ones.random],
        [true, false, false],
      );
      equal("constant", [...nn.init.constant(3)(random.key(0), [2])], [3, 3]);
      equal("mean", Math.round(normal(1e-3, 7)(random.key(1), [1])[0]!), 7);
      await throws("scale", () => varianceScaling(0), OptionError, /scale 0/);
    },
  },
  {
    name: "bad options are named",
    async run() {
      const make = (o: Partial<nn.NFNetOptions>) => () => nn.nfnet({ numClasses: 10, ...o });
      await throws("variant", make({ variant: "F9" }), OptionError, /'F9'/, /F0, F1/);
      const short = { ...tiny, depth: [1, 2] };
      await throws("depth", make({ variant: short }), OptionError, /depth has 2/, /4 stages/);
      const none = { ...tiny, depth: [0, 0, 0, 0] };
      await throws("no block", make({ variant: none }), OptionError, /\[0, 0, 0, 0\]/);
      const part = { ...tiny, depth: [1, 1.5, 1, 1] };
      await throws("half a block", make({ variant: part }), OptionError, /1\.5/);
      const long = { ...tiny, width: [8, 8, 8, 8, 8] };
      await throws("stages", make({ variant: long }), OptionError, /5 stages/);
      const two = make({ variant: { ...tiny, width: [16, 32], depth: [0, 2] } })();
      equal(
        "two stages",
        two.blocks.map((b) => [b.inCh, b.outCh, b.stride]),
        [
          ...[
            [8, 32, 2],
            [32, 32, 1],
          ],
        ],
      );
      const wide = { ...tiny, groupWidth: [8, 64, 8, 8] };
      await throws("groups", make({ variant: wide }), ShapeError, /group size 64/);
      const groups = () => nn.wsConv2d({ inCh: 6, outCh: 8, kernelShape: 3, groups: 4 });
      await throws("conv", groups, ShapeError, /wsConv2d/, /4 groups/);
    },
  },
];
