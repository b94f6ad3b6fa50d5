// The published sizes of the networks (base.py: nfnet_params, nf_regnet_params; nf_resnet.py). Only
// data; a model also takes a plain object.

/** Four stages, or fewer, with one entry each in every list. */
export interface NFNetVariant {
  /** Channels of each stage's output. The stem ends with half of the first. */
  readonly width: readonly number[];
  /** Blocks of each stage. */
  readonly depth: readonly number[];
  /** Width inside a block as a part of its output's; default 0.5. */
  readonly expansion?: readonly number[];
  /** Channels of a group in the 3x3 convolutions; default 128. */
  readonly groupWidth?: readonly number[];
  /** Whether a block's width follows from its output (true, the default) or its input. */
  readonly bigWidth?: readonly boolean[];
  /** Height and width of the images in training and in testing, in pixels. */
  readonly trainImsize: number;
  readonly testImsize: number;
  /** Dropout before the classifier, if the model's own option does not say. */
  readonly dropRate: number;
}

const family = (width: readonly number[], suffix: string) =>
  (
    [
      [192, 256, 0.2],
      [224, 320, 0.3],
      [256, 352, 0.4],
      [320, 416, 0.4],
      [384, 512, 0.5],
      [416, 544, 0.5],
      [448, 576, 0.5],
      [480, 608, 0.5],
    ] as const
  ).map(([trainImsize, testImsize, dropRate], i): [string, NFNetVariant] => {
    const depth = [1, 2, 6, 3].map((blocks) => blocks * (i + 1));
    return [`F${i}${suffix}`, { width, depth, trainImsize, testImsize, dropRate }];
  });

/** F0 to F7, and their wider siblings F0+ to F7+. */
export const nfnetVariants: Readonly<Record<string, NFNetVariant>> = /* @__PURE__ */ (() =>
  Object.fromEntries([
    ...family([256, 512, 1536, 1536], ""),
    ...family([384, 768, 2048, 2048], "+"),
  ]))();

/** Four stages, or fewer. */
export interface NFRegnetVariant {
  readonly width: readonly number[];
  readonly depth: readonly number[];
  readonly trainImsize: number;
  readonly testImsize: number;
  readonly dropRate: number;
}

/** B0 to B8. */
export const nfRegnetVariants: Readonly<Record<string, NFRegnetVariant>> = /* @__PURE__ */ (() =>
  Object.fromEntries(
    (
      [
        [[48, 104, 208, 440], [1, 3, 6, 6], 192, 224, 0.2],
        [[48, 104, 208, 440], [2, 4, 7, 7], 224, 256, 0.2],
        [[56, 112, 232, 488], [2, 4, 8, 8], 240, 272, 0.3],
        [[56, 128, 248, 528], [2, 5, 9, 9], 288, 320, 0.3],
        [[64, 144, 288, 616], [2, 6, 11, 11], 320, 384, 0.4],
        [[80, 168, 336, 704], [3, 7, 14, 14], 384, 456, 0.4],
        [[88, 184, 376, 792], [3, 8, 16, 16], 448, 528, 0.5],
        [[96, 208, 416, 880], [4, 10, 19, 19], 512, 600, 0.5],
        [[104, 232, 456, 968], [4, 11, 22, 22], 600, 672, 0.5],
      ] as const
    ).map(([width, depth, trainImsize, testImsize, dropRate], i): [string, NFRegnetVariant] => [
      `B${i}`,
      { width, depth, trainImsize, testImsize, dropRate },
    ]),
  ))();

export interface NFResnetVariant {
  /** Blocks of each of the four stages. */
  readonly depth: readonly number[];
  /** Default 0: the reference's table has none. */
  readonly dropRate?: number;
}

export const nfResnetVariants: Readonly<Record<string, NFResnetVariant>> = {
  ResNet50: { depth: [3, 4, 6, 3] },
  ResNet101: { depth: [3, 4, 23, 3] },
  ResNet152: { depth: [3, 8, 36, 3] },
  ResNet200: { depth: [3, 24, 36, 3] },
  ResNet288: { depth: [24, 24, 24, 24] },
  ResNet600: { depth: [50, 50, 50, 50] },
};
