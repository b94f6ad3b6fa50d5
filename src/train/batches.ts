// From bytes to what a network takes: scaling, cutting, random moves, and the order of an epoch. On the host;
// every draw is keyed by seed and epoch, so that a run that goes on after a stop sees the same images.

import type { Host } from "../core/host.ts";
import { foldIn, type Key, key, permutation, uniform } from "../core/random.ts";
import type { Images } from "../io/datasets.ts";

/** How pixels become inputs; saved with the weights. */
export interface Scaling {
  /** Size of the input, after cutting. */
  readonly height: number;
  readonly width: number;
  /** Mean and standard deviation of the training set's pixels, from 0 to 1. */
  readonly mean: number;
  readonly std: number;
}

/** The scaling of a training set, with `trim` pixels cut off on each side. */
export function scalingOf({ pixels, height, width }: Images, trim: number): Scaling {
  let [sum, squares] = [0, 0];
  for (const p of pixels) {
    sum += p;
    squares += p * p;
  }
  const mean = sum / pixels.length;
  const std = Math.sqrt(Math.max(squares / pixels.length - mean * mean, 0)) || 255;
  return {
    height: height - 2 * trim,
    width: width - 2 * trim,
    mean: mean / 255,
    std: std / 255,
  };
}

export interface Batch {
  /** `[n, height, width, 3]`: grey in all three channels, which is what the models take. */
  readonly x: Host;
  /** `[n]`. */
  readonly labels: Uint32Array<ArrayBuffer>;
}

/** Where an output pixel comes from: `y, x` of the source, from the centre, are `matrix * (y, x) + shift`. */
export interface Move {
  /** yy, yx, xy, xx */
  readonly matrix: readonly [number, number, number, number];
  readonly shift: readonly [y: number, x: number];
}
const STILL: Move = { matrix: [1, 0, 0, 1], shift: [0, 0] };

/**
 * The images of `indices`, cut around their centre and moved by `moves` (one an image; between pixels bilinear, what
 * lies outside is black).
 */
export function batchOf(
  images: Images,
  { height, width, mean, std }: Scaling,
  indices: ArrayLike<number>,
  moves?: readonly Move[],
): Batch {
  const { channels, pixels } = images;
  const data = new Float32Array(indices.length * height * width * 3);
  let to = 0;
  for (let n = 0; n < indices.length; n++) {
    const { matrix, shift } = moves?.[n] ?? STILL;
    const start = indices[n]! * images.height * images.width;
    const at = (y: number, x: number, c: number) => {
      if (y < 0 || x < 0 || y >= images.height || x >= images.width) return 0;
      return pixels[(start + y * images.width + x) * channels + c]!;
    };
    // Centres of what is cut out: between pixels where a size is even.
    const top = Math.floor((images.height - height) / 2) + (height - 1) / 2 + shift[0];
    const left = Math.floor((images.width - width) / 2) + (width - 1) / 2 + shift[1];
    for (let i = 0; i < height * width; i++) {
      const v = Math.floor(i / width) - (height - 1) / 2;
      const u = (i % width) - (width - 1) / 2;
      const y = top + matrix[0] * v + matrix[1] * u;
      const x = left + matrix[2] * v + matrix[3] * u;
      const [y0, x0] = [Math.floor(y), Math.floor(x)];
      const [fy, fx] = [y - y0, x - x0];
      for (let k = 0; k < 3; k++) {
        if (k > 0 && channels === 1) {
          data[to] = data[to - 1]!;
          to++;
          continue;
        }
        let p = at(y0, x0, k) * (1 - fy) * (1 - fx);
        if (fx > 0) p += at(y0, x0 + 1, k) * (1 - fy) * fx;
        if (fy > 0) p += at(y0 + 1, x0, k) * fy * (1 - fx);
        if (fx > 0 && fy > 0) p += at(y0 + 1, x0 + 1, k) * fy * fx;
        data[to++] = (p / 255 - mean) / std;
      }
    }
  }
  const labels = Uint32Array.from(indices, (i) => images.labels[i]!);
  return { x: { data, shape: [indices.length, height, width, 3] }, labels };
}

/** How much training images are moved at random: each draw is uniform from minus to plus its bound. */
export interface Augment {
  /** Pixels, in each direction. */
  readonly shift: number;
  /** Degrees. */
  readonly rotate: number;
  /** Logarithm of the factor of size. */
  readonly zoom: number;
  /** Tangent of the slant. */
  readonly shear: number;
}

function movesOf(from: Key, count: number, { shift, rotate, zoom, shear }: Augment): Move[] {
  const draws = uniform(from, [count, 5], { minval: -1, maxval: 1 }).data;
  return Array.from({ length: count }, (_, n) => {
    const [dy, dx, turn, size, slant] = draws.subarray(5 * n, 5 * n + 5) as unknown as Five;
    const angle = (rotate * turn * Math.PI) / 180;
    const factor = Math.exp(-zoom * size);
    const [cos, sin] = [factor * Math.cos(angle), factor * Math.sin(angle)];
    const tan = shear * slant;
    return {
      matrix: [cos - tan * sin, -sin, sin + tan * cos, cos],
      shift: [shift * dy, shift * dx],
    };
  });
}
type Five = readonly [number, number, number, number, number];

/** Keys of the host's draws, apart from the model's, which come from the same seed. */
const drawKey = (seed: number, epoch: number): Key => foldIn(foldIn(key(seed), 0x64617461), epoch);

/** One epoch of training: whole batches in random order, each image moved at random. The rest is left out. */
export function* epochOf(
  images: Images,
  scaling: Scaling,
  { seed, epoch, batch, augment }: { seed: number; epoch: number; batch: number; augment: Augment },
): Generator<Batch> {
  const own = drawKey(seed, epoch);
  const order = permutation(foldIn(own, 0), images.count).data;
  const moves = movesOf(foldIn(own, 1), images.count, augment);
  for (let at = 0; at + batch <= images.count; at += batch) {
    const chosen = order.subarray(at, at + batch);
    yield batchOf(images, scaling, chosen, moves.slice(at, at + batch));
  }
}
