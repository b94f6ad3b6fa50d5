// Mixup and CutMix of a batch on the host, as the reference's data pipeline does them (dataset.py). All draws come from
// the key that is given; nothing else of the pipeline's augmentation is here.
import { checkHost, type Host } from "../core/host.ts";
import { type Key, normal, randint, split, uniform } from "../core/random.ts";
import { OptionError, ShapeError } from "../errors.ts";

/** Images `[n, h, w, c]` and the class of each. */
export interface Labeled {
  readonly images: Host;
  /** `[n]`, whole numbers of at least 0. */
  readonly labels: ArrayLike<number>;
}

interface F32Host extends Host {
  readonly data: Float32Array<ArrayBuffer>;
}

/** Image i is `ratio[i]` parts of class `labels[i]`, the rest of `mixLabels[i]`. */
export interface Mixed {
  readonly images: F32Host;
  readonly labels: Uint32Array<ArrayBuffer>;
  readonly mixLabels: Uint32Array<ArrayBuffer>;
  readonly ratio: Float32Array<ArrayBuffer>;
}

export interface MixupOptions {
  /** The ratio is drawn from Beta(alpha, alpha); the pipeline's default 0.2, the NFNets' 0.4. */
  readonly alpha?: number;
}

const f32 = Math.fround;

/** The logarithm of a Gamma(alpha) variate by Marsaglia and Tsang, with the draws that `jax.random.loggamma` makes. */
function logGamma(from: Key, alpha: number): number {
  const d = (alpha < 1 ? alpha + 1 : alpha) - 1 / 3;
  const c = 1 / 3 / Math.sqrt(d);
  let [state, forBoost] = split(from) as [Key, Key];
  for (;;) {
    const [next, forNormal, forUniform] = split(state, 3) as [Key, Key, Key];
    state = next;
    let [rest, x, v] = [forNormal, 0, -1];
    while (v <= 0) {
      const [after, now] = split(rest) as [Key, Key];
      rest = after;
      x = normal(now, [1]).data[0]!;
      v = 1 + x * c;
    }
    const [square, cube] = [x * x, v ** 3];
    const u = uniform(forUniform, [1]).data[0]!;
    const refused =
      u >= 1 - 0.0331 * square * square &&
      Math.log(u) >= square / 2 + d * (1 - cube + Math.log(cube));
    if (refused) continue;
    // Below 1: Gamma(alpha + 1) * U^(1 / alpha).
    const raised = alpha < 1 ? Math.log1p(-uniform(forBoost, [1]).data[0]!) / alpha : 0;
    return Math.log(d * cube) + raised;
  }
}

/** `jax.random.beta(key, alpha, alpha, [n])`, computed in f64. */
function beta(from: Key, alpha: number, n: number): Float32Array<ArrayBuffer> {
  const [a, b] = split(from).map((key) => split(key, n)) as [Key[], Key[]];
  return Float32Array.from(
    { length: n },
    (_, i) => 1 / (1 + Math.exp(logGamma(b[i]!, alpha) - logGamma(a[i]!, alpha))),
  );
}

/** A rectangle of pixels, without `right` and `bottom`; empty where it begins and ends at one place. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/**
 * The box around `(x, y)` whose sides are `sqrt(1 - proportion)` of an image's, cut to the image, in the integer
 * arithmetic of dataset.py: cutmix_padding. `ratio` is the part of the image that it covers.
 */
export function cutmixBox(
  { height, width }: { readonly height: number; readonly width: number },
  { x, y, proportion }: { readonly x: number; readonly y: number; readonly proportion: number },
): Box & { readonly ratio: number } {
  const part = f32(Math.sqrt(f32(1 - proportion)));
  const half = (size: number) => Math.floor(Math.trunc(f32(part * size)) / 2);
  const clip = (at: number, size: number) => Math.min(Math.max(at, 0), size);
  const [left, right] = [clip(x - half(width), width), clip(x + half(width), width)];
  const [top, bottom] = [clip(y - half(height), height), clip(y + half(height), height)];
  const ratio = f32(((right - left) * (bottom - top)) / (height * width));
  return { left, top, right, bottom, ratio };
}

function cutmixBoxes(from: Key, n: number, height: number, width: number) {
  const [forX, forY, forSize] = split(from, 3) as [Key, Key, Key];
  const x = randint(forX, [n], { maxval: width }).data;
  const y = randint(forY, [n], { maxval: height }).data;
  const proportion = uniform(forSize, [n]).data;
  return Array.from({ length: n }, (_, i) =>
    cutmixBox({ height, width }, { x: x[i]!, y: y[i]!, proportion: proportion[i]! }),
  );
}

type Mixer = (to: Float32Array, a: Float32Array, b: Float32Array) => void;

/** `ratio * a + (1 - ratio) * b`, in f32. */
const blending =
  (ratio: number): Mixer =>
  (to, a, b) => {
    const rest = f32(1 - ratio);
    for (let i = 0; i < to.length; i++) to[i] = f32(ratio * a[i]!) + f32(rest * b[i]!);
  };

/** `b` with the box of `a`. */
const pasting =
  ({ left, top, right, bottom }: Box, width: number, channels: number): Mixer =>
  (to, a, b) => {
    to.set(b);
    for (let y = top; y < bottom; y++) {
      const [from, end] = [y * width + left, y * width + right].map((at) => at * channels);
      to.set(a.subarray(from, end), from);
    }
  };

