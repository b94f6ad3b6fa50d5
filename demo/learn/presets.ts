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
 * Large steps: without clipping the loss is not a number any more after 17 steps (demo) or 20 (small), with clipping it
 * falls. Measured on a software adapter; also at 0.1 and 0.3 (30 and 11 steps of the demo's network).
 */
const LARGE: Settings = { lr: 0.2, clipping: 0.02, batch: 32 };
/** Steps that both networks stand. */
const GENTLE: Settings = { ...LARGE, lr: 0.01 };

/** Settings of a preset for a network: the small one is for processors, to which an image is dear. */
export function preset(name: "large" | "gentle", network: string): Settings {
  const settings = name === "large" ? LARGE : GENTLE;
  return network === "small" ? { ...settings, batch: 8 } : settings;
}

export const BATCHES: readonly number[] = [8, 16, 32, 64, 128];
