// What a run is before it starts: options, a checkpoint's word, and the data put together and checked. No GPU.
import { FormatError, OptionError } from "../errors.ts";
import type { Dataset } from "../io/datasets.ts";
import { type Augment, scalingOf } from "./batches.ts";
import type { Description, Opened } from "./classifier.ts";
import { type Recipe, type Variant, variantByName } from "./recipes.ts";

/** How far a run is; part of a checkpoint's meta. */
export interface Journal {
  readonly seed: number;
  /** Epochs done. */
  readonly epoch: number;
  readonly recipe: Recipe;
  readonly data: string;
}

export interface Plan extends Journal {
  readonly description: Description;
}

interface Given {
  readonly data: Dataset;
  readonly variant?: string | Variant;
  readonly recipe?: Partial<Recipe>;
  readonly seed?: number;
  readonly resume?: Opened;
}

type Rule = readonly [test: (x: number) => boolean, want: string];
const finite = (x: number) => x < Number.POSITIVE_INFINITY;
const atLeast0: Rule = [(x) => x >= 0 && finite(x), "a number of at least 0"];
const fraction: Rule = [(x) => x >= 0 && x < 1, "a number from 0 to below 1"];
const counting: Rule = [(x) => Number.isSafeInteger(x) && x > 0, "an integer above 0"];
const rules: { readonly [K in Exclude<keyof Recipe, "augment"> | keyof Augment]: Rule } = {
  epochs: counting,
  batch: counting,
  lr: [(x) => x > 0 && finite(x), "a number above 0"],
  warmup: fraction,
  momentum: fraction,
  weightDecay: atLeast0,
  clipping: [(x) => x > 0 && finite(x), "a number above 0, or null"],
  smoothing: fraction,
  trim: [(x) => Number.isSafeInteger(x) && x >= 0, "an integer of at least 0"],
  shift: atLeast0,
  rotate: atLeast0,
  zoom: atLeast0,
  shear: atLeast0,
};

function check(recipe: Recipe, data: Dataset): void {
  const flat = { ...recipe, ...recipe.augment };
  for (const [name, [test, want]] of Object.entries(rules)) {
    const value = flat[name as keyof typeof rules];
    if (name === "clipping" && value === null) continue;
    if (typeof value !== "number" || !test(value))
      throw new OptionError(`train: ${name} is ${want}, got ${String(value)}`);
  }
  const { count, height, width } = data.train;
  if (recipe.batch > count)
    throw new OptionError(
      `train: a batch of ${recipe.batch} is more than the ${count} training images`,
    );
  if (2 * recipe.trim >= Math.min(height, width))
    throw new OptionError(`train: trim=${recipe.trim} leaves nothing of ${height}x${width} images`);
}

/** @throws OptionError for options out of range, FormatError for a checkpoint that does not fit. */
export function planOf({ data, variant = "demo", recipe, seed = 0, resume }: Given): Plan {
  if (resume) return resumed(resume, data);
  if (!Number.isSafeInteger(seed) || seed < 0 || seed >= 2 ** 32)
    throw new OptionError(`train: seed is an integer from 0 to 2^32 - 1, got ${seed}`);
  const named = typeof variant === "string";
  const { sizes, options, recipe: own } = named ? variantByName(variant) : variant;
  const full = { ...own, ...recipe };
  check(full, data);
  const { height, width } = data.train;
  const scaling = scalingOf(data.train, full.trim);
  const image = { height, width };
  const { classes, name } = data;
  const description = {
    variant: named ? variant : "custom",
    sizes,
    options,
    classes,
    scaling,
    image,
  };
  return { description, recipe: full, seed, epoch: 0, data: name };
}

function isJournal(x: unknown): x is Journal {
  if (typeof x !== "object" || x === null || !("recipe" in x)) return false;
  const { seed, epoch, recipe } = x as Journal;
  return (
    [seed, epoch].every((n) => Number.isSafeInteger(n) && n >= 0) && typeof recipe === "object"
  );
}

function resumed({ description, meta }: Opened, data: Dataset): Plan {
  const journal = meta.train;
  if (!isJournal(journal) || !journal.recipe)
    throw new FormatError(
      `train: the checkpoint does not say how its run went on, it cannot be resumed`,
    );
  check(journal.recipe, data);
  const { image, classes } = description;
  const { height, width } = data.train;
  const size = (of: { height: number; width: number }, n: number) =>
    `${of.height}x${of.width} images of ${n} classes`;
  if (image.height !== height || image.width !== width || classes !== data.classes)
    throw new FormatError(
      `train: the checkpoint was trained on ${size(image, classes)}, the data are ${size({ height, width }, data.classes)}`,
    );
  return { ...journal, description };
}
