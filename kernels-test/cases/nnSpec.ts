// What a model is before it computes: parameters, names, initial values, sizes, FLOPs. Held against
// what the reference gives (Haiku names and shapes in creation order, by the hash of their JSON).
import { nn, OptionError, random, ShapeError, tree } from "../../src/index.ts";
import { assert, type Case, equal, near, throws } from "../harness.ts";
import { hash } from "./random.ts";

export const tiny: nn.NFNetVariant = {
  width: [16, 32, 64, 64],
  depth: [1, 2, 2, 1],
  groupWidth: [8, 8, 8, 8],
  trainImsize: 32,
  testImsize: 32,
  dropRate: 0,
};

const params = (spec: object, names: Readonly<Record<string, string>>) =>
  Object.entries(names).map(([path, name]) => {
    const leaf = path.split("/").reduce((o, k) => (o as Record<string, object>)[k]!, spec);
    return [name, (leaf as { shape: readonly number[] }).shape] as const;
  });
const hashJson = (x: unknown) => hash(Uint32Array.from(JSON.stringify(x), (c) => c.charCodeAt(0)));
const count = (list: readonly (readonly [string, readonly number[]])[]) =>
  list.reduce((n, [, shape]) => n + shape.reduce((a, b) => a * b, 1), 0);

/** Parameters; multiply-adds in training and testing; image sizes; dropout; hash of names and shapes. */
const published: Readonly<Record<string, readonly number[]>> = {
  F0: [71_489_284, 6_977_003_520, 12_384_198_656, 192, 256, 0.2, 0xbaefc634],
  F1: [132_634_256, 17_437_921_280, 35_538_968_576, 224, 320, 0.3, 0x9fd4b3d0],
  F2: [193_779_228, 33_139_318_784, 62_592_978_944, 256, 352, 0.4, 0x8aba1310],
  F3: [254_924_200, 67_944_292_352, 114_763_501_568, 320, 416, 0.4, 0xa569a8df],
  F4: [316_069_172, 121_122_250_752, 215_241_187_328, 384, 512, 0.5, 0x1930ed0f],
  F5: [377_214_144, 169_498_382_336, 289_757_106_176, 416, 544, 0.5, 0xbf84a303],
  F6: [438_359_116, 228_292_861_952, 377_280_307_200, 448, 576, 0.5, 0x28903f6e],
  F7: [499_504_088, 298_476_539_904, 478_781_640_704, 480, 608, 0.5, 0x31c1ff66],
  "F0+": [118_824_516, 10_999_005_184, 19_520_208_896, 192, 256, 0.2, 0xc7c0cda4],
  "F1+": [220_357_008, 27_210_002_432, 55_445_012_480, 224, 320, 0.3, 0x5cd90d0e],
  "F2+": [321_889_500, 51_508_625_408, 97_275_441_152, 256, 352, 0.4, 0x8dc0fe00],
  "F3+": [423_421_992, 105_382_952_960, 177_986_514_944, 320, 416, 0.4, 0xd050eab1],
  "F4+": [524_954_484, 187_619_000_320, 333_389_742_080, 384, 512, 0.5, 0xf3a70b7f],
  "F5+": [626_486_976, 262_327_709_696, 448_426_520_576, 416, 544, 0.5, 0x02e5350d],
  "F6+": [728_019_468, 353_101_611_008, 583_517_274_112, 448, 576, 0.5, 0xb49dbdbe],
  "F7+": [829_551_960, 461_436_497_920, 740_157_796_352, 480, 608, 0.5, 0xb28e07d8],
  Tiny: [94_392, 6_649_856, 6_649_856, 32, 32, 0, 0xdff416e7],
};

