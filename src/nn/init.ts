// Initial values with Haiku's rules and, for the same key, Haiku's bits. Not the walk over a tree:
// that is `gpu.init`, which gives each random initializer its key.

import type { Initializer } from "../core/init.ts";
import * as random from "../core/random.ts";
import type { Shape } from "../core/tensor.ts";
import { OptionError } from "../errors.ts";

const sizeOf = (shape: Shape): number => shape.reduce((n, d) => n * d, 1);

type Draw = (key: random.Key, shape: Shape) => Float32Array<ArrayBuffer>;

/** An initializer of your own. A random one is given a key of its own; the other kind must not use it. */
export const initializer = (isRandom: boolean, draw: Draw): Initializer =>
  Object.assign(draw.bind(null), { random: isRandom });

/** The same value everywhere. */
export const constant = (value: number): Initializer =>
  initializer(false, (_, shape) => new Float32Array(sizeOf(shape)).fill(value));

export const zeros: Initializer = /* @__PURE__ */ constant(0);
export const ones: Initializer = /* @__PURE__ */ constant(1);

// One rounding for the product and the sum, as XLA's fused multiply-add.
function scaled({ data }: { data: Float32Array<ArrayBuffer> }, std: number, mean: number) {
  const s = Math.fround(std);
  const m = Math.fround(mean);
  for (let i = 0; i < data.length; i++) data[i] = data[i]! * s + m;
  return data;
}

/** Normal values: `hk.initializers.RandomNormal(stddev, mean)`. */
export const normal = (std = 1, mean = 0): Initializer =>
  initializer(true, (key, shape) => scaled(random.normal(key, shape), std, mean));

/**
 * Normal values cut off at two standard deviations, so that theirs is 0.88 std:
 * `hk.initializers.TruncatedNormal(stddev, mean)`.
 */
export const truncatedNormal = (std = 1, mean = 0): Initializer =>
  initializer(true, (key, shape) => scaled(random.truncatedNormal(key, shape), std, mean));

/** Uniform values in [minval, maxval): `hk.initializers.RandomUniform`. */
export const uniform = (minval = 0, maxval = 1): Initializer =>
  initializer(true, (key, shape) => random.uniform(key, shape, { minval, maxval }).data);

export type Fan = "fan_in" | "fan_out" | "fan_avg";
export type Distribution = "truncated_normal" | "normal" | "uniform";

/** Inputs and outputs of one unit, for linear `[in, out]` and convolution `[..., in, out]` weights. */
function fans(shape: Shape): Record<Fan, number> {
  const [i, o] = shape.length > 1 ? shape.slice(-2) : [shape[0] ?? 1, shape[0] ?? 1];
  const field = sizeOf(shape.slice(0, -2));
  const fanIn = field * i!;
  const fanOut = field * o!;
  return { fan_in: fanIn, fan_out: fanOut, fan_avg: (fanIn + fanOut) / 2 };
}

// scipy.stats.truncnorm.std(-2, 2): what cutting off leaves of a standard deviation.
const TRUNCATED_STD = /* @__PURE__ */ Math.fround(0.8796256610342398);

/**
 * Values of variance scale / fan, whatever the distribution: `hk.initializers.VarianceScaling`.
 * @throws OptionError for a scale that is not positive.
 */
export function varianceScaling(
  scale = 1,
  mode: Fan = "fan_in",
  distribution: Distribution = "truncated_normal",
): Initializer {
  if (!(scale > 0)) throw new OptionError(`init.varianceScaling: scale ${scale} is not positive`);
  return initializer(true, (key, shape) => {
    const variance = scale / Math.max(1, fans(shape)[mode]);
    const std = Math.sqrt(variance);
    const limit = Math.sqrt(3 * variance);
    if (distribution === "uniform") return uniform(-limit, limit)(key, shape);
    if (distribution === "normal") return normal(std)(key, shape);
    return truncatedNormal(std / TRUNCATED_STD)(key, shape);
  });
}

/** Variance 1 / fan_in, truncated normal: JAX's `lecun_normal`. */
export const lecunNormal: Initializer = /* @__PURE__ */ varianceScaling();
