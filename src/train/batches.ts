// From bytes to what a network takes: scaling, cutting, random shifts, and the order of an epoch. On the host;
// every draw is keyed by seed and epoch, so that a run that goes on after a stop sees the same images.

import type { Host } from "../core/host.ts";
import { foldIn, type Key, key, permutation, randint } from "../core/random.ts";
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

/**
 * The images of `indices`, cut around their centre moved by `shifts` (two an image, rows then columns; what lies
 * outside is black).
 */
export function batchOf(
  images: Images,
  { height, width, mean, std }: Scaling,
  indices: ArrayLike<number>,
  shifts?: ArrayLike<number>,
): Batch {
  const { channels, pixels } = images;
  const table = Float32Array.from({ length: 256 }, (_, p) => (p / 255 - mean) / std);
  const data = new Float32Array(indices.length * height * width * 3);
  const top = Math.floor((images.height - height) / 2);
  const left = Math.floor((images.width - width) / 2);
  let to = 0;
  for (let n = 0; n < indices.length; n++) {
    const start = indices[n]! * images.height * images.width;
    const y0 = top + (shifts?.[2 * n] ?? 0);
    const x0 = left + (shifts?.[2 * n + 1] ?? 0);
    for (let y = y0; y < y0 + height; y++) {
      const row = y >= 0 && y < images.height;
      for (let x = x0; x < x0 + width; x++) {
        const inside = row && x >= 0 && x < images.width;
        const from = (start + y * images.width + x) * channels;
        for (let c = 0; c < 3; c++)
          data[to++] = table[inside ? pixels[from + (channels === 3 ? c : 0)]! : 0]!;
      }
    }
  }
  const labels = Uint32Array.from(indices, (i) => images.labels[i]!);
  return { x: { data, shape: [indices.length, height, width, 3] }, labels };
}

/** Keys of the host's draws, apart from the model's, which come from the same seed. */
const drawKey = (seed: number, epoch: number): Key => foldIn(foldIn(key(seed), 0x64617461), epoch);

/** One epoch of training: whole batches in random order, each image moved at random. The rest is left out. */
export function* epochOf(
  images: Images,
  scaling: Scaling,
  { seed, epoch, batch, shift }: { seed: number; epoch: number; batch: number; shift: number },
): Generator<Batch> {
  const own = drawKey(seed, epoch);
  const order = permutation(foldIn(own, 0), images.count).data;
  const draws =
    shift > 0 ? randint(foldIn(own, 1), [images.count, 2], { maxval: 2 * shift + 1 }).data : null;
  const shifts = draws && Int32Array.from(draws, (d) => d - shift);
  for (let at = 0; at + batch <= images.count; at += batch) {
    const moved = shifts?.subarray(2 * at, 2 * (at + batch));
    yield batchOf(images, scaling, order.subarray(at, at + batch), moved);
  }
}