/** The same for the siblings: parameters, hash, multiply-adds in training and testing where known. */
const siblings: Readonly<Record<string, readonly number[]>> = {
  B0: [8_595_372, 0x4793ad3b, 327_149_536, 443_672_488],
  B1: [10_019_208, 0x4a01be68, 562_813_864, 733_522_624],
  B2: [13_785_904, 0xcfe20f22, 857_540_277, 1_099_455_477],
  B3: [18_136_667, 0x2dcdd49c, 1_621_118_328, 1_999_206_624],
  B4: [29_315_830, 0x12f76ca6, 3_106_822_976, 4_467_269_888],
  B5: [48_707_138, 0x7ccb0626, 7_496_250_368, 10_560_732_278],
  B6: [70_045_805, 0x97cc5297, 14_183_144_848, 19_686_934_813],
  B7: [101_743_204, 0x15af3256, 27_283_033_088, 37_448_192_048],
  B8: [142_314_441, 0xda0e301d, 50_811_425_909.25, 63_719_342_484],
  ResNet50: [25_557_048, 0xd27ce10b],
  ResNet101: [44_549_193, 0xc5edc46f],
  ResNet152: [60_192_858, 0x498dc41d],
  ResNet200: [64_673_898, 0xa389d90e],
  ResNet288: [146_460_552, 0x2dbd99e2],
  ResNet600: [300_646_896, 0xda3688cd],
  "ResNet50-SE": [35_635_704, 0x0265e590, 15_077_994_496],
};

export const cases: readonly Case[] = [
  {
    name: "NFNet F0 to F7 and F0+ to F7+ have the reference's parameters, names and FLOPs",
    async run() {
      equal("variants", Object.keys(nn.nfnetVariants), Object.keys(published).slice(0, -1));
      for (const [name, want] of Object.entries(published)) {
        const variant = name === "Tiny" ? tiny : name;
        const net = nn.nfnet({ variant, numClasses: name === "Tiny" ? 10 : 1000 });
        const list = params(net.spec, net.names);
        const { trainImsize, testImsize } = net;
        const [train, test] = [trainImsize, testImsize].map((n) => net.countFlops(n, n).total);
        const sizes = [trainImsize, testImsize, net.dropRate];
        equal(name, [count(list), train, test, ...sizes, hashJson(list)], want);
      }
    },
  },
  {
    name: "NF-RegNets and NF-ResNets have the reference's parameters, names and FLOPs",
    async run() {
      for (const [name, want] of Object.entries(siblings)) {
        const options = { numClasses: 1000, useSe: name.endsWith("-SE") };
        const variant = name.replace("-SE", "");
        const net = name.startsWith("B")
          ? nn.nfRegnet({ ...options, variant })
          : nn.nfResnet({ ...options, variant });
        const list = params(net.spec, net.names);
        const sizes = "trainImsize" in net ? [net.trainImsize, net.testImsize] : [224];
        const totals = sizes.map((n) => net.countFlops(n, n).total);
        const got = [count(list), hashJson(list), ...totals.slice(0, want.length - 2)];
        equal(name, got, want);
      }
    },
  },
  {
    name: "parameters lie in Haiku's order of creation, under its names",
    async run() {
      const { names } = nn.nfnet({ variant: tiny, numClasses: 10 });
      const listed = Object.entries(names);
      const conv = (path: string, name: string) =>
        ["w", "gain", "bias"].map((p) => [`${path}/${p}`, `${name}/${p}`]);
      const block = (path: string, name: string, projection: boolean) => [
        ...(projection ? conv(`${path}/convShortcut`, `${name}/~/conv_shortcut`) : []),
        ...["conv0", "conv1", "conv1b", "conv2"].flatMap((c) =>
          conv(`${path}/${c}`, `${name}/~/${c}`),
        ),
        [`${path}/squeezeExcite/linear/w`, `${name}/~/squeeze_excite/~/linear/w`],
        [`${path}/squeezeExcite/linear/b`, `${name}/~/squeeze_excite/~/linear/b`],
        [`${path}/squeezeExcite/linear1/w`, `${name}/~/squeeze_excite/~/linear_1/w`],
        [`${path}/squeezeExcite/linear1/b`, `${name}/~/squeeze_excite/~/linear_1/b`],
        [`${path}/skipGain`, `${name}/skip_gain`],
      ];
      equal("131 parameters", listed, [
        ...[0, 1, 2, 3].flatMap((i) => conv(`stem/conv${i}`, `NFNet/~/stem_conv${i}`)),
        ...[true, true, false, true, false, true].flatMap((projection, i) =>
          block(`blocks/${i}`, `NFNet/~/nf_block${i ? `_${i}` : ""}`, projection),
        ),
        ...conv("finalConv", "NFNet/~/final_conv"),
        ["linear/w", "NFNet/~/linear/w"],
        ["linear/b", "NFNet/~/linear/b"],
      ]);
    },
  },
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
