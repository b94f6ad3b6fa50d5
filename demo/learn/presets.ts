// Networks to choose from and the settings that the page starts with. Only data.
import { type Recipe, type Variant, variantByName } from "../../src/train/recipes.ts";
import type { Settings } from "./protocol.ts";

const demo = variantByName("demo");
const sized = (
  width: readonly number[],
  depth: readonly number[],
  groupWidth: readonly number[],
): Variant => ({ ...demo, sizes: { ...demo.sizes, width, depth, groupWidth } });

/** NFNets of the training command's kind; "demo" is its own. */
export const networks: Readonly<Record<string, Variant>> = {
  small: sized([16, 32], [1, 1], [8, 8]),
  demo,
  deep: variantByName("deep"),
};

/** How all of them are trained; the page's sliders replace the rest. Without smoothing a loss goes towards 0. */
export const recipe: Recipe = { ...demo.recipe, smoothing: 0 };

/**
 * Large steps: without clipping the loss is not a number any more within some 20 steps, with clipping it falls.
 * Measured for each network, docs/training.md has why.
 */
export const large: Settings = { lr: 0.2, clipping: 0.02, batch: 32 };
/** Steps that both networks stand. */
export const gentle: Settings = { lr: 0.01, clipping: 0.02, batch: 32 };

export const BATCHES: readonly number[] = [8, 16, 32, 64, 128];
