// The small NFNets that train in minutes, with how they are trained. Only data: the published sizes are in
// src/nn/variants.ts and may be named, too.
import { OptionError } from "../errors.ts";
import type { NFNetOptions } from "../nn/nfnet.ts";
import { type NFNetVariant, nfnetVariants } from "../nn/variants.ts";
import type { Augment } from "./batches.ts";

/** How a network is trained; everything but the data and the seed. */
export interface Recipe {
  readonly epochs: number;
  readonly batch: number;
  /** The learning rate after the warm-up. */
  readonly lr: number;
  /** The part of all steps that the warm-up takes. */
  readonly warmup: number;
  readonly momentum: number;
  readonly weightDecay: number;
  /** AGC's greatest gradient norm as a part of the unit's norm; null: no clipping. */
  readonly clipping: number | null;
  readonly smoothing: number;
  /** Pixels cut off on each side. */
  readonly trim: number;
  readonly augment: Augment;
}

/** The rest of the model's options; plain data, so that a checkpoint can hold it. */
export type NetOptions = Pick<NFNetOptions, "stochdepthRate" | "finalConvMult" | "activation">;

export interface Variant {
  readonly sizes: NFNetVariant;
  readonly options: NetOptions;
  readonly recipe: Recipe;
}

const recipe: Recipe = {
  epochs: 6,
  batch: 32,
  lr: 0.1,
  warmup: 0.1,
  momentum: 0.9,
  weightDecay: 2e-5,
  clipping: 0.1,
  smoothing: 0.1,
  trim: 2,
  augment: { shift: 2, rotate: 8, zoom: 0.08, shear: 0.1 },
};

const small = (
  width: readonly number[],
  depth: readonly number[],
  groupWidth: readonly number[],
) => ({
  sizes: { width, depth, groupWidth, trainImsize: 24, testImsize: 24, dropRate: 0 },
  options: { stochdepthRate: 0 },
  recipe,
});

const variants: Readonly<Record<string, Variant>> = {
  demo: small([64, 128], [1, 1], [32, 32]),
  wide: small([128, 256], [1, 1], [64, 64]),
  deep: small([64, 128], [2, 4], [32, 32]),
};

/** Names that `--variant` takes. */
export const variantNames: readonly string[] = [
  .../* @__PURE__ */ Object.keys(variants),
  .../* @__PURE__ */ Object.keys(nfnetVariants),
];

/** A small network by name, or a published one with the demo's recipe. @throws OptionError for an unknown name. */
export function variantByName(name: string): Variant {
  const own = Object.hasOwn(variants, name) ? variants[name] : undefined;
  if (own) return own;
  const sizes = Object.hasOwn(nfnetVariants, name) ? nfnetVariants[name] : undefined;
  if (sizes) return { sizes, options: {}, recipe };
  throw new OptionError(
    `train: variant '${name}' is unknown, expected one of ${variantNames.join(", ")}`,
  );
}
