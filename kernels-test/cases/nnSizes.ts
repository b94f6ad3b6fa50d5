// Parameters, Haiku names in order of creation and FLOPs of all published sizes, held against the
// reference's own; names and shapes by the hash of their JSON.
import { nn } from "../../src/index.ts";
import { type Case, equal } from "../harness.ts";
import { hash, tiny } from "../nets.ts";

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
];