interface Checked {
  readonly data: Float32Array;
  readonly shape: readonly [n: number, height: number, width: number, channels: number];
  readonly labels: ArrayLike<number>;
}

function check(name: string, { images, labels }: Labeled, multiple: number): Checked {
  const { data, shape } = images;
  if (shape.length !== 4 || !(data instanceof Float32Array))
    throw new ShapeError(
      `${name}: images are f32 [n, h, w, c], got ${data.constructor.name} [${shape}]`,
    );
  checkHost(name, images);
  const [n, height, width, channels] = shape as [number, number, number, number];
  if (n % multiple)
    throw new ShapeError(`${name}: the number of images is a multiple of ${multiple}, got ${n}`);
  if (labels.length !== n)
    throw new ShapeError(`${name}: ${n} images have ${n} labels, got ${labels.length}`);
  return { data, shape: [n, height, width, channels], labels };
}

/** One mixed image: images `a` and `b` of the batch, and how. */
interface Pair {
  readonly a: number;
  readonly b: number;
  readonly ratio: number;
  readonly mix: Mixer;
}

function mixed({ data, shape, labels }: Checked, pairs: readonly Pair[]): Mixed {
  const [, ...size] = shape;
  const each = size[0] * size[1] * size[2];
  const out = new Float32Array(pairs.length * each);
  const image = (from: Float32Array, i: number) => from.subarray(i * each, (i + 1) * each);
  pairs.forEach(({ a, b, mix }, i) => void mix(image(out, i), image(data, a), image(data, b)));
  return {
    images: { data: out, shape: [pairs.length, ...size] },
    labels: Uint32Array.from(pairs, ({ a }) => labels[a]!),
    mixLabels: Uint32Array.from(pairs, ({ b }) => labels[b]!),
    ratio: Float32Array.from(pairs, ({ ratio }) => ratio),
  };
}

/** Image `first + i` with image `first + n + i`, for i below n. */
function mixupPairs(from: Key, alpha: number, first: number, n: number): Pair[] {
  if (!(alpha > 0 && alpha < Number.POSITIVE_INFINITY))
    throw new OptionError(`mixup: alpha is a number above 0, got ${alpha}`);
  const at = (i: number) => ({ a: first + i, b: first + n + i });
  return [...beta(from, alpha, n)].map((ratio, i) => ({ ...at(i), ratio, mix: blending(ratio) }));
}

function cutmixPairs(from: Key, shape: Checked["shape"], first: number, n: number): Pair[] {
  const [, height, width, channels] = shape;
  return cutmixBoxes(from, n, height, width).map((box, i) => ({
    a: first + i,
    b: first + n + i,
    ratio: box.ratio,
    mix: pasting(box, width, channels),
  }));
}

/**
 * Mixup: the first half of a batch blended with the second half, `ratio * first + (1 - ratio) * second`, a ratio an
 * image. dataset.py: my_mixup. The ratios are `jax.random.beta(key, alpha, alpha)`, to rounding.
 * @throws ShapeError unless the images are f32 `[n, h, w, c]` of an even n, with a label each.
 */
export function mixup(batch: Labeled, key: Key, { alpha = 0.2 }: MixupOptions = {}): Mixed {
  const checked = check("mixup", batch, 2);
  return mixed(checked, mixupPairs(key, alpha, 0, checked.shape[0] / 2));
}

/**
 * CutMix: the second half of a batch, with a box of the first half pasted into each image (see `cutmixBox`); the box's
 * centre is drawn uniformly among the pixels, the proportion from 0 to 1. dataset.py: my_cutmix.
 * @throws ShapeError as `mixup`.
 */
export function cutmix(batch: Labeled, key: Key): Mixed {
  const checked = check("cutmix", batch, 2);
  return mixed(checked, cutmixPairs(key, checked.shape, 0, checked.shape[0] / 2));
}

/**
 * Mixup of the first half of a batch and CutMix of the second half, so a quarter with another one each.
 * dataset.py: my_mixup_cutmix.
 * @throws ShapeError as `mixup`, but n is a multiple of 4.
 */
export function mixupCutmix(batch: Labeled, key: Key, { alpha = 0.2 }: MixupOptions = {}): Mixed {
  const checked = check("mixupCutmix", batch, 4);
  const [forMixup, forCutmix] = split(key) as [Key, Key];
  const quarter = checked.shape[0] / 4;
  return mixed(checked, [
    ...mixupPairs(forMixup, alpha, 0, quarter),
    ...cutmixPairs(forCutmix, checked.shape, 2 * quarter, quarter),
  ]);
}

/**
 * The loss's targets of a mixed batch: `ratio` at `labels` plus `1 - ratio` at `mixLabels`, f32 `[n, classes]`, for
 * `ops.softmaxCrossEntropy`, which smooths them. experiment.py: _loss_fn.
 * @throws ShapeError for a label that is no class.
 */
export function mixedTargets(
  { labels, mixLabels, ratio }: Omit<Mixed, "images">,
  classes: number,
): F32Host {
  const data = new Float32Array(ratio.length * classes);
  ratio.forEach((part, i) => {
    for (const [label, share] of [
      [labels[i]!, part],
      [mixLabels[i]!, f32(1 - part)],
    ] as const) {
      if (label >= classes)
        throw new ShapeError(`mixedTargets: label ${label} is none of ${classes} classes`);
      data[i * classes + label]! += share;
    }
  });
  return { data, shape: [ratio.length, classes] };
}
