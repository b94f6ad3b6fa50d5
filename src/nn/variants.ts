// The published sizes of NFNets (base.py: nfnet_params). Only data; a model also takes a plain object.

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
export const nfnetVariants: Readonly<Record<string, NFNetVariant>> =
  /* @__PURE__ */ Object.fromEntries([
    .../* @__PURE__ */ family([256, 512, 1536, 1536], ""),
    .../* @__PURE__ */ family([384, 768, 2048, 2048], "+"),
  ]);
