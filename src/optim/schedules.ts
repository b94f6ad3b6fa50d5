// Learning-rate schedules: plain functions of the 0-based step, in doubles. They hold no state and know no optimizer.
// As in the reference nothing is clamped: a cosine rises again past its last step.
import { OptionError } from "../errors.ts";

/** The learning rate (or any other quantity) at a 0-based step. */
export type Schedule = (step: number) => number;

export interface CosineOptions {
  /** The value at step 0. */
  readonly base: number;
  /** The step at which `min` is reached; past it the cosine rises again. */
  readonly steps: number;
  readonly min?: number;
}

export interface WarmupCosineOptions extends CosineOptions {
  /** Steps of linear warm-up from `start` to `base`, the step `warmup` included; may be a fraction. */
  readonly warmup: number;
  readonly start?: number;
}

export interface WarmupExponentialOptions {
  readonly base: number;
  /** Steps of linear warm-up from `start` to `base`, the step `warmup` included; may be a fraction. */
  readonly warmup: number;
  readonly start?: number;
  /** The value is multiplied by `factor` after every `interval` steps past the warm-up. */
  readonly factor: number;
  readonly interval: number;
}

function check(name: string, values: Readonly<Record<string, number>>): void {
  for (const [key, value] of Object.entries(values))
    if (!Number.isFinite(value))
      throw new OptionError(`${name}: ${key} is a finite number, got ${value}`);
}

function positive(name: string, key: string, value: number): void {
  if (!(value > 0)) throw new OptionError(`${name}: ${key} is more than 0, got ${value}`);
}

const halfCosine = (base: number, min: number, part: number): number =>
  0.5 * (base - min) * (1 + Math.cos(Math.PI * part)) + min;

/** A straight line from `start` at step 0 to `base` at step `warmup`, then `after`. */
const warmed =
  (base: number, warmup: number, start: number, after: Schedule): Schedule =>
  (step) =>
    step > warmup || warmup === 0 ? after(step) : (base - start) * (step / warmup) + start;

function checkWarmup(name: string, warmup: number): void {
  if (warmup < 0) throw new OptionError(`${name}: warmup is at least 0, got ${warmup}`);
}

/** Always `base`. */
export function constant({ base }: { readonly base: number }): Schedule {
  check("constant", { base });
  return () => base;
}

/** Half a cosine from `base` at step 0 to `min` (0) at step `steps`. Source: `optim.py: CosineDecay`. */
export function cosine({ base, steps, min = 0 }: CosineOptions): Schedule {
  check("cosine", { base, steps, min });
  positive("cosine", "steps", steps);
  return (step) => halfCosine(base, min, step / steps);
}

/**
 * A linear warm-up from `start` (0) to `base`, then half a cosine down to `min` (0) at step `steps`.
 * Source: `optim.py: WarmupCosineDecay`. Without warm-up (0 steps) the cosine begins at step 0,
 * where the reference divides by zero.
 */
export function warmupCosine(options: WarmupCosineOptions): Schedule {
  const { base, warmup, steps, min = 0, start = 0 } = options;
  check("warmupCosine", { base, warmup, steps, min, start });
  checkWarmup("warmupCosine", warmup);
  if (steps <= warmup)
    throw new OptionError(`warmupCosine: steps is more than warmup=${warmup}, got ${steps}`);
  const down: Schedule = (step) => halfCosine(base, min, (step - warmup) / (steps - warmup));
  return warmed(base, warmup, start, down);
}

/**
 * A linear warm-up from `start` (0) to `base`, then times `factor` every `interval` steps.
 * Source: `optim.py: WarmupExpDecay`.
 */
export function warmupExponential(options: WarmupExponentialOptions): Schedule {
  const { base, warmup, start = 0, factor, interval } = options;
  check("warmupExponential", { base, warmup, start, factor, interval });
  checkWarmup("warmupExponential", warmup);
  positive("warmupExponential", "interval", interval);
  const down: Schedule = (step) => base * factor ** Math.floor((step - warmup) / interval);
  return warmed(base, warmup, start, down);
}

/**
 * The linear scaling rule: `lr` is meant for a batch of 256.
 * Source: `experiment_nfnets.py: _make_opt` (`lr_scale_by_bs`); the paper's section 4.
 */
export const scaleByBatch = (lr: number, batch: number): number => (lr * batch) / 256;
